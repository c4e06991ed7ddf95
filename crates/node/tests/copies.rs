//! Whole copies (sites, folders, small objects) outlive their author: whoever promised one looks after
//! the others, and lets go when the author says so.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{rc::Rc, time::Duration};

use common::{World, bytes, get, publish, put, run, run_for};
use craftec_api::{Command, Reply, Role};
use craftec_core::Cid;
use craftec_node::{Config, Node};
use craftec_obj::store::Meta;
use craftec_platform::sim::SimDisk;

/// Turns of those who look after copies.
const SLOT: Duration = Duration::from_secs(20);

/// A node that knows `others`.
async fn node(world: &World, seed: u64, others: &[Rc<Node>]) -> Rc<Node> {
    let config = Config { mend_slot: Some(SLOT), ..Config::new(Role::Relay) };
    let node = world.node_on(seed, &SimDisk::new(), config).await;
    others.iter().for_each(|other| world.link(node.keys().peer_id(), other.keys().peer_id()));
    node
}

async fn nodes(world: &World, count: u64) -> Vec<Rc<Node>> {
    let mut nodes = Vec::new();
    for seed in 0..count {
        nodes.push(node(world, 100 + seed, &nodes).await);
    }
    nodes
}

async fn kill(world: &World, node: &Rc<Node>) {
    world.leave(node.keys().peer_id());
    node.stop().await;
}

fn holds(node: &Node) -> bool {
    !node.store().meta_scan(Meta::Lent).expect("reads").is_empty()
}

/// Kills one after the other of those that hold something, until `rounds` are over; each time a node
/// that has nothing comes, and time passes.
async fn churn(world: &World, all: &mut Vec<Rc<Node>>, rounds: u64) {
    for round in 0..rounds {
        let at = all.iter().position(|node| holds(node)).expect("a holder");
        kill(world, &all.remove(at)).await;
        let new = node(world, 200 + round, all).await;
        all.push(new);
        world.sleep(2 * SLOT.as_secs()).await;
    }
}

#[test]
fn a_site_outlives_its_author_and_all_of_its_first_holders() {
    run(|world| async move {
        let mut all = nodes(&world, 8).await;
        let page = bytes(1, 300_000);
        let files: [(&str, &[u8]); 2] = [("index.html", b"<h1>here</h1>"), ("a/page.bin", &page)];
        let author = all.remove(0);
        let (cid, label) = publish(&author.session(), &files, Some("site"), 3).await;
        let name = label.expect("a label");
        world.sleep(10).await;
        assert_eq!(all.iter().filter(|node| holds(node)).count(), 3);
        kill(&world, &author).await;
        churn(&world, &mut all, 7).await;
        // Nobody is left who had it first, and the DHT knows none of them.
        let reader = node(&world, 1000, &all).await;
        assert_eq!(get(&reader.session(), cid, "index.html").await, Ok(files[0].1.to_vec()));
        assert!(get(&reader.session(), cid, "a/page.bin").await == Ok(page.clone()));
        let copies = all.iter().filter(|node| holds(node)).count();
        assert!((2..=4).contains(&copies), "{copies} copies");
        // Its name came with every copy.
        match reader.session().call(Command::Resolve { name: name.clone() }).await {
            Ok(Reply::Resolved { cid: found, .. }) => assert_eq!(found, cid),
            other => panic!("{name}: {other:?}"),
        }
    });
}

#[test]
fn what_its_author_wants_no_longer_is_let_go_by_holders_it_never_asked() {
    run_for(Duration::from_secs(16 * 3600), |world| async move {
        let mut all = nodes(&world, 8).await;
        let author = all.remove(0);
        let cid: Cid = put(&author.session(), &bytes(2, 50_000), 3).await;
        world.sleep(10).await;
        // The author loses sight of it all for a while.
        world.leave(author.keys().peer_id());
        churn(&world, &mut all, 4).await;
        assert!(all.iter().filter(|node| holds(node)).count() >= 2);
        world.come_back(author.keys().peer_id());
        all.iter().for_each(|node| world.link(author.keys().peer_id(), node.keys().peer_id()));
        assert_eq!(author.session().call(Command::Unpin { cid }).await, Ok(Reply::Done));
        world.sleep(5).await;
        // The author's last word is read within half a day.
        world.sleep(13 * 3600).await;
        assert_eq!(all.iter().filter(|node| holds(node)).count(), 0);
    });
}
