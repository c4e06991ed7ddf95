//! Coded objects where disks fail: power goes at a change of a disk, the disk is full, or bits rot, while
//! an object is put, taken by a holder, mended, and let go. What was acknowledged or promised is there
//! afterwards.
//!
//! This happens at a sample of the changes that are made. With `EVERY_STEP=1` it is each of the first
//! [`LAST`]: a put makes 13 (and then its shards), letting go 19, and who mends some 30 in its turn.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use common::{World, bytes, get, put, put_as, run_for};
use craftec_api::{ApiError, Command, ErrorCode, ObjectHealth, Reply, Role};
use craftec_core::{Cid, Codec, cbor};
use craftec_node::{Config, Node};
use craftec_obj::{
    coded::Shard,
    replicate::LentRecord,
    store::{Meta, PACK_FILE},
};
use craftec_platform::sim::{Damage, SimDisk};

/// Turns of healers.
const SLOT: Duration = Duration::from_secs(20);
/// Virtual time of one test.
const LIMIT: Duration = Duration::from_secs(10 * 24 * 3600);
/// Holders beside the author: the fewest of which shards are made.
const HOLDERS: u64 = 7;
/// Changes at which power goes: dense at first, when records are written, then further apart.
const STEPS: [u64; 12] = [0, 1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 60];
const LAST: u64 = 64;
const CONTENT: usize = 1_300_000;

