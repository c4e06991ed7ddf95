//! Power fails at every change of a long life: durability frozen at every flush, every write torn.

use std::time::{Duration, Instant};

use super::{
    life::{Life, life},
    *,
};

/// What was durable once so many changes had been made.
struct Mark {
    changes: usize,
    durable: Model,
}

/// How many crashes were tried.
#[derive(Debug, Default)]
struct Tried {
    changes: usize,
    flushes: usize,
    crashes: usize,
}

/// Lives a life once and crashes it everywhere.
fn crash_everywhere(seed: u64, acts: usize) -> Tried {
    let disk = SimDisk::new();
    disk.record();
    let mut lived = Life::begin(&disk);
    let mark = |lived: &Life| {
        let (changes, durable) = (lived.disk.changes() as usize, lived.durable.clone());
        Mark { changes, durable }
    };
    let mut marks = vec![mark(&lived)];
    for act in life(seed, acts) {
        lived.act(&act).unwrap();
        marks.push(mark(&lived));
    }
    drop(lived);
    let end = Model::of(&open(&disk).unwrap());
    marks.push(Mark { changes: usize::MAX, durable: end });

    let mut replay = disk.replay();
    let mut tried = Tried::default();
    let mut at = 0;
    loop {
        let next = marks.iter().position(|mark| mark.changes > at).unwrap_or(marks.len() - 1);
        let before = next.checked_sub(1).map_or(Model::default(), |n| marks[n].durable.clone());
        // Exactly at a mark the act has returned: nothing is under way.
        let boundary = next > 0 && marks[next - 1].changes == at;
        let under_way = (!boundary).then(|| &marks[next].durable);
        let dice = seed.wrapping_mul(1 << 20).wrapping_add(at as u64);
        let mut damages = vec![
            (Damage::Kept, false),
            (Damage::Torn(dice), true),
            (Damage::Torn(dice + (1 << 40)), false),
            (Damage::Shredded(dice), true),
        ];
        if replay.flushes_next() {
            tried.flushes += 1;
            damages.push((Damage::Lost, false));
        } else {
            damages.push((Damage::Kept, true));
        }
        for (damage, torn) in damages {
            let disk = replay.crashed(damage, torn);
            let case = format!("seed {seed}, change {at}, {damage:?}, torn {torn}");
            let store = open(&disk).unwrap_or_else(|e| panic!("{case}: {e}"));
            let found = Model::of(&store);
            assert!(
                found == before || Some(&found) == under_way,
                "{case}: {found:?} is neither {before:?} nor {under_way:?}"
            );
            tried.crashes += 1;
            if tried.crashes % 16 == 0 {
                still_works(&store, &disk, found, &case);
            }
        }
        if !replay.advance() {
            break;
        }
        at += 1;
    }
    tried.changes = at;
    tried
}

/// A store that came back takes more, and gives it back after the next start.
fn still_works(store: &Store, disk: &SimDisk, mut model: Model, case: &str) {
    let mut batch = Batch::new();
    batch.put_all([block(1_000, 70_000), block(1_001, 700)]).meta_put(Meta::Head, "again", "x");
    model.apply(&batch);
    store.commit(batch).unwrap_or_else(|e| panic!("{case}: {e}"));
    assert_eq!(Model::of(store), model, "{case}");
    let disk = disk.duplicate();
    disk.crash(Damage::Lost);
    assert_eq!(Model::of(&open(&disk).unwrap()), model, "{case}");
}

#[test]
fn a_crash_at_any_change_of_a_long_life_loses_nothing_acknowledged() {
    let begun = Instant::now();
    let tried = crash_everywhere(1, 60);
    println!("{tried:?} in {:?}", begun.elapsed());
    assert!(tried.changes > 300 && tried.flushes > 50, "too small to mean anything: {tried:?}");
}

/// `CRAFTEC_SEEDS=100 cargo test -p craftec-obj --lib crash -- --ignored --nocapture`
#[test]
#[ignore = "minutes: more seeds and longer lives"]
fn a_crash_at_any_change_of_many_lives_loses_nothing_acknowledged() {
    let seeds = std::env::var("CRAFTEC_SEEDS").ok().and_then(|text| text.parse().ok());
    let mut begun = Instant::now();
    for seed in 100..100 + seeds.unwrap_or(20) {
        let tried = crash_everywhere(seed, 150);
        println!(
            "seed {seed}: {tried:?} in {:?}",
            std::mem::replace(&mut begun, Instant::now()).elapsed()
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(600));
}
