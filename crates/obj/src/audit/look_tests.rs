//! Many days of many holders, honest and not, without a network.

use std::collections::BTreeMap;

use craftec_core::{Cid, Codec};
use craftec_platform::{Entropy, sim::SimEntropy};

use super::*;
use crate::{
    Block,
    audit::{
        proof::Proof,
        schedule::{DAY_MS, DAY_SAMPLES, LOOK_MS, LOOK_SAMPLES},
    },
};

const NOW: u64 = 20_000 * DAY_MS;

/// Blocks, and the proofs of all their chunks.
struct Disk {
    promised: Vec<Promised>,
    proofs: BTreeMap<Challenge, Item>,
}

impl Disk {
    fn new(blocks: u32, chunks: u32) -> Self {
        let mut disk = Self { promised: Vec::new(), proofs: BTreeMap::new() };
        for n in 0..blocks {
            let mut bytes = vec![n as u8; chunks as usize * 1024];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            let block = Block::of(Codec::Raw, bytes).unwrap();
            let bytes = Some(block.len() as u32);
            disk.promised.push(Promised { cid: *block.cid(), bytes });
            for chunk in 0..chunks {
                let challenge = Challenge { cid: *block.cid(), chunk };
                disk.proofs.insert(challenge, Item::Proof(Proof::make(&block, chunk)));
            }
        }
        disk
    }

    /// What an honest holder answers.
    fn item(&self, challenge: Challenge) -> Item {
        let last = |chunk| self.proofs.get(&Challenge { chunk, ..challenge });
        let past = || (0..challenge.chunk).rev().find_map(last);
        last(challenge.chunk).or_else(past).cloned().unwrap_or(Item::Missing)
    }

    fn cid(&self, n: u32) -> Cid {
        self.promised[n as usize].cid
    }
}

type Answers = Result<Vec<Item>, Silence>;

/// One look, if one is due, by a holder that answers as `holder` says.
fn look(
    blocks: &[Promised],
    record: &mut Record,
    now_ms: u64,
    dice: &SimEntropy,
    holder: &mut dyn FnMut(&[Challenge]) -> Answers,
) -> Verdict {
    let mut look = Look::new(blocks, record, now_ms);
    while let Some(asked) = look.next(record, now_ms, &mut || dice.next_u64()) {
        let challenges: Vec<_> = asked.iter().map(|drawn| drawn.challenge).collect();
        match holder(&challenges) {
            Ok(items) => look.answered(record, now_ms, &asked, &items, false),
            Err(silence) => look.silence(&asked, silence),
        }
    }
    look.end(record, now_ms)
}

/// Looks every quarter of an hour for so many hours, which is oftener than anything is due; the hour in
/// which the holder was evicted.
fn evicted_in(
    blocks: &[Promised],
    hours: u64,
    dice: &SimEntropy,
    holder: &mut dyn FnMut(&[Challenge]) -> Answers,
) -> Option<u64> {
    let mut record = Record::new(NOW, dice.next_u64());
    for quarter in 1..=4 * hours {
        let now_ms = NOW + quarter * LOOK_MS / 4;
        let verdict = look(blocks, &mut record, now_ms, dice, holder);
        if matches!(verdict.standing, Standing::Evicted { .. }) {
            assert!(!verdict.failed.is_empty(), "evicted for nothing");
            return Some(quarter.div_ceil(4));
        }
    }
    None
}

/// Of so many worlds, in how many the holder is evicted within `hours`.
fn evicted(
    disk: &Disk,
    (worlds, hours): (u64, u64),
    mut holder: impl FnMut(&[Challenge]) -> Answers,
) -> u64 {
    let one = |world| {
        let dice = SimEntropy::new(world);
        evicted_in(&disk.promised, hours, &dice, &mut holder).is_some()
    };
    (0..worlds).map(one).filter(|evicted| *evicted).count() as u64
}

/// One that says which of some blocks are missing.
fn lacks<'a>(disk: &'a Disk, missing: &'a [Cid]) -> impl FnMut(&[Challenge]) -> Answers + 'a {
    move |challenges| {
        let item = |challenge: &Challenge| match missing.contains(&challenge.cid) {
            true => Item::Missing,
            false => disk.item(*challenge),
        };
        Ok(challenges.iter().map(item).collect())
    }
}

