//! What is booked, how it fades, what a receipt brings back, and who is forgotten.

use craftec_core::{TransportKey, sign::Signature};
use proptest::prelude::*;

use super::*;

const START_MS: u64 = 1_735_689_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const MB: u64 = 1_000_000;

fn peer(n: u32) -> PeerId {
    let mut key = [1; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    PeerId::from_public_key(key)
}

/// A peer that keeps `kept` bytes for us, and we `lent` for it, over so many hours of being connected.
fn keep(book: &mut Book, n: u32, kept: u64, lent: u64, from_ms: u64, hours: u64) -> u64 {
    for hour in 1..=hours {
        book.together(peer(n), HOUR_MS, kept, lent, from_ms + hour * HOUR_MS);
    }
    from_ms + hours * HOUR_MS
}

fn keeps(book: &Book, n: u32, now_ms: u64) -> u64 {
    book.entry(&peer(n)).unwrap().keeps_bytes(now_ms)
}

/// The receipt of `n` for us, unsigned: the book takes what was verified.
fn receipt(n: u32, served_bytes: u64, until_ms: u64) -> SignedReceipt {
    let totals = Totals { served_bytes, ..Totals::default() };
    let (giver, to) = (peer(n), TransportKey::from_seed([1; 32]).peer_id());
    let receipt = Receipt { v: 1, giver, to, since_ms: 0, until_ms, totals };
    SignedReceipt { receipt, sig: Signature([0; 64]) }
}

#[test]
fn what_is_kept_counts_in_full_after_a_day_of_keeping_it() {
    let mut book = Book::default();
    let now = keep(&mut book, 1, MB, 0, START_MS, 1);
    assert!((MB / 25..=MB / 24).contains(&keeps(&book, 1, now)), "{}", keeps(&book, 1, now));
    let now = keep(&mut book, 1, MB, 0, now, 11);
    let half = keeps(&book, 1, now);
    assert!((MB * 47 / 100..=MB / 2).contains(&half), "{half}");
    let now = keep(&mut book, 1, MB, 0, now, 24 * 30);
    let full = keeps(&book, 1, now);
    assert!((MB * 99 / 100..=MB).contains(&full), "{full}");
    // It drops what it had: a week of keeping nothing leaves half.
    let now = keep(&mut book, 1, 0, 0, now, 24 * 7);
    let left = keeps(&book, 1, now);
    assert!((MB * 48 / 100..=MB * 52 / 100).contains(&left), "{left}");
}

#[test]
fn absence_is_no_loss_and_long_absence_is_forgotten_slowly() {
    let mut book = Book::default();
    let now = keep(&mut book, 1, MB, 0, START_MS, 24 * 14);
    let then = keeps(&book, 1, now);
    // A holiday of ten days: what it keeps is as before, as far as anyone knows.
    let after = keeps(&book, 1, now + 10 * DAY_MS);
    assert!(after >= then * 98 / 100, "{after} of {then}");
    let much_later = keeps(&book, 1, now + 60 * DAY_MS);
    assert!(much_later < then / 10, "{much_later} of {then}");
}

#[test]
fn both_sides_book_the_same_time() {
    let (mut mine, mut theirs) = (Book::default(), Book::default());
    for hour in 1..50 {
        let now = START_MS + hour * HOUR_MS;
        mine.together(peer(1), HOUR_MS, 3 * MB, MB, now);
        theirs.together(peer(2), HOUR_MS, MB, 3 * MB, now);
    }
    let (a, b) = (mine.entry(&peer(1)).unwrap(), theirs.entry(&peer(2)).unwrap());
    assert_eq!((a.theirs, a.ours), (b.ours, b.theirs));
    assert_eq!(a.recent.kept_byte_hours, b.recent.lent_byte_hours);
    assert_eq!(a.theirs.stored_byte_hours, 49 * 3 * MB);
}

#[test]
fn what_was_sent_is_earned_and_fades_by_half_in_a_week() {
    let mut book = Book::default();
    book.received(peer(1), 100 * MB, START_MS);
    book.sent(peer(1), MB, START_MS);
    let entry = book.entry(&peer(1)).unwrap();
    assert_eq!(entry.earned_bytes(START_MS), 100 * MB);
    assert_eq!(entry.earned_bytes(START_MS + HALF_LIFE_MS), 50 * MB);
    assert_eq!((entry.theirs.served_bytes, entry.ours.served_bytes), (100 * MB, MB));
    // Kept for a month, a byte is worth one that was sent.
    let mut keeper = Book::default();
    let now = keep(&mut keeper, 2, MB, 0, START_MS, 720);
    let earned = keeper.entry(&peer(2)).unwrap().earned_bytes(now);
    // What fades meanwhile: ten days' worth are left of thirty.
    assert!((MB * 30 / 100..MB * 33 / 100).contains(&earned), "{earned}");
    assert_eq!(book.entry(&peer(9)), None);
}

#[test]
fn a_failed_audit_halves_the_credit_and_a_passed_one_is_told_in_receipts() {
    let mut book = Book::default();
    let now = keep(&mut book, 1, MB, 0, START_MS, 24 * 7);
    let before = keeps(&book, 1, now);
    book.audited(peer(1), true, now);
    assert_eq!(keeps(&book, 1, now), before);
    book.audited(peer(1), false, now);
    book.audited(peer(1), false, now);
    assert!(keeps(&book, 1, now).abs_diff(before / 4) <= 1);
    assert_eq!(book.entry(&peer(1)).unwrap().failed_audits, 2);
    let totals = book.receipt_for(peer(7), peer(1), now).unwrap().totals;
    assert_eq!((totals.audits_passed, totals.stored_byte_hours), (1, 24 * 7 * MB));
}

#[test]
fn a_receipt_is_given_for_what_was_done_and_taken_when_it_is_newer() {
    let mut book = Book::default();
    book.sent(peer(1), 500, START_MS);
    assert_eq!(book.receipt_for(peer(7), peer(1), START_MS), None, "it did nothing for us");
    assert!(!book.take_receipt(receipt(2, 1, 1), START_MS), "we did nothing for it");
    assert_eq!(book.entry(&peer(2)), None);
    assert!(book.take_receipt(receipt(1, 500, 10), START_MS));
    assert!(!book.take_receipt(receipt(1, 499, 20), START_MS));
    assert!(!book.take_receipt(receipt(1, 500, 10), START_MS));
    assert!(book.take_receipt(receipt(1, 600, 20), START_MS));
    let held = book.entry(&peer(1)).unwrap().receipt.clone().unwrap();
    assert_eq!(held.receipt.totals.served_bytes, 600);
}

#[test]
fn a_lost_book_is_reminded_by_its_own_signature() {
    let mut book = Book::default();
    let now = keep(&mut book, 1, MB, 0, START_MS, 24 * 14);
    book.received(peer(1), 10 * MB, now);
    let own = book.receipt_for(peer(7), peer(1), now).unwrap();
    assert!(!book.remind(&own, now), "it knows that");
    let before = book.entry(&peer(1)).unwrap().clone();

    let mut lost = Book::default();
    assert!(lost.remind(&own, now + HOUR_MS));
    assert!(!lost.remind(&own, now + HOUR_MS), "once");
    let after = lost.entry(&peer(1)).unwrap();
    assert_eq!((after.theirs, after.since_ms), (before.theirs, before.since_ms));
    let (was, is) = (before.keeps_bytes(now), after.keeps_bytes(now + HOUR_MS));
    assert!((was * 95 / 100..=was * 101 / 100).contains(&is), "{is} of {was}");
    // The totals go on from there.
    lost.received(peer(1), MB, now + HOUR_MS);
    let next = lost.receipt_for(peer(7), peer(1), now + HOUR_MS).unwrap();
    assert!(next.totals.covers(&own.totals));
    // An old receipt brings back what is left of it, and not what it once was.
    let mut late = Book::default();
    assert!(late.remind(&own, now + 70 * DAY_MS));
    assert!(late.entry(&peer(1)).unwrap().keeps_bytes(now + 70 * DAY_MS) < was / 100);
    assert_eq!(late.entry(&peer(1)).unwrap().theirs, before.theirs);
}

#[test]
fn a_flood_of_strangers_pushes_out_strangers() {
    let mut book = Book::default();
    let now = keep(&mut book, 1, MB, 0, START_MS, 24);
    for n in 0..2 * PEERS as u32 {
        book.sent(peer(1000 + n), 1 << 20, now + u64::from(n));
    }
    assert_eq!(book.peers().count(), PEERS);
    assert!(book.entry(&peer(1)).is_some(), "who gave is remembered");
    assert!(book.entry(&peer(1000)).is_none() && book.entry(&peer(1001)).is_none());
    let changed = book.take_changed();
    let gone = changed.iter().filter(|(_, entry)| entry.is_none()).count();
    assert_eq!((gone, changed.len()), (PEERS + 1, 2 * PEERS + 1));
    assert!(book.take_changed().is_empty());
    // One that only passes by opens no page.
    book.together(peer(5), HOUR_MS, 0, 0, now);
    book.placed(&peer(5), Some(Prefix::V4([1, 2, 3])));
    assert!(book.entry(&peer(5)).is_none() && book.take_changed().is_empty());
}

proptest! {
    #[test]
    fn nothing_overflows_and_totals_only_grow(
        steps in prop::collection::vec((0u8..6, any::<u64>(), any::<u64>()), 1..40),
    ) {
        let mut book = Book::default();
        let mut before = Totals::default();
        for (what, number, now_ms) in steps {
            match what {
                0 => book.received(peer(1), number, now_ms),
                1 => book.sent(peer(1), number, now_ms),
                2 => book.together(peer(1), number, now_ms, number, now_ms),
                3 => book.audited(peer(1), number.is_multiple_of(2), now_ms),
                4 => book.placed(&peer(1), None),
                _ => {
                    let totals = Totals { served_bytes: number >> 1, ..Totals::default() };
                    let (giver, to) = (peer(7), peer(1));
                    let (since_ms, until_ms) = (number, now_ms);
                    let own = Receipt { v: 1, giver, to, since_ms, until_ms, totals };
                    book.remind(&own, now_ms);
                }
            }
            if let Some(entry) = book.entry(&peer(1)) {
                prop_assert!(entry.theirs.covers(&before));
                before = entry.theirs;
                let _ = (entry.keeps_bytes(now_ms), entry.earned_bytes(number));
            }
        }
    }

    #[test]
    fn credit_only_fades_with_time(kept in 0..1u64 << 40, a in 0..1u64 << 40, b in 0..1u64 << 40) {
        let mut book = Book::default();
        book.together(peer(1), HOUR_MS, kept, 1, START_MS);
        let entry = book.entry(&peer(1)).unwrap();
        let (early, late) = (START_MS + a.min(b), START_MS + a.max(b));
        prop_assert!(entry.keeps_bytes(late) <= entry.keeps_bytes(early) + 1);
        prop_assert!(entry.earned_bytes(late) <= entry.earned_bytes(early));
    }
}
