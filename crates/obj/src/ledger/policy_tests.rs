//! Who is taken when space is short, and who is not renewed.

use proptest::prelude::*;

use super::*;

const GB: u64 = 1 << 30;
const NOW_MS: u64 = 1_735_689_600_000;

fn turns() -> Turns {
    Turns::new([7; 32])
}

fn place(n: u8) -> Option<Prefix> {
    Some(Prefix::V4([203, 0, n]))
}

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key([n; 32])
}

/// For each: bytes that we keep for it, bytes that it keeps for us, where it is.
fn lodgers(all: &[(u64, u64, u8)]) -> Lodgers {
    let lodger = |(n, (kept_bytes, keeps_bytes, at)): (usize, &(u64, u64, u8))| {
        let (kept_bytes, keeps_bytes, place) = (*kept_bytes, *keeps_bytes, place(*at));
        (peer(n as u8), Lodger { kept_bytes, keeps_bytes, place })
    };
    all.iter().enumerate().map(lodger).collect()
}

/// A space of 64 GB in which these are.
fn space(lodgers: &Lodgers) -> Space {
    let used_bytes = lodgers.values().map(|lodger| lodger.kept_bytes).sum();
    Space { limit_bytes: 64 * GB, used_bytes }
}

fn ask(lodgers: &Lodgers, asker: &Lodger, bytes: u64) -> Result<Right, Unwanted> {
    hold(&space(lodgers), lodgers, asker, bytes, &turns(), NOW_MS)
}

fn newcomer(at: u8) -> Lodger {
    Lodger { place: place(at), ..Lodger::default() }
}

#[test]
fn while_there_is_plenty_everybody_is_taken() {
    let few = lodgers(&[(20 * GB, 0, 1)]);
    assert_eq!(ask(&few, &newcomer(1), 12 * GB), Ok(Right::Open));
    assert_ne!(ask(&few, &newcomer(1), 12 * GB + 1), Ok(Right::Open));
    assert_eq!(ask(&few, &newcomer(2), 45 * GB), Err(Unwanted::Full));
}

#[test]
fn who_keeps_for_us_comes_first_up_to_twice_as_much() {
    let full = lodgers(&[(32 * GB, 0, 1), (4 * GB, 4 * GB, 2)]);
    let partner = full[&peer(1)];
    assert_eq!(ask(&full, &partner, 4 * GB), Ok(Right::Earned));
    // The rest of it shares the pot with newcomers, and is more than one place's part of it.
    assert_eq!(ask(&full, &partner, 4 * GB + GB), Ok(Right::Slot));
    assert_eq!(ask(&full, &partner, 4 * GB + 9 * GB), Err(Unwanted::Unearned));
    let more = lodgers(&[(28 * GB, 0, 1), (10 * GB, 4 * GB, 2)]);
    assert_eq!(ask(&more, &more[&peer(1)], GB), Err(Unwanted::Place));
    // Who has more than it gives and more than its place's part gets nothing further.
    assert_eq!(ask(&full, &full[&peer(0)], GB), Err(Unwanted::Place));
}

#[test]
fn the_pot_is_kept_free_for_newcomers() {
    let givers = lodgers(&[(56 * GB, 40 * GB, 1)]);
    assert_eq!(ask(&givers, &givers[&peer(0)], 1), Err(Unwanted::Full));
    assert_eq!(ask(&givers, &newcomer(2), 2 * GB), Ok(Right::Slot));
    // Once it is used, what is left belongs to whoever earned it.
    let used = lodgers(&[(50 * GB, 40 * GB, 1), (8 * GB, 0, 2)]);
    assert_eq!(ask(&used, &used[&peer(0)], 6 * GB), Ok(Right::Earned));
    assert_eq!(ask(&used, &newcomer(3), 1), Err(Unwanted::Unearned));
}

#[test]
fn many_identities_of_one_place_share_one_part() {
    let mut all = lodgers(&[(50 * GB, 40 * GB, 1)]);
    let mut taken = 0;
    for n in 10..100 {
        let sybil = newcomer(9);
        if ask(&all, &sybil, GB / 4).is_ok() {
            taken += 1;
            all.insert(peer(n), Lodger { kept_bytes: GB / 4, ..sybil });
        }
    }
    assert_eq!(taken, 8, "a quarter of an eighth of 64 GB");
    assert_eq!(ask(&all, &newcomer(8), GB / 4), Ok(Right::Slot), "another place has its own");
    // Behind relays, all are one place.
    let relayed = Lodger::default();
    assert_eq!(ask(&all, &relayed, GB / 4), Ok(Right::Slot));
}

