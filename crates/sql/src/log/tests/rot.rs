//! Bits that rot: what was acknowledged is either there or reported, never quietly older.

use super::*;

/// Flips one bit at every `step`th byte and looks at what opening and reading say.
fn rot_everywhere(step: usize) -> (usize, usize, usize) {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    for round in 0..4u64 {
        write(&mut log, &[(1, round), (2, 100 + round % 2)]);
        log.commit().unwrap();
    }
    log.snapshot(SCHEMA).unwrap();
    write(&mut log, &[(1, 9)]);
    log.commit().unwrap();
    let whole = seen(&mut log);
    // Only its own bytes say whether the last unit was acknowledged; so another one follows.
    let end = log.tail;
    write(&mut log, &[(2, 9)]);
    log.commit().unwrap();
    let after = seen(&mut log);
    let (name, _) = log.file_names();
    drop(log);
    let (mut refused, mut reported, mut harmless) = (0, 0, 0);
    for offset in (0..end).step_by(step) {
        let disk = disk.duplicate();
        assert!(disk.rot(&name, offset, 1 << (offset % 8)));
        match open(&disk) {
            Err(LogError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("byte {offset}: {other}"),
            Ok(mut log) => {
                let mut bytes = [0; PAGE_BYTES];
                let pages: Vec<_> =
                    (1..=log.pages()).map(|n| log.read(no(n), &mut bytes)).collect();
                let below = log.blocks_of(&whole.kept[0].root, None);
                let rotten = |e: &LogError| matches!(e, LogError::Rotten { .. });
                let blocks = below.is_ok_and(|all| all.iter().all(|cid| log.block(cid).is_ok()));
                if pages.iter().any(|page| page.as_ref().is_err_and(rotten)) || !blocks {
                    reported += 1;
                } else {
                    assert_eq!(seen(&mut log), after, "byte {offset}");
                    harmless += 1;
                }
            }
        }
    }
    (refused, reported, harmless)
}

#[test]
fn a_flipped_bit_is_refused_reported_or_harmless() {
    let (refused, reported, harmless) = rot_everywhere(97);
    // Heads and metas, pages that are current or kept, and pages and padding that nobody needs.
    assert!(refused > 3 && reported > 50 && harmless > 100, "{refused} {reported} {harmless}");
}

#[test]
fn one_copy_of_the_header_is_enough() {
    let disk = SimDisk::new();
    let mut log = open(&disk).unwrap();
    write(&mut log, &[(1, 1)]);
    log.commit().unwrap();
    let (name, _) = log.file_names();
    drop(log);
    assert!(disk.rot(&name, 5, 1));
    assert_eq!(open(&disk).unwrap().pages(), 1);
    assert!(disk.rot(&name, 2048 + 70, 1));
    assert!(matches!(open(&disk), Err(LogError::Corrupt { .. })));
}
