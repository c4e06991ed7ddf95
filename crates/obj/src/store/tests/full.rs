//! The disk is full, or fails in some other way, at every change of a life: the error says so,
//! nothing acknowledged is lost, and the store goes on once there is room, reopened or not.

use std::{io::ErrorKind, time::Instant};

use super::{
    life::{Act, Life, life},
    *,
};

/// How the disk fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// One change fails.
    Once(ErrorKind),
    /// Nothing can be written until there is room.
    Until(ErrorKind),
    /// One change fails, and what a failed flush should have flushed is forgotten.
    Forgetting,
}

const FAILURES: [Failure; 5] = [
    Failure::Once(ErrorKind::StorageFull),
    Failure::Until(ErrorKind::StorageFull),
    Failure::Until(ErrorKind::QuotaExceeded),
    Failure::Once(ErrorKind::Other),
    Failure::Forgetting,
];

fn is_expected(error: &StoreError, failure: Failure) -> bool {
    match failure {
        Failure::Once(ErrorKind::Other) | Failure::Forgetting => {
            matches!(error, StoreError::Io { .. } | StoreError::Full { .. })
        }
        _ => matches!(error, StoreError::Full { .. }),
    }
}

/// Fails the change `at` of the last of `acts`; whether the act has so many.
fn fail(start: &SimDisk, model: &Model, acts: &[Act], at: u64, failure: Failure) -> bool {
    let kind = acts.last().map(|act| format!("{act:.0?}").chars().take(9).collect::<String>());
    let case = format!("act {} ({kind:?}), change {at}, {failure:?}", acts.len());
    let disk = start.duplicate();
    let mut life = Life::begin(&disk);
    (life.now, life.durable) = (model.clone(), model.clone());
    let (last, before) = acts.split_last().unwrap();
    before.iter().for_each(|act| life.act(act).unwrap());
    let (changes, losses) = (disk.changes(), life.store().losses());
    let first = changes + at;
    match failure {
        Failure::Once(kind) => disk.fail(first..first + 1, kind, false),
        Failure::Until(kind) => disk.fail(first..u64::MAX, kind, false),
        Failure::Forgetting => disk.fail(first..first + 1, ErrorKind::StorageFull, true),
    }
    let after = life.after(last);
    let result = life.act(last);
    let reached = disk.changes() > first;
    if let Err(error) = result {
        assert!(is_expected(&error, failure), "{case}: {error}");
        // Reads go on where the disk lets them.
        if matches!(failure, Failure::Once(_)) {
            check(&mut life, &after, losses, &case);
        }
        disk.mend();
        check(&mut life, &after, losses, &case);
        life.act(last).unwrap_or_else(|e| panic!("{case}, with room again: {e}"));
    }
    disk.mend();
    assert_eq!(Model::of(life.store()), life.now, "{case}, done");
    life.act(&Act::Flush).unwrap_or_else(|e| panic!("{case}, flushing: {e}"));
    // Without reopening, a crash takes nothing; nor does an end in peace.
    let crashed = disk.duplicate();
    crashed.crash(Damage::Lost);
    assert_eq!(Model::of(&open(&crashed).unwrap()), life.now, "{case}, crashed");
    life.store = None;
    assert_eq!(Model::of(&open(&disk).unwrap()), life.now, "{case}, reopened");
    reached
}

/// After an error nothing of the act is there, or (its last flush failed) all of it.
fn check(life: &mut Life, after: &Model, losses: u64, case: &str) {
    let found = Model::of(life.store());
    if life.store().losses() > losses {
        // What was cached is gone, and the store said so.
        life.now = life.durable.clone();
    }
    assert!(
        found == life.now || found == *after,
        "{case}: unlike before: {}; unlike after: {}; {} lost",
        difference(&found, &life.now),
        difference(&found, after),
        life.store().losses() - losses
    );
    life.now = found;
}

/// In what two models differ.
fn difference(found: &Model, expected: &Model) -> String {
    let blocks = |a: &Model, b: &Model| {
        let only = a.blocks.iter().filter(|(cid, _)| !b.blocks.contains_key(cid));
        only.map(|(_, bytes)| bytes.to_string()).collect::<Vec<_>>().join(" ")
    };
    let same = |same: bool| if same { "same" } else { "other" };
    format!(
        "blocks more [{}], fewer [{}], {} pins, {} records",
        blocks(found, expected),
        blocks(expected, found),
        same(found.pins == expected.pins),
        same(found.meta == expected.meta)
    )
}

/// Every change of every act of a life, from the last clean start before it.
fn fail_everywhere(seed: u64, count: usize, failures: &[Failure]) -> usize {
    let disk = SimDisk::new();
    let mut lived = Life::begin(&disk);
    lived.act(&Act::Reopen).unwrap();
    let acts = life(seed, count);
    let (mut start, mut model, mut first) = (disk.duplicate(), Model::default(), 0);
    let mut tried = 0;
    for (number, act) in acts.iter().enumerate() {
        if matches!(act, Act::Reopen) {
            lived.store = None;
            (start, model, first) = (disk.duplicate(), lived.now.clone(), number + 1);
            lived.store = Some(open(&disk).unwrap());
            lived.durable = lived.now.clone();
            continue;
        }
        lived.act(act).unwrap();
        for at in 0.. {
            let failure = failures[(number + at as usize) % failures.len()];
            if !fail(&start, &model, &acts[first..=number], at, failure) {
                break;
            }
            tried += 1;
        }
    }
    tried
}

#[test]
fn a_disk_that_fails_at_any_change_loses_nothing_and_works_again() {
    let begun = Instant::now();
    let tried = fail_everywhere(2, 40, &FAILURES);
    println!("{tried} failures in {:?}", begun.elapsed());
    assert!(tried > 150, "too small to mean anything: {tried}");
}

/// `CRAFTEC_SEEDS=100 cargo test -p craftec-obj --lib full -- --ignored --nocapture`
#[test]
#[ignore = "minutes: every kind of failure at every change of many lives"]
fn a_disk_that_fails_in_every_way_loses_nothing_and_works_again() {
    let seeds = std::env::var("CRAFTEC_SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 100..100 + seeds.unwrap_or(10) {
        for failure in FAILURES {
            let begun = Instant::now();
            let tried = fail_everywhere(seed, 60, &[failure]);
            println!("seed {seed}, {failure:?}: {tried} in {:?}", begun.elapsed());
        }
    }
}
