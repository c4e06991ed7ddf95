//! Every [`File`] behaves like a vector of bytes, on disk and in the simulator.

#![cfg(not(target_arch = "wasm32"))]
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::{io, sync::Arc};

use craftec_platform::{
    File, Folder,
    native::NativeFolder,
    sim::{Damage, SimDisk},
};
use futures::executor::block_on;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write(u16, Vec<u8>),
    Read(u16, u16),
    Length(u16),
    Sync,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..5000u16, prop::collection::vec(any::<u8>(), 0..2000))
            .prop_map(|(o, b)| Step::Write(o, b)),
        (0..6000u16, 0..2000u16).prop_map(|(o, n)| Step::Read(o, n)),
        (0..6000u16).prop_map(Step::Length),
        Just(Step::Sync),
        Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..most)
}

fn open(folder: &dyn Folder) -> Arc<dyn File> {
    block_on(folder.open("file")).unwrap()
}

fn check(folder: &dyn Folder, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model: Vec<u8> = Vec::new();
    let mut file = open(folder);
    for step in steps {
        match step {
            Step::Write(offset, bytes) => {
                let offset = usize::from(offset);
                file.write_at(offset as u64, &bytes).unwrap();
                if !bytes.is_empty() {
                    let end = offset + bytes.len();
                    model.resize(model.len().max(end), 0);
                    model[offset..end].copy_from_slice(&bytes);
                }
            }
            Step::Read(offset, length) => {
                let (offset, length) = (usize::from(offset), usize::from(length));
                let mut bytes = vec![0xaa; length];
                let read = file.read_at(offset as u64, &mut bytes);
                match model.get(offset..offset + length) {
                    Some(expected) => {
                        prop_assert!(read.is_ok());
                        prop_assert_eq!(bytes.as_slice(), expected);
                    }
                    None if length > 0 => {
                        prop_assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
                    }
                    None => {}
                }
            }
            Step::Length(length) => {
                file.set_len(u64::from(length)).unwrap();
                model.resize(usize::from(length), 0);
            }
            Step::Sync => file.sync().unwrap(),
            Step::Reopen => {
                drop(file);
                file = open(folder);
            }
        }
        prop_assert_eq!(file.len().unwrap(), model.len() as u64);
        prop_assert_eq!(file.is_empty().unwrap(), model.is_empty());
    }
    Ok(())
}

/// A property run found that the simulated file grew here, and the native one did not.
#[test]
fn an_empty_write_past_the_end_grows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let write = || vec![Step::Write(1, Vec::new())];
    check(&NativeFolder::open(folder.path()).unwrap(), write()).unwrap();
    check(&SimDisk::new(), write()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_native_file_is_a_vector(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        check(&NativeFolder::open(folder.path()).unwrap(), steps)?;
    }

    #[test]
    fn a_simulated_file_is_a_vector(steps in steps()) {
        check(&SimDisk::new(), steps)?;
    }

    #[test]
    fn what_was_flushed_survives_any_crash(
        flushed in prop::collection::vec(any::<u8>(), 1..3000),
        later in prop::collection::vec((0..3000_u64, bytes(1500)), 0..6),
        seed in any::<u64>(),
    ) {
        let disk = SimDisk::new();
        let file = open(&disk);
        file.write_at(0, &flushed).unwrap();
        file.sync().unwrap();
        let mut newest = vec![flushed.clone()];
        for (offset, bytes) in &later {
            file.write_at(*offset, bytes).unwrap();
            let mut all = vec![0; file.len().unwrap() as usize];
            file.read_at(0, &mut all).unwrap();
            newest.push(all);
        }
        disk.crash(Damage::Torn(seed));
        prop_assert!(file.len().is_err(), "a handle from before the crash is dead");
        let file = open(&disk);
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        prop_assert!(bytes.len() >= flushed.len());
        // Each byte is one that was written there, or a zero of a gap.
        for (at, byte) in bytes.iter().enumerate() {
            let written = newest.iter().any(|image| image.get(at) == Some(byte));
            prop_assert!(written || *byte == 0 && at >= flushed.len(), "byte {}", at);
        }
    }
}

fn both(check: impl Fn(&dyn Folder)) {
    let path = tempfile::tempdir().unwrap();
    check(&NativeFolder::open(path.path()).unwrap());
    check(&SimDisk::new());
}

#[test]
fn folders_list_remove_and_open_once() {
    both(|folder| {
        let b = block_on(folder.open("b.redb")).unwrap();
        let _a = block_on(folder.open("a")).unwrap();
        assert_eq!(block_on(folder.list()).unwrap(), ["a", "b.redb"]);
        let busy = block_on(folder.open("a")).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        drop(b);
        block_on(folder.remove("b.redb")).unwrap();
        block_on(folder.remove("b.redb")).unwrap();
        assert_eq!(block_on(folder.list()).unwrap(), ["a"]);
        assert_eq!(block_on(folder.open("b.redb")).unwrap().len().unwrap(), 0);
    });
}