#[test]
fn when_the_pot_runs_low_places_take_turns() {
    let all = lodgers(&[(50 * GB, 40 * GB, 1), (2 * GB, 0, 2), (2 * GB, 0, 3), (1, 0, 4)]);
    let turn = |at: u8, hour: u64| {
        let now_ms = NOW_MS + hour * TURN_MS + 1;
        hold(&space(&all), &all, &newcomer(at), GB, &turns(), now_ms)
    };
    let mut waits = 0;
    for at in 10..30 {
        let on = (0..200).filter(|hour| turn(at, *hour) == Ok(Right::Slot)).count();
        assert!((25..80).contains(&on), "{on} of 200 for place {at}");
        waits += (0..200).filter(|hour| turn(at, *hour).is_err()).count();
    }
    assert!((2800..3200).contains(&waits), "{waits} of 4000");
    let off = (0..200).find_map(|hour| turn(10, hour).err()).unwrap();
    assert_eq!(off, Unwanted::Turn { next_ms: TURN_MS - 1 });
    assert_eq!(off.retry_ms(), TURN_MS - 1);
    // Another node has other turns.
    let other = Turns::new([8; 32]);
    let differ = (0..100).filter(|h| {
        let now_ms = NOW_MS + h * TURN_MS;
        other.is_on(place(1), now_ms) != turns().is_on(place(1), now_ms)
    });
    assert!(differ.count() > 10);
}

#[test]
fn what_is_not_earned_is_not_renewed_when_space_is_short() {
    let renewed = |all: &Lodgers, n: u8| renew(&space(all), all, &all[&peer(n)]);
    // Half is open: nobody else needs it.
    let idle = lodgers(&[(32 * GB, 0, 1)]);
    assert_eq!(renewed(&idle, 0), Ok(()));
    let short = lodgers(&[(30 * GB, 0, 1), (20 * GB, 10 * GB, 2)]);
    assert_eq!(renewed(&short, 0), Err(Unwanted::NotRenewed));
    assert_eq!(renewed(&short, 1), Ok(()));
    // It fits what is open and the pot.
    let fits = lodgers(&[(20 * GB, 0, 1), (20 * GB, 10 * GB, 2)]);
    assert_eq!(renewed(&fits, 0), Ok(()));
    assert!(renew(&space(&short), &short, &Lodger::default()).is_ok(), "nothing to renew");
    // A limit that was lowered below what is here.
    let lowered = Space { limit_bytes: 0, used_bytes: 50 * GB };
    assert_eq!(renew(&lowered, &short, &short[&peer(0)]), Err(Unwanted::NotRenewed));
    assert_eq!(renew(&lowered, &short, &short[&peer(1)]), Ok(()));
}

proptest! {
    #[test]
    fn whatever_is_asked_the_limit_holds_and_nothing_overflows(
        limit_bytes: u64,
        all in prop::collection::vec((any::<u64>(), any::<u64>(), 0u8..4), 0..8),
        keeps: u64,
        kept: u64,
        bytes: u64,
        used: u64,
        now_ms: u64,
    ) {
        let all = lodgers(&all);
        let space = Space { limit_bytes, used_bytes: used };
        let asker = Lodger { kept_bytes: kept, keeps_bytes: keeps, place: place(1) };
        let _ = renew(&space, &all, &asker);
        if hold(&space, &all, &asker, bytes, &turns(), now_ms).is_ok() {
            prop_assert!(used.checked_add(bytes).is_some_and(|used| used <= limit_bytes));
        }
    }

    #[test]
    fn to_keep_more_for_us_never_hurts(
        kept in 0..20 * GB, keeps in 0..20 * GB, more in 0..20 * GB, bytes in 1..10 * GB,
    ) {
        let rest = [(30 * GB, 12 * GB, 1), (4 * GB, 0, 2)];
        let with = |keeps: u64| {
            let all = lodgers(&[rest[0], rest[1], (kept, keeps, 3)]);
            ask(&all, &all[&peer(2)], bytes)
        };
        let covered = |keeps: u64| with(keeps) == Ok(Right::Earned);
        prop_assert!(!covered(keeps) || covered(keeps + more));
    }

    #[test]
    fn newcomers_never_take_more_than_the_open_half_and_the_pot(
        sizes in prop::collection::vec((1..4 * GB, 0u8..20), 1..120),
    ) {
        let mut all = Lodgers::new();
        for (n, (bytes, at)) in sizes.into_iter().enumerate() {
            let asker = newcomer(at);
            if ask(&all, &asker, bytes).is_ok() {
                all.insert(peer(n as u8), Lodger { kept_bytes: bytes, ..asker });
            }
        }
        prop_assert!(space(&all).used_bytes <= 40 * GB);
    }
}
