//! Stores written by earlier formats open, with everything that was in them.

use std::{fmt::Write as _, path::PathBuf};

use super::*;

/// Sectors of a fixture; those of zeros are left out.
const SECTOR: usize = 512;

fn fixture(format: u64) -> PathBuf {
    let name = format!("tests/fixtures/store-format-{format}.txt");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A store's files as text: per file `name length`, then `offset hex` of every sector that is not
/// zero.
fn write_down(disk: &SimDisk) -> String {
    let mut text = String::new();
    for name in [INDEX_FILE, PACK_FILE] {
        let file = block_on(disk.open(name)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        writeln!(text, "{name} {}", bytes.len()).unwrap();
        for (sector, content) in bytes.chunks(SECTOR).enumerate() {
            let used = content.iter().rposition(|byte| *byte != 0);
            if let Some(last) = used {
                let hex: String = content[..=last].iter().map(|b| format!("{b:02x}")).collect();
                writeln!(text, "{} {hex}", sector * SECTOR).unwrap();
            }
        }
    }
    text
}

fn read_back(text: &str) -> SimDisk {
    let disk = SimDisk::new();
    let mut file = None;
    for line in text.lines() {
        let (first, second) = line.split_once(' ').unwrap();
        if first.starts_with("blocks.") {
            file = Some(block_on(disk.open(first)).unwrap());
            file.as_ref().unwrap().set_len(second.parse().unwrap()).unwrap();
            continue;
        }
        let pairs = second.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = pairs.map(byte).collect();
        file.as_ref().unwrap().write_at(first.parse().unwrap(), &bytes).unwrap();
    }
    drop(file);
    disk
}

/// What every fixture holds: each kind of entry, and an extent that is free again.
fn contents() -> Vec<Batch> {
    let mut batches = vec![Batch::new(), Batch::new()];
    let root = block(2, 1500);
    batches[0]
        .put_all([block(1, 40), root.clone(), block(3, 600), block(4, 1024), block(5, 1100)])
        .pin(*root.cid(), Pin::new(PinReason::Own, 7, "a site", 2140))
        .pin(*root.cid(), Pin::new(PinReason::Lent, 8, "", 0))
        .meta_put(Meta::Head, "name", "first")
        .meta_put(Meta::Node, "gone", "soon");
    batches[1].delete(*root.cid()).meta_delete(Meta::Node, "gone").put(block(6, 2000));
    batches
}

#[test]
#[ignore = "writes the fixture of this format; to be done before the next one replaces it"]
fn write_the_fixture_of_this_format() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    contents().into_iter().for_each(|batch| store.commit(batch).unwrap());
    drop(store);
    std::fs::write(fixture(index::THIS_FORMAT), write_down(&disk)).unwrap();
}

#[test]
fn every_format_so_far_opens_whole() {
    let mut expected = Model::default();
    contents().iter().for_each(|batch| expected.apply(batch));
    for format in 1..index::THIS_FORMAT {
        let text = std::fs::read_to_string(fixture(format)).unwrap();
        let disk = read_back(&text);
        {
            let store = open(&disk).unwrap_or_else(|e| panic!("format {format}: {e}"));
            assert_eq!(Model::of(&store), expected, "format {format}");
            store.put(&[block(9, 5000)]).unwrap();
        }
        let store = open(&disk).unwrap();
        assert_eq!(Model::of(&store).blocks.len(), expected.blocks.len() + 1);
    }
}
