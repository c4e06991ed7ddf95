//! Names at a reader that asks several times at once.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use craftec_api::{Command, Reply};
use craftec_p2p::Role;
use craftec_sim::{Cluster, ClusterError, Weather};
use futures::future::join;
use serde_bytes::ByteBuf;

const LIMIT: Duration = Duration::from_secs(600);
const AUTHOR: usize = 2;
const READER: usize = 3;

/// Publishes a version of the name; its label.
async fn publish(cluster: &Cluster, page: &[u8]) -> Result<String, ClusterError> {
    let session = cluster.session(AUTHOR)?;
    let Ok(Reply::Handle { handle: folder }) = session.call(Command::FolderOpen).await else {
        panic!("no folder");
    };
    let (path, bytes) = ("index.html".to_owned(), ByteBuf::from(page));
    session.call(Command::FolderAdd { folder, path, bytes }).await.unwrap();
    let name = Some("site".to_owned());
    let close = Command::FolderClose { folder, replicas: Some(0), site: true, name };
    match session.call(close).await {
        Ok(Reply::Published { label: Some(label), .. }) => Ok(label),
        other => panic!("{other:?}"),
    }
}

async fn resolve(cluster: &Cluster, label: &str) -> Result<u64, ClusterError> {
    let session = cluster.session(READER)?;
    match session.call(Command::Resolve { name: label.to_owned() }).await {
        Ok(Reply::Resolved { seq, .. }) => Ok(seq),
        other => panic!("{other:?}"),
    }
}

/// One store of the DHT has the newer head, the other holds on to the older one. A first search finds
/// only the older one, slowly; a second one meanwhile finds the newer one.
async fn scenario(cluster: Cluster, newer: usize, older: usize) -> Result<[u64; 3], ClusterError> {
    cluster.start(2, Role::Relay).await?;
    cluster.start(2, Role::Tab).await?;
    for (index, to) in [(AUTHOR, 0), (AUTHOR, 1), (READER, 0), (READER, 1)] {
        cluster.connect(index, to).await?;
    }
    publish(&cluster, b"first").await?;
    cluster.sleep(Duration::from_secs(5)).await;
    let (reader, stores) = (cluster.peer(READER)?, [cluster.peer(newer)?, cluster.peer(older)?]);
    cluster.fabric().warp(stores[1], true);
    let label = publish(&cluster, b"second").await?;
    cluster.sleep(Duration::from_secs(5)).await;
    cluster.fabric().cut(&stores[..1], &[reader]);
    let second = async {
        cluster.sleep(Duration::from_millis(1)).await;
        cluster.fabric().heal();
        cluster.fabric().cut(&stores[1..], &[reader]);
        // Whom a search asks is settled when it begins.
        let mend = async {
            cluster.sleep(Duration::from_millis(1)).await;
            cluster.fabric().heal();
        };
        join(resolve(&cluster, &label), mend).await.0
    };
    let (first, second) = join(resolve(&cluster, &label), second).await;
    cluster.fabric().cut(&stores, &[reader]);
    Ok([first?, second?, resolve(&cluster, &label).await?])
}

#[test]
fn a_slow_search_does_not_bring_an_older_head_back() {
    let weather = Weather { delay_most: Duration::from_millis(200), ..Weather::CALM };
    let mut overtaken = 0;
    // In one of the two the store with the newer head is the nearer one.
    for (newer, older) in [(0, 1), (1, 0)] {
        let told = Cluster::run(5, weather, LIMIT, |cluster| scenario(cluster, newer, older));
        let [first, second, last] = told.unwrap();
        overtaken += usize::from(second == 1);
        assert_eq!((second, last), (1, 1), "the first search said {first}");
    }
    assert_eq!(overtaken, 2);
}