/// The changes to try: of the sample each `nth`, or all.
fn steps(nth: usize) -> Vec<u64> {
    match std::env::var_os("EVERY_STEP") {
        Some(_) => (0..=LAST).collect(),
        None => STEPS.into_iter().step_by(nth).collect(),
    }
}

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

    /// Its disk has room for little more.
    fn fill(&self, step: u64) {
        self.disk.set_capacity(Some(self.disk.used_bytes() + step * 20_000));
    }

    /// Bits of one in `of` of its blocks change.
    fn rot(&self, step: u64, of: u64) {
        let store = self.node.store();
        let cids = store.iterate(None, 10_000).expect("a list");
        let places = cids.iter().filter_map(|cid| store.place_of(cid).expect("a place"));
        let chosen = places.zip(0_u64..).filter(|(_, n)| (n + step + self.seed).is_multiple_of(of));
        for (place, _) in chosen {
            assert!(self.disk.rot(PACK_FILE, place.offset + place.bytes / 2, 0x20));
        }
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
    let config = Config {
        mend_slot: Some(SLOT),
        scrub_bytes_per_hour: Some(u64::MAX),
        ..Config::new(Role::Relay)
    };
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

/// Puts an object with the defaults.
async fn try_put(node: &Rc<Node>, content: &[u8]) -> Result<Cid, ApiError> {
    let session = node.session();
    let open = Command::PutOpen { replicas: None, redundancy: None, name: None };
    let Reply::Handle { handle } = session.call(open).await? else { panic!("no handle") };
    for chunk in content.chunks(1 << 20) {
        let bytes = serde_bytes::ByteBuf::from(chunk);
        session.call(Command::PutChunk { handle, bytes }).await?;
    }
    match session.call(Command::PutClose { handle }).await? {
        Reply::Stored { cid, .. } => Ok(cid),
        other => panic!("{other:?}"),
    }
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
        for step in steps(1) {
            let mut author = Machine::start(&world, 100 + step).await;
            author.meet(&world, &holders);
            world.sleep(1).await;
            let content = bytes(step, CONTENT);
            author.disk.power_off_at(author.disk.changes() + step);
            let cid = try_put(&author.node, &content).await;
            // It may be coded and placed in part.
            world.sleep(step % 3).await;
            author.restart(&world, &holders).await;
            match cid {
                Ok(cid) => {
                    kept += 1;
                    assert!(get(&author.node.session(), cid, "").await == Ok(content.clone()));
                    is_placed(&world, &author.node, cid).await;
                    author.gone(&world).await;
                    is_readable(&world, step, &holders, cid, &content).await;
                }
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
        for step in steps(1) {
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
    Rot,
}

/// The author and two holders are gone, and whoever mends meets the fault at its next changes.
fn mend_with(fault: Fault) {
    run_for(LIMIT, move |world| async move {
        // Each of them is a life of half an hour.
        for step in steps(3) {
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
                    Fault::Full => machine.fill(step),
                    // A quarter of the blocks of each, not the same ones.
                    Fault::Rot => machine.rot(step, 4),
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
            if fault == Fault::Rot {
                are_whole(&world, &all[..4], step).await;
            }
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
fn bits_rot_while_holders_mend() {
    mend_with(Fault::Rot);
}

/// Scrubbing found what rotted, and has it again.
async fn are_whole(world: &World, machines: &[Machine], step: u64) {
    let missing = || {
        let reports = machines.iter().map(|machine| machine.node.objects().scrub_report());
        reports.map(|report| (report.rounds.min(2), report.rotten, report.missing)).collect()
    };
    for _ in 0..200 {
        let now: Vec<(u64, u64, u64)> = missing();
        if now.iter().all(|(rounds, rotten, missing)| (*rounds, *missing) == (2, 0) && *rotten > 0)
        {
            return;
        }
        world.sleep(60).await;
    }
    panic!("step {step}: rounds, rotten, missing: {:?}", missing());
}

#[test]
fn disks_are_full_while_an_object_is_put_and_taken() {
    run_for(LIMIT, |world| async move {
        let mut holders = machines(&world, 1, HOLDERS).await;
        let (mut refused, mut kept) = (0, 0);
        for step in steps(1) {
            let author = Machine::start(&world, 100 + step).await;
            author.meet(&world, &holders);
            let before = put(&author.node.session(), &bytes(1000 + step, 5000), 0).await;
            let mut full = holders.remove(0);
            full.fill(step);
            author.fill(step * 3);
            let content = bytes(step, CONTENT);
            let put = try_put(&author.node, &content).await;
            world.sleep(3).await;
            // Its owner makes room, and so does the author.
            author.disk.set_capacity(None);
            full.disk.set_capacity(None);
            let session = author.node.session();
            assert!(get(&session, before, "").await == Ok(bytes(1000 + step, 5000)));
            let cid = match put {
                Ok(cid) => {
                    kept += 1;
                    cid
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.code, ErrorCode::Full, "{error}");
                    try_put(&author.node, &content).await.expect("there is room now")
                }
            };
            is_placed(&world, &author.node, cid).await;
            // What a machine promised, it has, also after its power is gone.
            full.restart(&world, &holders).await;
            for root in full.promised() {
                assert!(full.node.store().has(&root).expect("reads"), "step {step}: {root}");
            }
            holders.push(full);
            author.gone(&world).await;
            is_readable(&world, step, &holders, cid, &content).await;
        }
        assert!(refused > 0 && kept > 0, "{refused} refused, {kept} kept");
    });
}

#[test]
fn a_full_disk_can_let_go() {
    run_for(LIMIT, |world| async move {
        for step in steps(1) {
            let machine = Machine::start(&world, 100 + step).await;
            let session = machine.node.session();
            let (one, two) = (bytes(step, CONTENT), bytes(500 + step, CONTENT));
            let kept = put(&session, &one, 0).await;
            let dropped = put(&session, &two, 0).await;
            machine.disk.set_capacity(Some(machine.disk.used_bytes() + step * 1000));
            let blocks = machine.node.store().blocks().expect("a count");
            assert_eq!(session.call(Command::Unpin { cid: dropped }).await, Ok(Reply::Done));
            world.sleep(30).await;
            assert!(machine.node.store().blocks().expect("a count") < blocks, "step {step}");
            assert!(get(&session, kept, "").await == Ok(one), "step {step}");
            // What became free can be used.
            try_put(&machine.node, &bytes(900 + step, CONTENT / 2)).await.expect("there is room");
        }
    });
}

#[test]
fn power_goes_while_an_object_is_let_go() {
    run_for(LIMIT, |world| async move {
        // Both have a part in common, which must stay.
        let common = bytes(1, 1 << 20);
        let (one, two) = ([&common[..], b"one"].concat(), [&common[..], b"two"].concat());
        let (mut gone, mut there) = (0, 0);
        for step in steps(1) {
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
