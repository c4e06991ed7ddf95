//! What must stay stays: whatever is put, pinned, published, read, let go and swept at once. What
//! need not goes, the oldest first.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use common::{World, bytes, get, publish, put, run};
use craftec_api::{Command, Role};
use craftec_core::Cid;
use craftec_node::{Config, Node, Session};
use craftec_platform::sim::{SimDisk, SimEntropy};

/// Cache of the nodes below: two or three objects.
const CACHE_BYTES: u64 = 4 << 20;

async fn small_cache(world: &World, seed: u64) -> Rc<Node> {
    let config = Config { cache_limit: Some(CACHE_BYTES), ..Config::new(Role::Relay) };
    world.node_on(seed, &SimDisk::new(), config).await
}

fn here(node: &Node, cid: &Cid) -> bool {
    node.store().has(cid).expect("an answer")
}

#[test]
fn the_cache_goes_oldest_first_and_down_to_its_low_water_mark() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, small_cache(&world, 2).await);
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let mut cids = Vec::new();
        for seed in 0..6 {
            cids.push(put(&a.session(), &bytes(seed, 900_000), 0).await);
        }
        // One that is kept, before all others.
        let kept = put(&b.session(), &bytes(100, 900_000), 0).await;
        let read = async |n: usize| {
            get(&b.session(), cids[n], "").await.expect("content");
            world.sleep(120).await;
        };
        for n in 0..4 {
            read(n).await;
        }
        // The first is used again: now the second is the oldest.
        read(0).await;
        assert!(cids[..4].iter().all(|cid| here(&b, cid)), "nothing goes below the limit");
        read(4).await;
        assert!(!here(&b, &cids[1]), "the oldest went");
        assert!(!here(&b, &cids[2]), "the next went too: a fifth below the limit");
        assert!([0, 3, 4].iter().all(|n| here(&b, &cids[*n])), "the newer stayed");
        assert!(here(&b, &kept));
        // What is left is known after a restart too: uses were written down.
        read(5).await;
        assert!(here(&b, &cids[5]) && here(&b, &kept));
        let cached = b.store().used_bytes().expect("a sum") - 900_000;
        assert!(cached <= CACHE_BYTES, "{cached} bytes of cache");
        // What was read is not what was promised: all of it may go.
        b.objects().free_cache().await.expect("a sweep");
        assert_eq!(b.store().used_bytes().expect("a sum"), 900_000);
    });
}

#[test]
fn the_order_of_use_survives_a_restart() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node(1).await;
        let config = || Config { cache_limit: Some(CACHE_BYTES), ..Config::new(Role::Relay) };
        let b = world.node_on(2, &disk, config()).await;
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let mut cids = Vec::new();
        for seed in 0..5 {
            cids.push(put(&a.session(), &bytes(seed, 900_000), 0).await);
        }
        for n in [0, 1, 2, 3, 0] {
            get(&b.session(), cids[n], "").await.expect("content");
            world.sleep(120).await;
        }
        world.sleep(900).await;
        b.stop().await;
        drop(b);
        world.sleep(60).await;
        let b = world.node_on(2, &disk, config()).await;
        world.link(a.keys().peer_id(), b.keys().peer_id());
        get(&b.session(), cids[4], "").await.expect("content");
        world.sleep(120).await;
        assert!(!here(&b, &cids[1]) && here(&b, &cids[0]), "used last before the restart");
    });
}

/// What a node must keep: content by root.
type Promised = BTreeMap<Cid, Vec<u8>>;

struct Actor {
    node: Rc<Node>,
    promised: Promised,
    /// Sites: by name, the root to which it points.
    names: BTreeMap<String, Cid>,
    sites: BTreeMap<Cid, Vec<u8>>,
    /// Sites that were let go of: they stay while a name points to them.
    let_go: BTreeSet<Cid>,
}

/// Content that shares pieces with other content.
fn content(seed: u64) -> Vec<u8> {
    let lengths = [200, 40_000, 1_200_000, 2_100_000];
    let length = lengths[seed as usize % lengths.len()];
    let mut content = bytes(seed / 8, length);
    // The same beginning as others, another end.
    content.extend_from_slice(&seed.to_le_bytes());
    content
}

async fn act(actor: &mut Actor, others: &Promised, below: &dyn Fn(u64) -> u64) {
    let session = actor.node.session();
    let pick = |from: &Promised| from.keys().nth(below(from.len().max(1) as u64) as usize).copied();
    match below(9) {
        0..=2 => {
            let content = content(below(32));
            let cid = put(&session, &content, below(3) as u16).await;
            actor.promised.insert(cid, content);
        }
        3 => {
            // One that fits a frame: of the first two lengths.
            let page = content(below(8) * 4 + below(2));
            let name = format!("site{}", below(3));
            let files: &[(&str, &[u8])] = &[("index.html", b"hello"), ("a/page", &page)];
            let (cid, _) = publish(&session, files, Some(&name), 0).await;
            actor.names.insert(name, cid);
            actor.sites.insert(cid, page);
            actor.let_go.remove(&cid);
        }
        4 => {
            if let Some(cid) = pick(others) {
                let pinned = session.call(Command::Pin { cid }).await;
                if pinned.is_ok() {
                    actor.promised.insert(cid, others[&cid].clone());
                }
            }
        }
        5 => {
            if let Some(cid) = pick(&actor.promised) {
                session.call(Command::Unpin { cid }).await.expect("let go");
                actor.promised.remove(&cid);
            }
        }
        6 => {
            if let Some(cid) = actor.sites.keys().next().copied() {
                let _ = session.call(Command::Unpin { cid }).await;
                actor.let_go.insert(cid);
            }
        }
        7 => {
            if let Some(cid) = pick(others) {
                let _ = get(&session, cid, "").await;
            }
        }
        _ => drop(actor.node.objects().free_cache().await.expect("a sweep")),
    }
    let (names, let_go) = (&actor.names, &actor.let_go);
    let named = |cid: &Cid| names.values().any(|root| root == cid);
    actor.sites.retain(|cid, _| !let_go.contains(cid) || named(cid));
}

