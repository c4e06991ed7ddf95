//! What a holder makes of what others tell it.

#![allow(clippy::unwrap_used, reason = "tests")]

use craftec_core::{Codec, TransportKey};

use super::*;
use crate::exchange::Shards;

const HOUR_MS: u64 = 3_600_000;

fn peer(n: u8) -> PeerId {
    TransportKey::from_seed([n; 32]).peer_id()
}

fn code() -> Cid {
    Cid::of(Codec::DagCbor, b"code")
}

fn told(shards: &[u8], whole: bool) -> Told {
    let indices = serde_bytes::ByteBuf::from(shards.to_vec());
    let codes = if shards.is_empty() { vec![] } else { vec![Shards { code: code(), indices }] };
    Told { v: 1, whole, codes, others: Vec::new() }
}

/// Twenty shards of which eight or nine are enough.
fn spread() -> Spread {
    Spread::new(100 << 20, 20, 250).unwrap()
}

struct World {
    care: Care,
    kind: Kind,
    now_ms: u64,
}

impl World {
    fn new() -> Self {
        Self { care: Care::default(), kind: Kind::default(), now_ms: 1_000 * HOUR_MS }
    }

    /// What node 0, which has shard 0, does when peers with these shards answer, of those asked.
    fn look(&mut self, own: &Told, answers: &[(u8, Option<Told>)]) -> Plan {
        self.now_ms += HOUR_MS / 6;
        let answers: Answers =
            answers.iter().map(|(n, told)| (peer(*n), None, told.clone())).collect();
        self.care.heard(peer(0), own, &answers, code(), &mut self.kind, self.now_ms);
        self.care.plan(&peer(0), &spread(), &self.kind, self.now_ms)
    }
}

fn here(shards: std::ops::Range<u8>) -> Vec<(u8, Option<Told>)> {
    shards.map(|n| (n, Some(told(&[n], false)))).collect()
}

/// Of peers 1 to 19, those below `first_away` answer, and the others are silent.
fn left(first_away: u8) -> Vec<(u8, Option<Told>)> {
    here(1..first_away).into_iter().chain((first_away..20).map(|n| (n, None))).collect()
}

#[test]
fn what_is_fresh_and_whole_in_number_rests() {
    let mut world = World::new();
    assert_eq!(world.look(&told(&[0], false), &here(1..20)), Plan::Rest);
    let outlook = world.care.outlook().unwrap();
    assert_eq!((outlook.reachable, outlook.counted, outlook.wholes), (20, 20, 0));
    assert!(outlook.survives > 0.999, "{outlook:?}");
}

#[test]
fn near_to_unreadable_nobody_is_waited_for() {
    let mut world = World::new();
    world.look(&told(&[0], false), &here(1..20));
    // Ten are left of twenty: the others are away, and may well come back.
    let answers = left(10);
    let Plan::Mend { shards, read } = world.look(&told(&[0], false), &answers) else {
        panic!("nothing was done")
    };
    assert_eq!(read, Reading::AtOnce);
    assert!(shards.iter().all(|shard| (10..20).contains(shard)), "{shards:?}");
    assert!((3..=6).contains(&shards.len()), "{shards:?}");
    // With the whole here it need not be read.
    let plan = world.look(&told(&[0], true), &answers);
    assert!(matches!(plan, Plan::Mend { read: Reading::Nothing, .. }), "{plan:?}");
}

#[test]
fn a_few_that_are_away_are_waited_for() {
    let mut world = World::new();
    world.look(&told(&[0], false), &here(1..20));
    let answers = left(16);
    assert_eq!(world.look(&told(&[0], false), &answers), Plan::Rest);
    let outlook = world.care.outlook().unwrap();
    assert_eq!((outlook.reachable, outlook.counted), (16, 20));
}

#[test]
fn what_is_lost_long_before_it_is_urgent_is_read_after_others() {
    let mut world = World::new();
    world.look(&told(&[0], false), &here(1..20));
    // Eleven are enough for now, but nine are away for longer than whoever comes back.
    let answers = left(11);
    let plans = (0..20_000).map(|_| world.look(&told(&[0], false), &answers));
    let acted = plans.into_iter().find(|plan| *plan != Plan::Rest);
    assert!(matches!(acted, Some(Plan::Mend { read: Reading::GivingWay, .. })), "{acted:?}");
}

#[test]
fn too_few_to_decode_is_not_tried() {
    let mut world = World::new();
    world.look(&told(&[0], false), &here(1..20));
    let answers = left(5);
    assert_eq!(world.look(&told(&[0], false), &answers), Plan::Rest);
}

#[test]
fn what_two_have_counts_once() {
    let mut world = World::new();
    // Twenty holders of the same ten shards: no more than ten.
    let answers: Vec<_> = (1..20).map(|n| (n, Some(told(&[n % 10], false)))).collect();
    let plan = world.look(&told(&[0], false), &answers);
    assert_eq!(world.care.outlook().unwrap().reachable, 10);
    assert!(matches!(plan, Plan::Mend { read: Reading::AtOnce, .. }), "{plan:?}");
}

#[test]
fn one_whole_copy_is_enough() {
    let mut world = World::new();
    let mut answers = here(1..20);
    answers[0].1 = Some(told(&[1], true));
    let first = peer(0).min(peer(1));
    let plan = world.look(&told(&[0], true), &answers);
    assert_eq!(plan, if first == peer(0) { Plan::Rest } else { Plan::DropWhole });
}

#[test]
fn who_says_that_it_has_nothing_is_no_holder() {
    let mut world = World::new();
    world.look(&told(&[0], false), &here(1..20));
    let mut answers = here(1..20);
    answers[4].1 = Some(told(&[], false));
    world.look(&told(&[0], false), &answers);
    assert!(!world.care.peers().contains(&peer(5)));
    assert_eq!(world.care.present().len(), 19);
}

#[test]
fn those_remembered_are_bounded() {
    let mut world = World::new();
    for round in 0..4_u8 {
        let answers: Vec<_> = (1..=100).map(|n| (n, Some(told(&[n % 20], false)))).collect();
        let key = |n: u8| TransportKey::from_seed([n, round].repeat(16).try_into().unwrap());
        let answers: Answers =
            answers.into_iter().map(|(n, told)| (key(n).peer_id(), None, told)).collect();
        let own = told(&[0], false);
        world.now_ms += HOUR_MS;
        world.care.heard(peer(0), &own, &answers, code(), &mut world.kind, world.now_ms);
    }
    assert!(world.care.peers().len() <= HOLDERS, "{}", world.care.peers().len());
}

#[test]
fn some_look_whatever_they_hear() {
    let object = Cid::of(Codec::DagPb, b"object");
    let all = (0..2000).filter(|slot| regardless(&object, Slot(*slot), &peer(1))).count();
    assert!((200..300).contains(&all), "{all}");
}

#[test]
fn a_link_that_ends_is_urgent_only_where_it_leaves_too_few() {
    let mut world = World::new();
    assert!(!world.care.lost_sight(&peer(1)), "nobody was ever asked");
    world.look(&told(&[0], false), &here(1..20));
    let needed = world.care.outlook().unwrap().needed;
    let least = world.care.urgent(needed.into()) as u8;
    let gone: Vec<u8> = (1..20).filter(|n| world.care.lost_sight(&peer(*n))).collect();
    // Twenty less those gone is fewer than are needed and two more from here on.
    assert_eq!(gone.first(), Some(&(20 - least + 1)));
    assert_eq!(gone.last(), Some(&19));
    assert!(!world.care.lost_sight(&peer(19)), "it was gone already");
}
