//! Three ways to store blocks on one disk, in turn: ours (an index in redb and a pack), redb alone,
//! and append-only segments with checksummed records and an index in memory.
//!
//! Each checks a block's bytes against its CID when it reads, and each makes what it acknowledges
//! survive a crash: ours with one flush per commit of small blocks and two with large ones, redb
//! with one, the segments with one. `cargo run --release --manifest-path benches/store/Cargo.toml
//! [FOLDER]`: the folder decides which disk is measured.

mod segments;
mod stores;

use std::{path::PathBuf, time::Instant};

use craftec_core::{Cid, Codec};
use craftec_obj::Block;

use stores::{Blocks, Ours, RedbAlone};

/// Bytes of large blocks that are ingested: 64 commits of 16 blocks.
const LARGE: usize = 256 << 10;
const LARGE_COUNT: usize = 1024;
const LARGE_COMMIT: usize = 16;
/// Small blocks, each committed alone.
const SMALL: usize = 4 << 10;
const SMALL_COUNT: usize = 1500;
/// Random reads of each kind.
const READS: usize = 4000;
const RUNS: usize = 3;

/// Figures of one run.
#[derive(Clone, Copy, Default)]
struct Row {
    ingest_mb_s: f64,
    commits_s: f64,
    reads_large_mb_s: f64,
    reads_small_s: f64,
    reopen_ms: f64,
    /// Bytes on disk for each byte stored, when all is in, and after every second large block went.
    space: f64,
    space_after: f64,
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let names = ["ours", "redb alone", "segments"];
    let mut rows = vec![Vec::new(); names.len()];
    for run in 0..RUNS {
        let large = blocks(run * 2, LARGE, LARGE_COUNT);
        let small = blocks(run * 2 + 1, SMALL, SMALL_COUNT);
        for (which, rows) in rows.iter_mut().enumerate() {
            let path = tempfile::tempdir_in(&folder)?;
            let at = path.path();
            let row = match which {
                0 => measure(&|| Ours::open(at), at, &large, &small),
                1 => measure(&|| RedbAlone::open(at), at, &large, &small),
                _ => measure(&|| segments::Segments::open(at), at, &large, &small),
            };
            rows.push(row?);
        }
    }
    println!("\nbench store: {}, median of {RUNS} runs in turn", folder.display());
    print!("{:<44}", "");
    names.iter().for_each(|name| print!("{name:>12}"));
    println!();
    let figures: [(&str, fn(&Row) -> f64); 7] = [
        ("ingest of 256 KiB blocks, 16 a commit, MB/s", |row| row.ingest_mb_s),
        ("durable commits of one 4 KiB block, 1/s", |row| row.commits_s),
        ("random reads of 256 KiB, verified, MB/s", |row| row.reads_large_mb_s),
        ("random reads of 4 KiB, verified, 1/s", |row| row.reads_small_s),
        ("opening, ms", |row| row.reopen_ms),
        ("bytes on disk for each stored", |row| row.space),
        ("the same once half was deleted", |row| row.space_after),
    ];
    for (name, figure) in figures {
        print!("{name:<44}");
        for rows in &rows {
            let mut values: Vec<f64> = rows.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            print!("{:>12.2}", values[values.len() / 2]);
        }
        println!();
    }
    Ok(())
}

fn measure<B: Blocks>(
    open: &dyn Fn() -> anyhow::Result<B>,
    folder: &std::path::Path,
    large: &[Block],
    small: &[Block],
) -> anyhow::Result<Row> {
    let mut row = Row::default();
    let mut store = open()?;
    let begun = Instant::now();
    for commit in large.chunks(LARGE_COMMIT) {
        store.commit(commit)?;
    }
    row.ingest_mb_s = (LARGE * large.len()) as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for block in small {
        store.commit(std::slice::from_ref(block))?;
    }
    row.commits_s = small.len() as f64 / begun.elapsed().as_secs_f64();
    row.reads_large_mb_s = reads(&store, large, READS / 4)? * LARGE as f64 / 1e6;
    row.reads_small_s = reads(&store, small, READS)?;
    drop(store);
    let begun = Instant::now();
    let mut store = open()?;
    row.reopen_ms = begun.elapsed().as_secs_f64() * 1e3;
    let stored = (LARGE * large.len() + SMALL * small.len()) as f64;
    row.space = on_disk(folder)? / stored;
    let gone: Vec<Cid> = large.iter().step_by(2).map(|block| *block.cid()).collect();
    store.delete(&gone)?;
    store.give_back()?;
    drop(store);
    row.space_after = on_disk(folder)? / (stored - (LARGE * gone.len()) as f64);
    Ok(row)
}

/// Verified reads per second.
fn reads(store: &impl Blocks, blocks: &[Block], count: usize) -> anyhow::Result<f64> {
    let mut state = 1_u64;
    let begun = Instant::now();
    for _ in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let block = &blocks[(state >> 33) as usize % blocks.len()];
        let bytes = store.read(block.cid())?;
        anyhow::ensure!(bytes == block.len(), "a block of {bytes} bytes");
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Bytes that files take on the disk: blocks in use, as holes are free.
fn on_disk(folder: &std::path::Path) -> anyhow::Result<f64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        sum += entry?.metadata()?.blocks() * 512;
    }
    Ok(sum as f64)
}

/// Blocks that no other run has.
fn blocks(seed: usize, bytes: usize, count: usize) -> Vec<Block> {
    let block = |n: usize| {
        let key = [seed.to_le_bytes(), n.to_le_bytes()].concat();
        let mut content = vec![0; bytes];
        blake3::Hasher::new().update(&key).finalize_xof().fill(&mut content);
        Block::of(Codec::Raw, content).expect("within the limit")
    };
    (0..count).map(block).collect()
}