const WORLDS: u64 = 500;
/// At 99.9%, more than four of 500 happen once in 6000 tries.
const MOST: u64 = 4;

#[test]
fn who_lacks_a_hundredth_is_evicted_within_a_day() {
    // 4 blocks of 400: the closer look finds the second one.
    let disk = Disk::new(400, 1);
    let missing = [disk.cid(1), disk.cid(20), disk.cid(300), disk.cid(399)];
    let seen = evicted(&disk, (WORLDS, 24), lacks(&disk, &missing));
    println!("4 of 400 blocks deleted: evicted within 24 h in {seen} of {WORLDS} worlds");
    assert!(WORLDS - seen <= MOST);
    // One block of 100: it is asked for again.
    let disk = Disk::new(100, 4);
    let missing = [disk.cid(42)];
    let seen = evicted(&disk, (WORLDS, 24), lacks(&disk, &missing));
    println!("1 of 100 blocks deleted: evicted within 24 h in {seen} of {WORLDS} worlds");
    assert!(WORLDS - seen <= MOST);
    // Half of it: in the first look.
    let half: Vec<Cid> = (0..50).map(|n| disk.cid(n)).collect();
    let seen = evicted(&disk, (100, 1), lacks(&disk, &half));
    assert_eq!(seen, 100);
}

#[test]
fn who_hangs_up_on_what_it_lacks_is_evicted_some_hours_later() {
    let disk = Disk::new(100, 4);
    let missing = disk.cid(42);
    let hangs_up = |challenges: &[Challenge]| match challenges
        .iter()
        .any(|challenge| challenge.cid == missing)
    {
        true => Err(Silence::Away),
        false => Ok(challenges.iter().map(|challenge| disk.item(*challenge)).collect()),
    };
    let (day, later) = (evicted(&disk, (300, 24), hangs_up), evicted(&disk, (300, 30), hangs_up));
    println!(
        "hanging up on 1%: evicted within 24 h in {day}, within 30 h in {later} of 300 worlds"
    );
    assert!(later >= 297, "{later}");
}

#[test]
fn an_honest_holder_passes_and_pays_its_samples() {
    let disk = Disk::new(1000, 4);
    let (dice, mut record) = (SimEntropy::new(5), Record::new(NOW, 0));
    let (mut asked, mut passed) = (0, 0);
    for hour in 1..=24 {
        let mut honest = lacks(&disk, &[]);
        let now_ms = NOW + hour * LOOK_MS;
        let verdict = look(&disk.promised, &mut record, now_ms, &dice, &mut honest);
        assert_eq!((verdict.failed.len(), verdict.standing), (0, Standing::Sound));
        assert_eq!(verdict.passed, LOOK_SAMPLES);
        (asked, passed) = (asked + verdict.asked, passed + verdict.passed);
    }
    assert_eq!((asked, passed), (DAY_SAMPLES, DAY_SAMPLES));
}

/// Lengths of 4 KiB that nobody knows, or that are said to be 1 MiB: most questions are beyond the end
/// until the ends were shown.
#[test]
fn lengths_that_are_unknown_or_wrong_fail_nobody_and_are_learned() {
    let disk = Disk::new(300, 4);
    for said in [None, Some(1 << 20)] {
        let mut blocks = disk.promised.clone();
        blocks.iter_mut().for_each(|block| block.bytes = said);
        let (dice, mut record) = (SimEntropy::new(6), Record::new(NOW, 0));
        let (mut asked, mut passed) = (0, 0);
        for hour in 1..=24 {
            let now_ms = NOW + hour * LOOK_MS;
            let verdict = look(&blocks, &mut record, now_ms, &dice, &mut lacks(&disk, &[]));
            assert_eq!((verdict.failed.len(), verdict.standing), (0, Standing::Sound));
            for (cid, len) in verdict.lengths {
                let block = blocks.iter_mut().find(|block| block.cid == cid).unwrap();
                block.bytes = Some(len);
            }
            (asked, passed) = (asked + verdict.asked, passed + verdict.passed);
        }
        println!("lengths said to be {said:?}: {asked} questions, {passed} proofs");
        assert!(passed > DAY_SAMPLES / 2, "{passed}");
        assert!(blocks == disk.promised, "all lengths were learned");
    }
}

