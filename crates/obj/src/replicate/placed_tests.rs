//! Who is asked for copies, and when again.

use craftec_core::{Codec, Did, TransportKey, placement::Promise, sign::Hash};

use super::*;

fn key(n: u8) -> TransportKey {
    TransportKey::from_seed([n; 32])
}

fn root() -> Cid {
    Cid::of(Codec::Raw, b"root")
}

fn at(seconds: u64) -> Now {
    Now { monotonic: Duration::from_secs(seconds), unix_ms: seconds * 1000 }
}

fn promise(n: u8, until_ms: u64) -> SignedPromise {
    let holder = key(n).peer_id();
    let owner = Did(Hash([9; 32]));
    let promise = Promise { v: 1, root: root(), bytes: 10, owner, epoch: 1, holder, until_ms };
    SignedPromise::sign(promise, &key(n)).unwrap()
}

fn candidates(places: &[(u8, Option<&str>)]) -> Vec<Candidate> {
    let candidate = |(n, place): &(u8, Option<&str>)| Candidate {
        peer: key(*n).peer_id(),
        place: place.map(str::to_owned),
    };
    places.iter().map(candidate).collect()
}

fn ask(placed: &mut Placed, candidates: &[Candidate], now: Now) -> Vec<PeerId> {
    let chosen = placed.next(&root(), candidates, |_| Some(0), now);
    for peer in &chosen {
        let place = candidates.iter().find(|c| c.peer == *peer).and_then(|c| c.place.clone());
        placed.asking(*peer, place, now);
    }
    chosen
}

#[test]
fn it_asks_as_many_as_are_missing_and_nobody_twice() {
    let mut placed = Placed::new(3, 10, 1);
    let all = candidates(&[(1, None), (2, None), (3, None), (4, None), (5, None)]);
    let first = ask(&mut placed, &all, at(0));
    assert_eq!(first.len(), 3);
    assert_eq!(ask(&mut placed, &all, at(1)), []);
    placed.failed(&first[0], "no room", None, at(1));
    let second = ask(&mut placed, &all, at(2));
    assert_eq!(second.len(), 1);
    assert!(!first.contains(&second[0]));
}

#[test]
fn copies_are_spread_over_the_network() {
    let mut placed = Placed::new(3, 10, 1);
    let same = Some("10.0.0");
    let all = candidates(&[(1, same), (2, same), (3, same), (4, Some("b")), (5, Some("c"))]);
    let chosen = ask(&mut placed, &all, at(0));
    let places: BTreeSet<_> =
        all.iter().filter(|c| chosen.contains(&c.peer)).map(|c| c.place.clone()).collect();
    assert_eq!(places.len(), 3, "one copy in each part");
    let mut crowded = Placed::new(3, 10, 1);
    assert_eq!(ask(&mut crowded, &all[..3], at(0)).len(), 3, "better near than not at all");
}

#[test]
fn a_refusal_is_respected_and_a_failure_retried() {
    let mut placed = Placed::new(1, 10, 1);
    let one = candidates(&[(1, None)]);
    let peer = ask(&mut placed, &one, at(0))[0];
    placed.failed(&peer, "full", Some(Duration::from_secs(3600)), at(0));
    assert_eq!(ask(&mut placed, &one, at(3599)), []);
    assert_eq!(ask(&mut placed, &one, at(3600)), [peer]);
    placed.failed(&peer, "lost", None, at(3600));
    assert_eq!(ask(&mut placed, &one, at(3601)), []);
    placed.revive(&peer, at(3601));
    assert_eq!(ask(&mut placed, &one, at(3601)), [peer]);
    let listed = placed.list(&BTreeSet::new(), at(3601));
    assert_eq!(listed[0].error.as_deref(), Some("lost"));
}

#[test]
fn a_promise_counts_until_it_ends_and_is_renewed_before() {
    let mut placed = Placed::new(1, 10, 1);
    let both = candidates(&[(1, None), (2, None)]);
    placed.restore(vec![promise(1, TERM_MS)], at(0));
    assert_eq!(ask(&mut placed, &both, at(0)), []);
    let later = at(TERM_MS / 1000 / 2);
    assert_eq!(ask(&mut placed, &both, later), [key(1).peer_id()], "renewed by its holder");
    placed.promised(promise(1, TERM_MS * 2), later);
    assert_eq!(placed.copies(&BTreeSet::new(), later).signed, 1);
    let over = at(TERM_MS / 500);
    assert_eq!(
        placed.copies(&BTreeSet::new(), over),
        Copies { wanted: 1, needed: 1, ..Copies::default() }
    );
}

#[test]
fn a_holder_that_stays_away_is_replaced_but_not_forgotten() {
    let mut placed = Placed::new(1, 10, 1);
    placed.restore(vec![promise(1, TERM_MS * 2)], at(0));
    let other = candidates(&[(2, None)]);
    assert_eq!(ask(&mut placed, &other, at(60)), [], "it may only restart");
    assert_eq!(ask(&mut placed, &other, at(601)), [key(2).peer_id()]);
    placed.promised(promise(2, TERM_MS * 2), at(602));
    let connected = BTreeSet::from([key(2).peer_id()]);
    let copies = placed.copies(&connected, at(602));
    assert_eq!(copies, Copies { wanted: 1, signed: 2, reachable: 1, needed: 1 });
    assert_eq!(placed.promises(at(602)).len(), 2);
}

#[test]
fn places_are_prefixes_and_local_addresses_say_nothing() {
    assert_eq!(place("/ip4/203.0.113.7/tcp/1"), Some("203.0.113".to_owned()));
    assert_eq!(place("/ip6/2001:db8:7::1/udp/1/quic-v1"), Some("2001:db8:7".to_owned()));
    for addr in ["/ip4/127.0.0.1/tcp/1", "/ip4/203.0.113.7/tcp/1/p2p-circuit", "", "/dns4/x", "x"] {
        assert_eq!(place(addr), None, "{addr}");
    }
}
