//! Coded objects where disks fail: power goes at a change of a disk, or the disk is full, while an
//! object is put, taken by a holder, mended, and let go. What was acknowledged or promised is there
//! afterwards.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use common::{World, bytes, get, put, put_as, run_for};
use craftec_api::{Command, ObjectHealth, Reply, Role};
use craftec_core::{Cid, Codec, cbor};
use craftec_node::{Config, Node};
use craftec_obj::{coded::Shard, replicate::LentRecord, store::Meta};
use craftec_platform::sim::{Damage, SimDisk};

/// Turns of healers.
const SLOT: Duration = Duration::from_secs(20);
/// Virtual time of one test.
const LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Holders beside the author: the fewest of which shards are made.
const HOLDERS: u64 = 7;
/// Changes at which power goes: dense at first, when records are written, then further apart.
const STEPS: [u64; 12] = [0, 1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 60];
const CONTENT: usize = 1_300_000;

/// A node and its disk.
struct Machine {
    seed: u64,
    disk: SimDisk,
    node: Rc<Node>,
}

impl Machine {
    async fn start(world: &World, seed: u64) -> Self {
        let disk = SimDisk::new();
        let node = boot(world, seed, &disk).await;
        Self { seed, disk, node }
    }

    /// Power is gone and comes back. What was not flushed is torn.
    async fn restart(&mut self, world: &World, others: &[Machine]) {
        world.leave(self.node.keys().peer_id());
        self.node.stop().await;
        self.disk.crash(Damage::Torn(self.seed));
        world.come_back(self.node.keys().peer_id());
        self.node = boot(world, self.seed, &self.disk).await;
        self.meet(world, others);
    }

    fn meet(&self, world: &World, others: &[Machine]) {
        let me = self.node.keys().peer_id();
        let others = others.iter().map(|other| other.node.keys().peer_id());
        others.filter(|other| *other != me).for_each(|other| world.link(me, other));
    }

    async fn gone(self, world: &World) {
        world.leave(self.node.keys().peer_id());
        self.node.stop().await;
    }

    /// Roots whose keeping was promised here.
    fn promised(&self) -> BTreeSet<Cid> {
        let rows = self.node.store().meta_scan(Meta::Lent).expect("reads");
        let read = |value: &[u8]| cbor::decode::<LentRecord>(value, 512).expect("a record");
        let records = rows.iter().map(|(_, value)| read(value));
        records.filter(|record| record.complete).map(|record| record.root).collect()
    }
}

async fn boot(world: &World, seed: u64, disk: &SimDisk) -> Rc<Node> {
    let config = Config { mend_slot: Some(SLOT), ..Config::new(Role::Relay) };
    world.node_on(seed, disk, config).await
}

async fn machines(world: &World, first: u64, count: u64) -> Vec<Machine> {
    let mut all: Vec<Machine> = Vec::new();
    for seed in first..first + count {
        let new = Machine::start(world, seed).await;
        new.meet(world, &all);
        all.push(new);
    }
    all
}

async fn health(node: &Rc<Node>, cid: Cid) -> ObjectHealth {
    match node.session().call(Command::Stat { cid }).await {
        Ok(Reply::Stat(stat)) => stat.health,
        other => panic!("stat: {other:?}"),
    }
}

async fn is_placed(world: &World, author: &Rc<Node>, cid: Cid) {
    for _ in 0..1000 {
        let health = health(author, cid).await;
        if health.needed > 1 && health.signed == health.wanted {
            return;
        }
        world.sleep(2).await;
    }
    panic!("not placed: {:?}", health(author, cid).await);
}

/// Reads as somebody who has nothing.
async fn is_readable(world: &World, seed: u64, from: &[Machine], cid: Cid, content: &[u8]) {
    // Nobody was it before.
    let reader = Machine::start(world, 100_000 + world.seconds()).await;
    reader.meet(world, from);
    let got = get(&reader.node.session(), cid, "").await;
    assert!(got.as_deref() == Ok(content), "seed {seed}: {:?}", got.map(|got| got.len()));
    reader.gone(world).await;
}