#[test]
fn one_rotten_block_that_is_fetched_again_does_not_evict() {
    let disk = Disk::new(100, 4);
    let (dice, mut record) = (SimEntropy::new(7), Record::new(NOW, 0));
    let rotten = disk.cid(7);
    let mut failures = 0;
    for hour in 1..=7 * 24 {
        let missing: &[Cid] = if failures == 0 { &[rotten] } else { &[] };
        let mut holder = lacks(&disk, missing);
        let now_ms = NOW + hour * LOOK_MS;
        let verdict = look(&disk.promised, &mut record, now_ms, &dice, &mut holder);
        failures += verdict.failed.len();
        assert!(!matches!(verdict.standing, Standing::Evicted { .. }), "hour {hour}");
    }
    assert_eq!(failures, 1);
    assert_eq!(record.standing(NOW + 7 * DAY_MS), Standing::Suspect);
}

#[test]
fn who_is_away_is_not_failed_and_catches_up() {
    let disk = Disk::new(1000, 1);
    let (dice, mut record) = (SimEntropy::new(8), Record::new(NOW, 0));
    let mut away = |_: &[Challenge]| Err(Silence::Away);
    let mut asked = 0;
    for quarter in 1..=4 * 24 * 3 {
        let now_ms = NOW + quarter * LOOK_MS / 4;
        let verdict = look(&disk.promised, &mut record, now_ms, &dice, &mut away);
        assert_eq!((verdict.failed.len(), verdict.standing), (0, Standing::Sound));
        assert!(verdict.unreachable || verdict.asked == 0);
        asked += verdict.asked;
    }
    println!("three days away: {asked} questions in vain");
    let now_ms = NOW + 3 * DAY_MS + LOOK_MS;
    let verdict = look(&disk.promised, &mut record, now_ms, &dice, &mut lacks(&disk, &[]));
    assert!(verdict.passed >= DAY_SAMPLES, "{verdict:?}");
    assert_eq!((verdict.failed.len(), verdict.unanswered), (0, 0));
    assert_eq!(record.open().count(), 0);
}

#[test]
fn who_is_there_and_refuses_everything_is_evicted_after_a_day() {
    let disk = Disk::new(100, 1);
    let hour = |silence| {
        let dice = SimEntropy::new(9);
        evicted_in(&disk.promised, 40, &dice, &mut |_| Err(silence))
    };
    let refused = hour(Silence::There);
    println!("refusing everything: evicted in hour {refused:?}");
    assert!(refused.is_some_and(|hour| (24..=28).contains(&hour)), "{refused:?}");
    assert_eq!(hour(Silence::Away), None);
}

#[test]
fn what_is_promised_and_tiny_is_asked_once_a_look() {
    let disk = Disk::new(3, 1);
    let (dice, mut record) = (SimEntropy::new(10), Record::new(NOW, 0));
    let verdict = look(&disk.promised, &mut record, NOW + DAY_MS, &dice, &mut lacks(&disk, &[]));
    assert_eq!((verdict.asked, verdict.passed), (3, 3));
    assert_eq!(record.due(NOW + DAY_MS), (0, 0));
    let nothing = look(&[], &mut record, NOW + 2 * DAY_MS, &dice, &mut lacks(&disk, &[]));
    assert_eq!(nothing.asked, 0);
}

/// Proofs of other chunks, kept from earlier questions, are none.
#[test]
fn a_cache_of_earlier_answers_is_no_answer() {
    let disk = Disk::new(50, 8);
    let mut cache: BTreeMap<Cid, Item> = BTreeMap::new();
    let mut cached = |challenges: &[Challenge]| {
        let answer = |challenge: &Challenge| {
            cache.entry(challenge.cid).or_insert_with(|| disk.item(*challenge)).clone()
        };
        Ok(challenges.iter().map(answer).collect())
    };
    let hour = evicted_in(&disk.promised, 24, &SimEntropy::new(11), &mut cached);
    println!("a cache of one proof for each block: evicted in hour {hour:?}");
    assert!(hour.is_some_and(|hour| hour <= 4), "{hour:?}");
}
