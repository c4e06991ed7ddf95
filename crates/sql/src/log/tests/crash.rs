//! Power fails at every change of a life: commits, large ones, snapshots, compactions.

use super::*;

fn dice(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// One thing that happens in a life.
fn act(log: &mut Log, disk: &SimDisk, random: &mut u64) {
    let seed = dice(random);
    match dice(random) % 12 {
        0 => drop(log.snapshot(SCHEMA).unwrap()),
        1 => compact(log, disk).unwrap(),
        2 => {
            if let Some(root) = log.last_root() {
                log.keep(["x", "y"][seed as usize % 2], root).unwrap();
            }
        }
        3 => drop(log.drop_kept("x").unwrap()),
        4 => {
            if let Some(root) = log.kept().first().map(|kept| kept.root) {
                log.restore(&root, Hash([0; 32])).unwrap();
            }
        }
        5 => {
            log.set_pages(log.pages() / 2);
            log.commit().unwrap();
        }
        // More than a record holds.
        6 if seed.is_multiple_of(4) => {
            let many: Vec<(u32, u64)> = (1..=270).map(|n| (n, seed + u64::from(n))).collect();
            write(log, &many);
            log.commit().unwrap();
        }
        _ => {
            let count = dice(random) % 4 + 1;
            let some: Vec<(u32, u64)> =
                (0..count).map(|n| ((dice(random) % 9) as u32 + 1, seed + n)).collect();
            write(log, &some);
            log.commit().unwrap();
        }
    }
}

/// Lives once and crashes everywhere; how many crashes that were.
fn crash_everywhere(seed: u64, acts: usize, damages: usize) -> usize {
    let disk = SimDisk::new();
    disk.record();
    let mut log = open(&disk).unwrap();
    let mut marks = vec![(disk.changes() as usize, seen(&mut log))];
    let mut random = seed;
    for _ in 0..acts {
        act(&mut log, &disk, &mut random);
        marks.push((disk.changes() as usize, seen(&mut log)));
    }
    drop(log);
    let mut replay = disk.replay();
    let (mut at, mut crashes) = (0, 0);
    loop {
        let next = marks.iter().position(|mark| mark.0 > at).unwrap_or(marks.len() - 1);
        let before = next.checked_sub(1).map_or(Seen::default(), |n| marks[n].1.clone());
        let random = seed.wrapping_mul(1 << 20) + at as u64;
        let all = [
            (Damage::Torn(random), true),
            (Damage::Shredded(random), true),
            (Damage::Kept, true),
            (Damage::Lost, false),
            (Damage::Kept, false),
            (Damage::Shredded(random + 1), false),
        ];
        for n in 0..damages {
            let (damage, torn) = all[(at + n) % all.len()];
            let disk = replay.crashed(damage, torn);
            let case = format!("seed {seed}, change {at}, {damage:?}, torn {torn}");
            let mut log = open(&disk).unwrap_or_else(|e| panic!("{case}: {e}"));
            let found = seen(&mut log);
            assert!(found == before || found == marks[next].1, "{case}: {found:?}");
            crashes += 1;
            if crashes % 8 == 0 {
                write(&mut log, &[(1, 77), (3, 78)]);
                log.commit().unwrap();
                log.snapshot(SCHEMA).unwrap();
                let found = seen(&mut log);
                drop(log);
                disk.crash(Damage::Lost);
                assert_eq!(seen(&mut open(&disk).unwrap()), found, "{case}");
            }
        }
        if !replay.advance() {
            return crashes;
        }
        at += 1;
    }
}

#[test]
fn a_crash_at_any_change_of_a_life_loses_nothing_acknowledged() {
    let crashes: usize = (1..=2).map(|seed| crash_everywhere(seed, 30, 1)).sum();
    assert!(crashes > 100, "too few to mean anything: {crashes}");
}

/// `CRAFTEC_SEEDS=100 cargo test -p craftec-sql --lib crash -- --ignored --nocapture`
#[test]
#[ignore = "minutes: more seeds and longer lives"]
fn a_crash_at_any_change_of_many_lives_loses_nothing_acknowledged() {
    let seeds = std::env::var("CRAFTEC_SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 100..100 + seeds.unwrap_or(20) {
        println!("seed {seed}: {} crashes", crash_everywhere(seed, 150, 6));
    }
}