#[test]
fn power_goes_while_an_object_is_put_and_coded() {
    run_for(LIMIT, |world| async move {
        let holders = machines(&world, 1, HOLDERS).await;
        let (mut lost, mut kept) = (0, 0);
        for step in STEPS {
            let mut author = Machine::start(&world, 100 + step).await;
            author.meet(&world, &holders);
            world.sleep(1).await;
            let content = bytes(step, CONTENT);
            author.disk.power_off_at(author.disk.changes() + step);
            let session = author.node.session();
            let open = Command::PutOpen { replicas: None, redundancy: None, name: None };
            let cid = match session.call(open).await {
                Ok(Reply::Handle { handle }) => {
                    let chunk = serde_bytes::ByteBuf::from(&content[..1 << 20]);
                    let rest = serde_bytes::ByteBuf::from(&content[1 << 20..]);
                    let _ = session.call(Command::PutChunk { handle, bytes: chunk }).await;
                    let _ = session.call(Command::PutChunk { handle, bytes: rest }).await;
                    session.call(Command::PutClose { handle }).await
                }
                other => other,
            };
            // It may be coded and placed in part.
            world.sleep(step % 3).await;
            drop(session);
            author.restart(&world, &holders).await;
            match cid {
                Ok(Reply::Stored { cid, .. }) => {
                    kept += 1;
                    assert!(get(&author.node.session(), cid, "").await == Ok(content.clone()));
                    is_placed(&world, &author.node, cid).await;
                    author.gone(&world).await;
                    is_readable(&world, step, &holders, cid, &content).await;
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => {
                    lost += 1;
                    author.gone(&world).await;
                }
            }
        }
        assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
    });
}

#[test]
fn power_goes_while_a_holder_takes_its_shards() {
    run_for(LIMIT, |world| async move {
        let mut holders = machines(&world, 1, HOLDERS).await;
        let mut kept = 0;
        for step in STEPS {
            let author = Machine::start(&world, 100 + step).await;
            author.meet(&world, &holders);
            let mut unlucky = holders.remove(0);
            unlucky.disk.power_off_at(unlucky.disk.changes() + step);
            let content = bytes(step, CONTENT);
            let cid = put_as(&author.node.session(), &content, None).await;
            world.sleep(3).await;
            unlucky.restart(&world, &holders).await;
            unlucky.meet(&world, std::slice::from_ref(&author));
            is_placed(&world, &author.node, cid).await;
            // Whatever it promised at any time is there: it answers for it alone.
            let promised = unlucky.promised();
            kept += promised.len();
            for root in promised.iter().filter(|root| root.codec() == Codec::DagCbor) {
                let store = unlucky.node.store();
                let block = store.get(root).expect("reads").expect("the shard's root");
                let shard = Shard::read(&block).expect("a shard");
                for part in shard.links() {
                    assert!(store.has(&part).expect("reads"), "step {step}: {part} of {root}");
                }
            }
            author.gone(&world).await;
            holders.push(unlucky);
            is_readable(&world, step, &holders, cid, &content).await;
        }
        assert!(kept > 0);
    });
}

/// What happens to one of those who mend.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Power,
    Full,
}

/// The author and two holders are gone, and whoever mends meets the fault at its next changes.
fn mend_with(fault: Fault) {
    run_for(LIMIT, move |world| async move {
        // Each of them is a life of half an hour.
        for step in STEPS.into_iter().step_by(3) {
            let first = 1_000 * (step + 1);
            let mut all = machines(&world, first, HOLDERS + 1).await;
            let content = bytes(step, CONTENT);
            let cid = put_as(&all[0].node.session(), &content, None).await;
            is_placed(&world, &all[0].node, cid).await;
            for machine in all.drain(..3) {
                machine.gone(&world).await;
            }
            for machine in &all {
                match fault {
                    Fault::Power => machine.disk.power_off_at(machine.disk.changes() + step),
                    Fault::Full => {
                        let room = step * 20_000;
                        machine.disk.set_capacity(Some(machine.disk.used_bytes() + room));
                    }
                }
            }
            for seed in 0..4 {
                let new = Machine::start(&world, first + 100 + seed).await;
                new.meet(&world, &all);
                all.push(new);
            }
            world.sleep(3 * SLOT.as_secs()).await;
            // One after the other comes back, as machines do.
            for at in 0..4 {
                let mut machine = all.remove(at);
                machine.disk.set_capacity(None);
                if fault == Fault::Power {
                    machine.restart(&world, &all).await;
                }
                all.insert(at, machine);
            }
            is_readable(&world, step, &all, cid, &content).await;
            // And it is mended: the first ones may go, one after the other.
            for _ in 0..4 {
                all.remove(0).gone(&world).await;
                world.sleep(10 * SLOT.as_secs()).await;
            }
            is_readable(&world, step, &all, cid, &content).await;
            for machine in all {
                machine.gone(&world).await;
            }
        }
    });
}

#[test]
fn power_goes_while_holders_mend() {
    mend_with(Fault::Power);
}

#[test]
fn disks_are_full_while_holders_mend() {
    mend_with(Fault::Full);
}

#[test]
fn power_goes_while_an_object_is_let_go() {
    run_for(LIMIT, |world| async move {
        // Both have a part in common, which must stay.
        let common = bytes(1, 1 << 20);
        let (one, two) = ([&common[..], b"one"].concat(), [&common[..], b"two"].concat());
        let (mut gone, mut there) = (0, 0);
        for step in STEPS {
            let mut machine = Machine::start(&world, 100 + step).await;
            let session = machine.node.session();
            let kept = put(&session, &one, 0).await;
            let dropped = put(&session, &two, 0).await;
            machine.disk.power_off_at(machine.disk.changes() + step);
            let answer = session.call(Command::Unpin { cid: dropped }).await;
            world.sleep(30).await;
            drop(session);
            machine.restart(&world, &[]).await;
            let session = machine.node.session();
            assert!(get(&session, kept, "").await == Ok(one.clone()), "step {step}");
            let Ok(Reply::Objects { objects }) = session.call(Command::Objects).await else {
                panic!()
            };
            match objects.iter().any(|row| row.cid == dropped) {
                true => {
                    assert!(answer.is_err(), "what was let go came back");
                    assert!(get(&session, dropped, "").await == Ok(two.clone()), "step {step}");
                    there += 1;
                }
                false => gone += 1,
            }
        }
        assert!(gone > 0 && there > 0, "{gone} gone, {there} there");
    });
}
