//! The ledger over a store: what it keeps, and what peers tell it.
//!
//! (Two nodes that exchange receipts over a network: `crates/sim/tests/reciprocity.rs`.)

use craftec_core::{
    Codec, Did, cbor,
    receipt::{Receipt, SignedReceipt, Totals},
    sign::Hash,
};
use craftec_platform::sim::{Executor, SimDisk};
use futures::executor::block_on;

use super::*;
use wire::Swap;

fn key(n: u8) -> TransportKey {
    TransportKey::from_seed([n; 32])
}

fn peer(n: u8) -> PeerId {
    key(n).peer_id()
}

struct World {
    executor: Executor,
    store: Store,
}

impl World {
    fn new() -> Self {
        let store = block_on(Store::open(&SimDisk::new())).unwrap();
        Self { executor: Executor::new(), store }
    }

    fn ledger(&self, n: u8) -> Ledger {
        let clock = Rc::new(self.executor.clock().0);
        Ledger::open(self.store.clone(), clock, key(n)).unwrap()
    }
}

fn now_ms(ledger: &Ledger) -> u64 {
    ledger.0.clock.now().0
}

fn totals(served_bytes: u64) -> Totals {
    Totals { served_bytes, ..Totals::default() }
}

fn signed(giver: u8, to: u8, served_bytes: u64, until_ms: u64) -> SignedReceipt {
    let receipt = Receipt {
        v: 1,
        giver: peer(giver),
        to: peer(to),
        since_ms: 0,
        until_ms,
        totals: totals(served_bytes),
    };
    SignedReceipt::sign(receipt, &key(giver)).unwrap()
}

fn root(n: u8) -> Cid {
    Cid::of(Codec::Raw, &[n])
}

#[test]
fn the_book_outlives_a_restart_and_a_page_that_rotted() {
    let world = World::new();
    let ledger = world.ledger(1);
    ledger.received(peer(2), &root(1), 1 << 20);
    ledger.sent(peer(3), 500);
    ledger.audited(peer(2), true);
    ledger.0.book.borrow_mut().placed(&peer(2), Some(Prefix::V6([1, 2, 3, 4, 5, 6])));
    ledger.keep();
    let again = world.ledger(1);
    for n in [2, 3] {
        assert_eq!(again.entry(&peer(n)), ledger.entry(&peer(n)), "{n}");
        assert!(again.entry(&peer(n)).is_some());
    }
    let key = *peer(2).public_key();
    world.store.meta_put(crate::store::Meta::Ledger, key, vec![0xff]).unwrap();
    let rotten = world.ledger(1);
    assert_eq!(rotten.entry(&peer(2)), None);
    assert!(rotten.entry(&peer(3)).is_some());
}

#[test]
fn what_is_fetched_for_others_is_no_favour() {
    let world = World::new();
    let ledger = world.ledger(1);
    let errand = (ledger.errand(root(1)), ledger.errand(root(1)));
    ledger.received(peer(2), &root(1), 100);
    drop(errand.0);
    ledger.received(peer(2), &root(1), 100);
    assert_eq!(ledger.entry(&peer(2)), None);
    ledger.received(peer(2), &root(2), 7);
    drop(errand.1);
    ledger.received(peer(2), &root(1), 100);
    assert_eq!(ledger.entry(&peer(2)).unwrap().theirs, totals(107));
}

