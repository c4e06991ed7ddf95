//! Shares of an upload that is short: by merit, with a part for strangers, none of it lost.

use proptest::prelude::*;

use super::*;

const RATE: u64 = 1_000_000;
const BLOCK: u64 = 32 << 10;

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key([n; 32])
}

fn asker(n: u8, earned_bytes: u64, at: u8) -> Asker {
    Asker { peer: peer(n), earned_bytes, place: Some(Prefix::V4([203, 0, at])) }
}

/// Everybody asks for blocks all the time, as fast as answered; bytes that each got in `seconds`.
fn contest(askers: &[Asker], seconds: u64) -> Vec<u64> {
    let mut shares = Shares::default();
    let mut next = vec![Duration::ZERO; askers.len()];
    let mut got = vec![0; askers.len()];
    for ms in 0..seconds * 1000 {
        let now = Duration::from_millis(ms);
        for (n, asker) in askers.iter().enumerate() {
            if next[n] > now {
                continue;
            }
            match shares.ask(asker, RATE, now) {
                Ok(()) => {
                    shares.spend(asker, BLOCK);
                    got[n] += BLOCK;
                }
                Err(wait) => next[n] = now + wait,
            }
        }
    }
    got
}

#[test]
fn who_gave_more_gets_more_and_strangers_get_a_quarter() {
    // Weights 1, 3 and 6, and strangers at three places, two of them at one.
    let askers = [
        asker(1, LEAST_BYTES, 1),
        asker(2, 4 * LEAST_BYTES, 2),
        asker(3, 32 * LEAST_BYTES, 3),
        asker(4, 0, 4),
        asker(5, LEAST_BYTES - 1, 5),
        asker(6, 0, 6),
        asker(7, 0, 6),
    ];
    let got = contest(&askers, 200);
    let all: u64 = got.iter().sum();
    assert!((190 * RATE..=202 * RATE).contains(&all), "{all} of {}", 200 * RATE);
    let share = |n: usize| got[n] as f64 / all as f64;
    // Three of thirteen go to strangers: less than a quarter.
    for (n, wanted) in [(0, 1.0), (1, 3.0), (2, 6.0), (3, 1.0), (4, 1.0)] {
        let wanted = wanted / 13.0;
        assert!((share(n) - wanted).abs() < 0.15 * wanted, "{n}: {} of {wanted}", share(n));
    }
    let one_place = share(5) + share(6);
    assert!((one_place - 1.0 / 13.0).abs() < 0.02, "{one_place}");
}

#[test]
fn many_strangers_take_from_each_other() {
    let mut askers: Vec<Asker> = (10..60).map(|n| asker(n, 0, n)).collect();
    askers.push(asker(1, LEAST_BYTES, 1));
    let got = contest(&askers, 100);
    let all: u64 = got.iter().sum();
    let giver = got[50] as f64 / all as f64;
    assert!((0.70..0.80).contains(&giver), "{giver}");
}

#[test]
fn alone_one_has_all_of_it() {
    for earned in [0, 100 * LEAST_BYTES] {
        let got = contest(&[asker(1, earned, 1)], 50)[0];
        assert!((48 * RATE..=52 * RATE).contains(&got), "{got}");
    }
}

#[test]
fn a_debt_is_not_forgotten_by_going_away() {
    let mut shares = Shares::default();
    let greedy = asker(1, 0, 1);
    shares.ask(&greedy, RATE, Duration::ZERO).unwrap();
    shares.spend(&greedy, 10 * RATE);
    let later = Duration::from_secs(5);
    let wait = shares.ask(&greedy, RATE, later).unwrap_err();
    assert!((Duration::from_millis(4_500)..=LONGEST).contains(&wait), "{wait:?}");
    assert!(shares.ask(&asker(2, 0, 1), RATE, later).is_err(), "nor by another name");
    assert!(shares.ask(&greedy, RATE, Duration::from_secs(11)).is_ok());
}

#[test]
fn shares_are_bounded() {
    let mut shares = Shares::default();
    for n in 0..2000u32 {
        let mut key = [9; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        let peer = PeerId::from_public_key(key);
        let asker = Asker { peer, earned_bytes: LEAST_BYTES, place: None };
        let _ = shares.ask(&asker, RATE, Duration::ZERO);
        shares.spend(&asker, BLOCK);
    }
    assert_eq!(shares.shares.len(), SHARES + 1, "the rest has one together");
    shares.refill(RATE, Duration::from_secs(86_400));
    shares.refill(RATE, Duration::from_secs(86_401));
    assert!(shares.shares.is_empty());
}

proptest! {
    #[test]
    fn shares_are_of_one_whole(
        earned in prop::collection::vec(0..1u64 << 50, 1..40),
        spent in prop::collection::vec(0..1u64 << 30, 1..40),
    ) {
        let mut shares = Shares::default();
        for (n, (earned, spent)) in earned.iter().zip(spent).enumerate() {
            let asker = asker(n as u8, *earned, n as u8);
            let wait = shares.ask(&asker, RATE, Duration::from_millis(n as u64));
            prop_assert!(wait.is_ok() || wait.is_err_and(|wait| wait <= LONGEST));
            shares.spend(&asker, spent);
        }
        let weights = shares.weights();
        let sum: f64 =
            shares.shares.values().map(|share| weights.per_second(share.weight, RATE)).sum();
        prop_assert!((sum - RATE as f64).abs() < 1.0, "{sum}");
    }
}
