//! What is kept together, and when a home is given up.

#![allow(clippy::unwrap_used, reason = "tests")]

use craftec_core::Codec;

use super::*;
use crate::pack::Pack;

fn object(n: u32) -> Cid {
    Cid::of(Codec::Raw, &n.to_be_bytes())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Gives each group that is due its home, as the owner does.
fn settle(packs: &mut Packs, now: Duration) -> Vec<Cid> {
    let mut homes = Vec::new();
    for group in packs.due(now) {
        let members = &group.members;
        let root = match members[..] {
            [alone] => alone,
            _ => *Pack::of(members.iter().copied()).unwrap().block().unwrap().cid(),
        };
        packs.settle(root, group);
        homes.push(root);
    }
    homes
}

fn put(packs: &mut Packs, objects: std::ops::Range<u32>, now: Duration) {
    objects.for_each(|n| packs.put(object(n), 1000, 3, now));
}

#[test]
fn what_is_put_together_is_kept_together() {
    let mut packs = Packs::default();
    put(&mut packs, 0..10, ms(0));
    assert_eq!(packs.homes(&object(1)), []);
    assert!(packs.is_waiting() && packs.due(ms(199)).is_empty());
    let homes = settle(&mut packs, ms(200));
    assert_eq!((homes.len(), packs.is_waiting()), (1, false));
    assert!(packs.is_pack(&homes[0]));
    assert_eq!(packs.homes(&object(7)), [homes[0]]);
    assert_eq!(packs.members(&homes[0]).len(), 10);
    // The same object again changes nothing.
    put(&mut packs, 3..4, ms(300));
    assert!(!packs.is_waiting());
    // Something else is by itself.
    assert_eq!(packs.homes(&object(99)), [object(99)]);
    assert_eq!(packs.members(&object(99)), [object(99)]);
}

#[test]
fn what_comes_alone_is_by_itself_until_many_did() {
    let mut packs = Packs::default();
    for n in 0..ALONE as u32 {
        let now = ms(u64::from(n) * 1000);
        packs.put(object(n), 10, 3, now);
        assert_eq!(settle(&mut packs, now + QUIET), [object(n)]);
        assert!(!packs.is_pack(&object(n)));
        packs.rearrange(now + QUIET);
        assert_eq!(packs.is_waiting(), n + 1 == ALONE as u32);
    }
    let later = ms(100_000);
    let homes = settle(&mut packs, later);
    assert_eq!(homes.len(), 1);
    // Each stays where it is until the pack is placed.
    assert_eq!(packs.empty(|_| (1, false)), []);
    assert_eq!(packs.empty(|root| (1, *root == homes[0])).len(), ALONE);
    assert_eq!(packs.empty(|_| (1, true)), []);
    assert_eq!(packs.members(&homes[0]).len(), ALONE);
}

#[test]
fn a_long_upload_is_divided() {
    let mut packs = Packs::default();
    let mut homes = Vec::new();
    // One each 50 ms, for ten seconds.
    for n in 0..200 {
        let now = ms(u64::from(n) * 50);
        packs.put(object(n), 10, 3, now);
        homes.extend(settle(&mut packs, now));
    }
    homes.extend(settle(&mut packs, ms(20_000)));
    assert!((5..=6).contains(&homes.len()), "{}", homes.len());
    let many = MEMBERS as u32 * 2 + 5;
    put(&mut packs, 1000..1000 + many, ms(30_000));
    let sizes: Vec<usize> = packs.due(ms(30_000)).iter().map(|group| group.members.len()).collect();
    assert_eq!(sizes, [MEMBERS, MEMBERS, 5]);
}

#[test]
fn packs_have_limits_and_one_number_of_copies() {
    let mut packs = Packs::default();
    (0..20).for_each(|n| packs.put(object(n), 125_000, 3, ms(0)));
    (20..25).for_each(|n| packs.put(object(n), 125_000, 30, ms(0)));
    let groups = packs.due(ms(500));
    assert!(groups.iter().all(|group| group.bytes <= PACK_BYTES));
    let copies: Vec<(u16, usize)> = groups.iter().map(|g| (g.wanted, g.members.len())).collect();
    assert_eq!(copies, [(3, 8), (3, 8), (3, 4), (30, 5)]);
}

#[test]
fn other_copies_are_another_home() {
    let mut packs = Packs::default();
    put(&mut packs, 0..4, ms(0));
    let first = settle(&mut packs, ms(500))[0];
    packs.put(object(0), 1000, 5, ms(1000));
    // Its old copies count until it has others.
    assert_eq!(packs.homes(&object(0)), [first]);
    assert_eq!(settle(&mut packs, ms(2000)), [object(0)]);
    assert_eq!(packs.homes(&object(0)), [object(0), first]);
    assert_eq!(packs.members(&first).len(), 3);
    assert_eq!(packs.empty(|_| (1, true)), []);
}

#[test]
fn a_pack_that_is_not_whole_here_keeps_nothing_from_being_placed() {
    let mut packs = Packs::default();
    put(&mut packs, 0..10, ms(0));
    let old = settle(&mut packs, ms(500))[0];
    // One was deleted, one rotted.
    packs.remove(&object(0));
    packs.rearrange(ms(500));
    assert!(!packs.is_waiting());
    let missing = BTreeSet::from([object(0), object(1)]);
    packs.give_up(&old, &missing, ms(1000));
    let homes = settle(&mut packs, ms(2000));
    assert_eq!(homes.len(), 2);
    assert_eq!(packs.homes(&object(1)), [object(1), old]);
    assert_eq!(packs.members(&homes[1]).len(), 8);
    assert_eq!(packs.empty(|root| (1, homes[0] == *root)), []);
    // Nobody has it: then there is nothing to wait for.
    assert_eq!(packs.empty(|_| (0, false)), [old]);
    packs.give_up(&object(1), &missing, ms(3000));
    assert!(!packs.is_waiting());
}

#[test]
fn a_pack_of_which_little_is_left_is_given_up_after_that_is_safe() {
    let mut packs = Packs::default();
    put(&mut packs, 0..10, ms(0));
    let old = settle(&mut packs, ms(500))[0];
    (0..5).for_each(|n| assert!(packs.remove(&object(n))));
    assert!(!packs.remove(&object(0)));
    packs.rearrange(ms(1000));
    assert!(!packs.is_waiting(), "half is left");
    packs.remove(&object(5));
    packs.rearrange(ms(1000));
    assert!(packs.is_waiting());
    // Deleted or not, and waiting or not: the old home is what there is.
    assert_eq!(packs.homes(&object(9)), [old]);
    let new = settle(&mut packs, ms(2000))[0];
    assert_eq!(packs.homes(&object(9)), [new, old]);
    assert_eq!(packs.empty(|root| (1, *root == old)), []);
    assert_eq!(packs.empty(|_| (1, true)), [old]);
    assert_eq!(packs.homes(&object(9)), [new]);
    (6..10).for_each(|n| assert!(packs.remove(&object(n))));
    assert_eq!(packs.empty(|_| (1, false)), [new]);
}