#[test]
fn a_swap_gives_takes_and_reminds() {
    let world = World::new();
    let ledger = world.ledger(1);
    ledger.received(peer(2), &root(1), 1000);
    ledger.sent(peer(2), 70);
    let now = now_ms(&ledger);
    let ask = |given, known| Swap { given, known }.encode().unwrap();
    // It thanks for 70 bytes, and is thanked for 1,000.
    let thanks = signed(2, 1, 70, now);
    let answer = ledger.0.answer(peer(2), &ask(Some(thanks.clone()), None));
    let given = answer.given.unwrap();
    given.verify(now).unwrap();
    assert_eq!((given.receipt.giver, given.receipt.to), (peer(1), peer(2)));
    assert_eq!((given.receipt.totals, answer.known), (totals(1000), Some(thanks.clone())));
    // Too soon.
    assert_eq!(ledger.0.answer(peer(2), &ask(None, None)), Swap::default());
    // What others signed, or signed for others, changes nothing.
    for wrong in [
        Swap { given: Some(signed(3, 1, 99, now)), known: None },
        Swap { given: Some(signed(2, 3, 99, now)), known: None },
        Swap { given: None, known: Some(signed(2, 1, 99_999, now)) },
        Swap { given: None, known: Some(signed(1, 3, 99_999, now)) },
        Swap { given: None, known: Some(SignedReceipt { sig: thanks.sig, ..given.clone() }) },
    ] {
        let before = ledger.entry(&peer(2));
        ledger.0.heard(peer(2), &wrong.encode().unwrap());
        assert_eq!(ledger.entry(&peer(2)), before);
    }
    ledger.0.heard(peer(2), b"\xff");
    // Its own signature it believes, also where it forgot everything.
    let other = World::new();
    let lost = other.ledger(1);
    let kept = signed(1, 2, 5000, now);
    let answer = lost.0.answer(peer(2), &ask(None, Some(kept)));
    assert_eq!(lost.entry(&peer(2)).unwrap().theirs, totals(5000));
    assert_eq!(answer.given.unwrap().receipt.totals, totals(5000));
    // A stranger with nothing to show opens no page.
    let nothing = lost.0.answer(peer(4), &ask(Some(signed(4, 1, 9, now)), None));
    assert_eq!((nothing, lost.entry(&peer(4))), (Swap::default(), None));
}

#[test]
fn an_asker_is_judged_by_what_is_kept_both_ways() {
    let world = World::new();
    let ledger = world.ledger(1);
    let lent = |root: Cid, asker: u8, bytes: u64| LentRecord {
        v: 1,
        root,
        owner: Did(Hash([1; 32])),
        asker: peer(asker),
        bytes,
        epoch: 1,
        until_ms: 0,
        complete: true,
    };
    // Two asked for one root: each is charged half. Nobody is for what is kept unasked.
    let records = [lent(root(1), 2, 600), lent(root(1), 3, 600), lent(root(2), 2, 100)];
    let own = [lent(root(2), 9, 100), lent(root(3), 9, 500)];
    let all = [&records[..], &own[..]].concat();
    assert_eq!(kept_for(&all, &peer(9)), BTreeMap::from([(peer(2), 400), (peer(3), 300)]));
    let space = Space { limit_bytes: 1000, used_bytes: 700 };
    assert!(matches!(ledger.admit(peer(2), 100, &space, &records), Err(Unwanted::Unearned)));
    let hour = 3_600_000;
    let start = now_ms(&ledger) - 48 * hour;
    for n in 1..=48 {
        let now = start + n * hour;
        ledger.0.book.borrow_mut().together(peer(2), hour, 300, 0, now);
    }
    assert_eq!(ledger.admit(peer(2), 100, &space, &records), Ok(Right::Earned));
    assert_eq!(ledger.renew(peer(2), &space, &records), Ok(()));
    assert!(ledger.admit(peer(3), 100, &space, &records).is_err());
}

#[test]
fn messages_and_pages_fit_their_limits() {
    let most =
        Totals { stored_byte_hours: u64::MAX, served_bytes: u64::MAX, audits_passed: u64::MAX };
    let receipt = Receipt {
        v: u16::MAX,
        giver: peer(1),
        to: peer(2),
        since_ms: u64::MAX,
        until_ms: u64::MAX,
        totals: most,
    };
    let receipt = Some(SignedReceipt::sign(receipt, &key(1)).unwrap());
    let swap = Swap { given: receipt.clone(), known: receipt.clone() };
    let bytes = swap.encode().unwrap();
    assert!(bytes.len() <= wire::SWAP_BYTES, "{}", bytes.len());
    assert_eq!(Swap::decode(&bytes), Ok(swap));
    let recent = book::Recent {
        at_ms: u64::MAX,
        together_ms: u64::MAX,
        kept_byte_hours: u64::MAX,
        received_bytes: u64::MAX,
        lent_byte_hours: u64::MAX,
        sent_bytes: u64::MAX,
    };
    let entry = Entry {
        place: Some(Prefix::V6([255; 6])),
        since_ms: u64::MAX,
        seen_ms: u64::MAX,
        theirs: most,
        ours: most,
        failed_audits: u64::MAX,
        recent,
        receipt,
    };
    let record = record::EntryRecord::of(&entry);
    let bytes = cbor::encode(&record).unwrap();
    assert!(bytes.len() <= record::ENTRY_BYTES, "{}", bytes.len());
    let newer = record::EntryRecord { v: 2, ..record.clone() };
    assert_eq!((record.entry(), newer.entry()), (Some(entry), None));
}