async fn check(world: &World, actor: &Actor, all: &[craftec_core::PeerId], case: &str) {
    let me = actor.node.keys().peer_id();
    let others: Vec<_> = all.iter().copied().filter(|peer| *peer != me).collect();
    others.iter().for_each(|peer| world.leave(*peer));
    let session: Session = actor.node.session();
    for (cid, content) in &actor.promised {
        assert!(get(&session, *cid, "").await.as_ref() == Ok(content), "{case}: {cid}");
    }
    for (cid, page) in &actor.sites {
        let read = get(&session, *cid, "a/page").await;
        assert!(read.as_ref() == Ok(page), "{case}: site {cid}: {:?}", read.map(|b| b.len()));
    }
    for peer in others {
        world.come_back(peer);
        world.link(me, peer);
    }
    for (n, a) in all.iter().enumerate() {
        all[..n].iter().for_each(|b| world.link(*a, *b));
    }
}

async fn live(world: Rc<World>, seed: u64) {
    let dice = SimEntropy::stream(seed, 77);
    let below = move |limit: u64| {
        let mut word = [0; 8];
        craftec_platform::Entropy::fill(&dice, &mut word);
        u64::from_le_bytes(word) % limit
    };
    let mut actors = Vec::new();
    for n in 0..3 {
        let node = small_cache(&world, seed * 10 + n).await;
        let (promised, names, sites, let_go) = Default::default();
        actors.push(Actor { node, promised, names, sites, let_go });
    }
    let peers: Vec<_> = actors.iter().map(|actor| actor.node.keys().peer_id()).collect();
    for (n, a) in peers.iter().enumerate() {
        peers[..n].iter().for_each(|b| world.link(*a, *b));
    }
    for turn in 0..18 {
        // What each knows of the others before this turn.
        let known: Promised = actors.iter().flat_map(|a| a.promised.clone()).collect();
        // All at once, each with a sweep of its own under way.
        let sweeps: Vec<_> = actors.iter().map(|actor| actor.node.clone()).collect();
        let sweeps = sweeps.iter().filter(|_| below(2) == 0);
        let sweeps = futures::future::join_all(sweeps.map(|node| async {
            node.objects().free_cache().await.expect("a sweep");
        }));
        let acts = actors.iter_mut().map(|actor| act(actor, &known, &below));
        futures::future::join(futures::future::join_all(acts), sweeps).await;
        world.sleep(below(40)).await;
        if turn % 6 == 5 {
            for actor in &actors {
                check(&world, actor, &peers, &format!("seed {seed}, turn {turn}")).await;
            }
        }
    }
    let kept: BTreeSet<Cid> = actors.iter().flat_map(|a| a.promised.keys().copied()).collect();
    assert!(!kept.is_empty());
}

#[test]
fn nothing_that_is_kept_is_swept_whatever_happens_at_once() {
    let seeds = std::env::var("CRAFTEC_SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 1..=seeds.unwrap_or(5_u64) {
        run(move |world| live(world, seed));
    }
}

#[test]
fn what_is_put_again_while_it_is_let_go_stays() {
    run(|world| async move {
        let a = world.node(1).await;
        // More files than one step of a sweep deletes.
        let files: Vec<(String, Vec<u8>)> =
            (0..700).map(|n| (format!("d{}/{n}", n % 9), bytes(n, 1500))).collect();
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
        for ms in 0..8 {
            let (cid, _) = publish(&a.session(), &files, None, 0).await;
            let session = a.session();
            let let_go = session.call(Command::Unpin { cid });
            let again = async {
                let pause = std::time::Duration::from_micros(ms * 1000 + 500);
                craftec_platform::Clock::sleep(&world.clock, pause).await;
                publish(&a.session(), &files, None, 0).await
            };
            let (gone, (again, _)) = futures::future::join(let_go, again).await;
            gone.expect("let go");
            assert_eq!(again, cid);
            for (path, content) in files.iter().step_by(7) {
                let read = get(&a.session(), cid, path).await;
                assert!(read.as_deref() == Ok(content), "{ms} ms, {path}");
            }
            a.session().call(Command::Unpin { cid }).await.expect("let go");
        }
    });
}

#[test]
fn space_that_an_object_left_is_given_back_to_the_disk() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, Config::new(Role::Relay)).await;
        let (first, second) = (bytes(1, 24 << 20), bytes(2, 20 << 20));
        let gone = put(&a.session(), &first, 0).await;
        let stays = put(&a.session(), &second, 0).await;
        let length = || disk.len_of(craftec_obj::store::PACK_FILE).expect("a pack");
        assert!(length() >= 44 << 20);
        a.session().call(Command::Unpin { cid: gone }).await.expect("let go");
        assert!(length() >= 44 << 20, "the hole is in the middle");
        world.sleep(180).await;
        assert!(length() < 21 << 20, "{} bytes", length());
        assert!(a.objects().scrub_report().moved_bytes > 19 << 20);
        assert!(get(&a.session(), stays, "").await == Ok(second));
    });
}
