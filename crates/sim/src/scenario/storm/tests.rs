//! The storm's own checks: what must not be is noticed where it is, and nothing else is.

use std::{rc::Rc, time::Duration};

use craftec_core::{Cid, Codec};
use craftec_node::Session;
use craftec_p2p::Role;
use craftec_platform::sim::Damage;

use super::{
    StormSize, client, clients,
    custody::Promised,
    world::{Object, World},
};
use crate::{Cluster, ClusterError, Weather};

const SIZE: StormSize = StormSize {
    relays: 3,
    tabs: 0,
    bent: 0,
    warped: 0,
    weak_disks: 0,
    objects: 1,
    names: 1,
    versions: 1,
    gets: 0,
    resolves: 0,
    storm: Duration::from_secs(1),
};

/// What the world says went wrong since it was last asked.
fn noticed(world: &World) -> String {
    std::mem::take(&mut world.state.borrow_mut().failures).join("; ")
}

async fn scenario(cluster: Cluster) -> Result<(), ClusterError> {
    cluster.start(SIZE.relays, Role::Relay).await?;
    client::mesh(&cluster, 2).await?;
    let world = World::new(cluster.clone(), SIZE);
    let content = Rc::new(b"what was put".to_vec());
    let cid = client::put(&cluster.session(0)?, &content, 0).await.unwrap();
    let object = Object { cid, author: 0, disk: 0, content, wanted: 0, withdrawn: false };
    world.state.borrow_mut().objects.push(object.clone());
    assert!(world.read(1, &object).await);
    assert_eq!(noticed(&world), "");
    let other = Object { content: Rc::new(b"something else".to_vec()), ..object };
    assert!(!world.read(1, &other).await);
    assert!(noticed(&world).contains("wrong bytes"));

    // A name, once as it should be, then as if it had been newer and another before.
    let page = b"a page".to_vec();
    let text = page.clone();
    let publish = |session: Session| async move { clients::publish(&session, "a", &text).await };
    let label = world.attempt(0, publish).await.unwrap().unwrap();
    world.state.borrow_mut().names[0].label = Some(label);
    world.state.borrow_mut().names[0].versions.push(page);
    cluster.sleep(Duration::from_secs(5)).await;
    let (seq, root) = world.resolve(1, 0).await.unwrap();
    assert_eq!(world.read_page(1, 0, seq, root).await, Some(0));
    assert_eq!(noticed(&world), "");
    world.state.borrow_mut().seen.insert((1, 0), 9);
    world.resolve(1, 0).await;
    assert!(noticed(&world).contains("went back from 9 to 0"));
    world.state.borrow_mut().names[0].roots.insert(0, Cid::of(Codec::Raw, b"other"));
    world.resolve(2, 0).await;
    assert!(noticed(&world).contains("has the roots"));
    world.state.borrow_mut().names[0].versions.clear();
    world.read_page(1, 0, seq, root).await;
    assert!(noticed(&world).contains("a page that nobody wrote"));

    // A disk that forgets, and a promise without a copy.
    cluster.crash(0, Damage::Torn(1));
    cluster.boot(0).await?;
    world.check_custody(0, &Promised::new());
    assert_eq!(noticed(&world), "");
    cluster.crash(0, Damage::Lost);
    cluster.replace_disk(0);
    cluster.boot(0).await?;
    world.check_custody(0, &Promised::from([(cid, cluster.peer(1)?)]));
    let lost = noticed(&world);
    assert!(lost.contains("which it had acknowledged"), "{lost}");
    assert!(lost.contains("which it had promised"), "{lost}");
    Ok(())
}

#[test]
fn what_must_not_be_is_noticed() {
    Cluster::run(1, Weather::CALM, Duration::from_secs(3600), scenario).unwrap();
}
