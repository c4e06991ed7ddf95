//! Who is asked for what, in copies and in shards.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use craftec_core::{Did, TransportKey, placement::Promise};

use super::*;
use crate::replicate::TERM_MS;

fn key(n: u8) -> TransportKey {
    TransportKey::from_seed([n; 32])
}

fn object() -> Cid {
    Cid::of(Codec::DagPb, b"object")
}

fn shard(n: u8) -> Cid {
    Cid::of(Codec::DagCbor, &[n])
}

fn at(seconds: u64) -> Now {
    Now { monotonic: Duration::from_secs(seconds), unix_ms: seconds * 1000 }
}

fn candidates(places: &[(u8, Option<&str>)]) -> Vec<Candidate> {
    let candidate = |(n, place): &(u8, Option<&str>)| Candidate {
        peer: key(*n).peer_id(),
        place: place.map(str::to_owned),
    };
    places.iter().map(candidate).collect()
}

fn made(shards: u8) -> Vec<MadeShard> {
    let made = |index| MadeShard { index, root: shard(index), blocks: 4, bytes: 1000 };
    (0..shards).map(made).collect()
}

fn promise(n: u8, root: Cid, epoch: u64) -> SignedPromise {
    let (holder, owner) = (key(n).peer_id(), Did(Hash([9; 32])));
    let promise = Promise { v: 1, root, bytes: 1000, owner, epoch, holder, until_ms: TERM_MS };
    SignedPromise::sign(promise, &key(n)).unwrap()
}

/// A roster with one object that was coded into `shards`, of which `needed` are enough.
fn coded(shards: u8, needed: u8) -> Roster {
    let mut roster = Roster::default();
    roster.copy(object(), 3, 250, (5_000, 20));
    roster.code(object(), needed, &made(shards));
    roster
}

/// How many units each candidate was asked to keep.
fn loads(asks: &Asks) -> BTreeMap<PeerId, usize> {
    let mut loads = BTreeMap::new();
    asks.asks.iter().for_each(|(_, to)| *loads.entry(to.peer).or_default() += 1);
    loads
}

#[test]
fn an_object_is_coded_where_there_are_enough_holders_and_copied_elsewhere() {
    let mut roster = Roster::default();
    roster.copy(object(), 3, 250, (5_000, 20));
    let five = candidates(&[(1, None), (2, None), (3, None), (4, None), (5, None)]);
    let meeting = roster.next(&five, 8, true, at(0));
    assert!(meeting.asks.is_empty() && meeting.code.is_empty(), "more may come in a moment");
    let asks = roster.next(&five, 8, false, at(0));
    assert_eq!((asks.asks.len(), asks.code.len()), (3, 0));
    let six = [five, candidates(&[(6, None)])].concat();
    assert_eq!(roster.next(&six, 8, false, at(1)).code, [object()]);
    // Three copies that are there are as good.
    for (_, to) in &asks.asks {
        let n = (1..=6).find(|n| key(*n).peer_id() == to.peer).unwrap();
        roster.promised(&object(), promise(n, object(), 1), at(2));
    }
    assert!(roster.next(&six, 8, false, at(3)).code.is_empty());
    assert_eq!(roster.copies(&object(), &BTreeSet::new(), at(3)).signed, 3);
    let mut plain = Roster::default();
    plain.copy(object(), 3, 0, (5_000, 20));
    assert!(plain.next(&six, 8, false, at(0)).code.is_empty());
    let mut plain = Roster::default();
    plain.copy(object(), 3, 0, (5_000, 20));
    assert_eq!(plain.next(&six, 8, true, at(0)).asks.len(), 3, "copies need no more than three");
}

#[test]
fn shards_are_spread_evenly_and_nobody_gets_more_than_its_part() {
    let mut roster = coded(20, 8);
    let ten: Vec<(u8, Option<&str>)> = (1..=10).map(|n| (n, None)).collect();
    let asks = roster.next(&candidates(&ten), 100, false, at(0));
    assert_eq!(asks.asks.len(), 20);
    assert!(loads(&asks).values().all(|load| *load == 2), "{:?}", loads(&asks));
    // One that refuses is not asked again at once, and the others take its part.
    for (unit, to) in asks.asks.iter().filter(|(_, to)| to.peer == key(1).peer_id()) {
        roster.with(unit, |placed| placed.failed(&to.peer, "full", None, at(1)));
    }
    let again = roster.next(&candidates(&ten), 100, false, at(2));
    assert_eq!(again.asks.len(), 2);
    assert!(!loads(&again).contains_key(&key(1).peer_id()));
    // With as many as may be asked at a time no more are.
    let mut few = coded(20, 8);
    assert_eq!(few.next(&candidates(&ten), 3, false, at(0)).asks.len(), 3);
}