#[test]
fn names_cannot_leave_the_folder() {
    both(|folder| {
        for name in ["", "..", ".", "../x", "a/b", "a\\b", "c:", "\0", ".hidden", "ä"] {
            let refused = block_on(folder.open(name)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{name:?}");
            assert!(block_on(folder.remove(name)).is_err(), "{name:?}");
        }
    });
}

#[test]
fn a_native_folder_has_one_owner() {
    let path = tempfile::tempdir().unwrap();
    let folder = NativeFolder::open(path.path()).unwrap();
    let file = open(&folder);
    let busy = |path: &std::path::Path| NativeFolder::open(path).map_err(|e| e.kind()).err();
    assert_eq!(busy(path.path()), Some(io::ErrorKind::ResourceBusy));
    drop(folder);
    assert_eq!(busy(path.path()), Some(io::ErrorKind::ResourceBusy), "a file is still open");
    drop(file);
    let folder = NativeFolder::open(path.path()).unwrap();
    assert!(block_on(folder.open("lock")).is_err());
    assert!(block_on(folder.free_bytes()).unwrap().is_none_or(|bytes| bytes > 0));
}

#[test]
fn a_full_disk_says_so_and_keeps_what_it_has() {
    let disk = SimDisk::new();
    let file = open(&disk);
    file.write_at(0, &[1; 1000]).unwrap();
    disk.set_capacity(Some(1500));
    let full = file.write_at(900, &[2; 1000]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.set_len(1501).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(block_on(disk.free_bytes()).unwrap(), Some(0), "what fitted was written");
    file.write_at(0, &[3; 1500]).unwrap();
    file.set_len(10).unwrap();
    assert_eq!(disk.used_bytes(), 10);
}

#[test]
fn power_fails_at_the_change_it_was_told() {
    let disk = SimDisk::new();
    let file = open(&disk);
    disk.power_off_at(2);
    file.write_at(0, b"a").unwrap();
    file.sync().unwrap();
    assert!(file.write_at(0, b"b").is_err());
    assert!(file.sync().is_err());
    disk.crash(Damage::Lost);
    let file = open(&disk);
    let mut byte = [0];
    file.read_at(0, &mut byte).unwrap();
    assert_eq!(&byte, b"a");
    file.write_at(0, b"c").unwrap();
    disk.lose_flushes(1);
    file.sync().unwrap();
    drop(file);
    disk.crash(Damage::Lost);
    open(&disk).read_at(0, &mut byte).unwrap();
    assert_eq!(&byte, b"a", "the flush was lost");
    assert!(disk.rot("file", 0, 1) && !disk.rot("file", 1, 1));
    open(&disk).read_at(0, &mut byte).unwrap();
    assert_eq!(&byte, b"`");
}

fn content(disk: &SimDisk) -> Vec<u8> {
    let file = open(disk);
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_recorded_life_can_be_crashed_at_every_change() {
    let disk = SimDisk::new();
    disk.record();
    let file = open(&disk);
    let (mut live, mut flushed) = (vec![Vec::new()], vec![Vec::new()]);
    for step in 0..30_u8 {
        match step % 5 {
            4 => file.sync().unwrap(),
            3 => file.set_len(u64::from(step) * 10).unwrap(),
            _ => file.write_at(u64::from(step % 7) * 40, &[step; 90]).unwrap(),
        }
        let mut now = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut now).unwrap();
        let last = if step % 5 == 4 { now.clone() } else { flushed.last().unwrap().clone() };
        live.push(now);
        flushed.push(last);
    }
    let mut replay = disk.replay();
    assert_eq!(replay.remaining(), 30);
    for (live, flushed) in live.iter().zip(&flushed) {
        assert_eq!(content(&replay.crashed(Damage::Kept, false)), *live);
        assert_eq!(content(&replay.crashed(Damage::Lost, true)), *flushed);
        for seed in 0..20 {
            // Each byte of a torn disk is one that was there before or after some change.
            let torn = content(&replay.crashed(Damage::Shredded(seed), true));
            assert!(torn.len() <= 400, "{}", torn.len());
        }
        replay.advance();
    }
    assert!(!replay.advance());
}

#[test]
fn changes_fail_as_told_and_a_failed_flush_may_forget() {
    let disk = SimDisk::new();
    let file = open(&disk);
    file.write_at(0, b"abcd").unwrap();
    file.sync().unwrap();
    disk.fail(2..3, io::ErrorKind::StorageFull, false);
    assert_eq!(file.write_at(0, b"wxyz").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(content(&disk.duplicate()), b"wxcd", "half of it was written");
    file.write_at(0, b"wxyz").unwrap();
    disk.fail(4..5, io::ErrorKind::Other, true);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    drop(file);
    assert_eq!(content(&disk), b"wxyz", "it can be read until the next crash");
    disk.crash(Damage::Kept);
    assert_eq!(content(&disk), b"abcd", "and was never written");
    disk.fail(0..u64::MAX, io::ErrorKind::StorageFull, false);
    let file = open(&disk);
    file.set_len(2).unwrap();
    assert!(file.set_len(3).is_err() && file.write_at(0, b"e").is_err());
    disk.mend();
    disk.fail_reads("file", 1..2);
    let mut byte = [0];
    file.read_at(0, &mut byte).unwrap();
    assert!(file.read_at(1, &mut byte).is_err());
}