#[test]
fn a_part_of_the_network_gets_no_more_than_can_be_lost_while_there_are_others() {
    let mut roster = coded(20, 8);
    let crowd: Vec<(u8, Option<&str>)> = (1..=18).map(|n| (n, Some("crowd"))).collect();
    let others = [(20, Some("a")), (21, Some("b")), (22, None), (23, None)];
    let asks = roster.next(&candidates(&[&crowd[..], &others[..]].concat()), 100, false, at(0));
    let in_crowd = asks.asks.iter().filter(|(_, to)| to.place.as_deref() == Some("crowd"));
    assert_eq!(asks.asks.len(), 20);
    // Twelve of twenty may be lost; each of the four others takes its one of 22.
    assert!(in_crowd.count() >= 16);
    let even: Vec<(u8, Option<&str>)> =
        (1..=20).map(|n| (n, Some(if n <= 10 { "x" } else { "y" }))).collect();
    let mut roster = coded(20, 8);
    let asks = roster.next(&candidates(&even), 100, false, at(0));
    let x = asks.asks.iter().filter(|(_, to)| to.place.as_deref() == Some("x")).count();
    assert_eq!((x, asks.asks.len()), (10, 20));
}

#[test]
fn a_record_of_shards_is_restored_and_what_is_lacking_is_made_again() {
    let mut roster = coded(20, 8);
    for n in 0..19 {
        roster.promised(&shard(n), promise(n + 1, shard(n), 1), at(0));
    }
    let (epoch, n, holders, pieces) = roster.record(&object(), at(1)).unwrap();
    assert_eq!((n, holders.len(), pieces.len()), (20, 19, 20));
    assert!(epoch >= 19 && !roster.is_placed(&object(), at(1)));
    let placement = Placement {
        v: 1,
        root: object(),
        owner: Did(Hash([9; 32])),
        epoch,
        n,
        holders,
        pieces,
        writer: craftec_core::sign::PublicKey([0; 32]),
        time_ms: 0,
    };
    let mut again = Roster::default();
    again.copy(object(), 3, 250, (5_000, 20));
    again.restore(placement, at(2));
    let copies = again.copies(&object(), &BTreeSet::from([key(1).peer_id()]), at(2));
    assert_eq!((copies.wanted, copies.signed, copies.reachable), (20, 19, 1));
    // The twentieth is not here to be taken: it is to be made again first.
    let all: Vec<(u8, Option<&str>)> = (1..=30).map(|n| (n, None)).collect();
    let asks = again.next(&candidates(&all), 100, false, at(3));
    assert_eq!((asks.asks.len(), asks.code), (0, vec![object()]));
    again.code(object(), 8, &made(20));
    let asks = again.next(&candidates(&all), 100, false, at(4));
    assert_eq!(asks.asks.iter().map(|(unit, _)| *unit).collect::<Vec<_>>(), [shard(19)]);
    let held = again.remove(&object(), at(5));
    assert_eq!(held.len(), 19);
    assert_eq!(again.object_of(&shard(3)), None);
}

#[test]
fn one_holder_of_several_shards_is_listed_once() {
    let mut roster = coded(20, 8);
    for n in 0..4 {
        roster.promised(&shard(n), promise(1, shard(n), 1), at(0));
    }
    let list = roster.list(&object(), &BTreeSet::new(), at(1));
    assert_eq!((list.len(), list[0].bytes, list[0].signed), (1, 4000, true));
    assert_eq!(roster.held_by(&key(1).peer_id(), at(1)), [object()]);
    assert_eq!(roster.held_by(&key(2).peer_id(), at(1)), []);
    roster.keep_copies(&object());
    assert_eq!((roster.percent(&object()), roster.shards(&object())), (0, 20));
}
