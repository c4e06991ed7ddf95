//! Coding of 256 KiB pieces in memory on one thread, ours beside `reed-solomon-simd` and `rlnc`, the
//! three in turn in every run.
//!
//! `cargo run --release --manifest-path benches/coding/Cargo.toml`. Buffers that a program lets its
//! user keep are kept (ours, and those of `reed-solomon-simd`); beside `rlnc`, which allocates what it
//! returns, ours allocates too. Coefficients are dense and random, as after recoding; nothing that
//! is decoded comes as a source piece.

mod ours;
mod peers;

use std::{hint::black_box, time::Instant};

/// Bytes of a piece, and the numbers of source pieces.
const PIECE: usize = 256 << 10;
const SOURCES: [usize; 2] = [32, 64];
/// Paired runs, after one that warms up.
const RUNS: usize = 15;

/// Seconds that something took in each run.
type Seconds = Vec<f64>;

fn main() -> anyhow::Result<()> {
    println!(
        "\nbench coding: pieces of 256 KiB, one thread, kernel {}, median of {RUNS} paired runs",
        craftec_rlnc::Kernel::best().name()
    );
    SOURCES.into_iter().try_for_each(coding)?;
    checksum()
}

fn coding(sources: usize) -> anyhow::Result<()> {
    let content = content(sources);
    let mut ours = ours::Coder::new(sources, &content)?;
    let mut reed_solomon = peers::ReedSolomon::new(sources, &content)?;
    let mut rlnc = peers::Rlnc::new(sources, &content)?;
    let mut limit = ours::Limit::new(sources);
    let mut columns: [Seconds; 10] = Default::default();
    for run in 0..=RUNS {
        let row = [
            time(|| ours.encode())?,
            time(|| ours.encode_one())?,
            time(|| ours.decode())?,
            time(|| ours.decode_allocating())?,
            time(|| reed_solomon.encode())?,
            time(|| reed_solomon.decode())?,
            time(|| rlnc.encode_one())?,
            time(|| rlnc.decode())?,
            time(|| limit.in_cache())?,
            time(|| limit.memory())?,
        ];
        if run > 0 {
            columns.iter_mut().zip(row).for_each(|(column, seconds)| column.push(seconds));
        }
    }
    anyhow::ensure!(ours.is_right() && reed_solomon.is_right(), "decoded something else");
    report(sources, &columns);
    Ok(())
}

fn report(sources: usize, columns: &[Seconds; 10]) {
    let [encode, one, decode, allocating, rs_encode, rs_decode, rlnc_one, rlnc_decode, cache, memory] =
        columns;
    let bytes = (sources * PIECE) as f64;
    let rate = |seconds: &Seconds| bytes / median(seconds.clone()) / 1e9;
    println!("\nk = {sources}, GB/s of source bytes{:>18} {:>12} {:>12}", "ours", "peer", "ratio");
    let line = |name: &str, ours: &Seconds, peer: &Seconds| {
        let ratio = ratio(ours, peer);
        println!("{name:<42} {:>7.3} {:>12.3} {ratio:>12.2}", rate(ours), rate(peer));
        ratio
    };
    let ratios = [
        ("encode", line("encode k pieces, reed-solomon-simd", encode, rs_encode)),
        ("decode", line("decode, all k lost, reed-solomon-simd", decode, rs_decode)),
        ("encode-one-rlnc", line("encode 1 piece, rlnc", one, rlnc_one)),
        ("decode-rlnc", line("decode, rlnc (both allocate)", allocating, rlnc_decode)),
    ];
    // What the register tile can do at best: its arithmetic on a block that stays in the nearest
    // cache, or reading the sources and writing the pieces once, whichever takes longer.
    let bound: Seconds = cache.iter().zip(memory).map(|(a, b)| a.max(*b)).collect();
    let name = "encode k pieces, the tile's limit";
    let limit = ("encode-of-limit", line(name, encode, &bound));
    println!(
        "{:<42} {:>7.3} in cache, {:.3} memory",
        "the limit, GB/s",
        rate(cache),
        rate(memory)
    );
    for (name, value) in ratios.into_iter().chain([limit]) {
        println!("ratio coding-{name}-k{sources} {value:.2}");
    }
}

/// The secret checksum has no peer; its rate is for the record.
fn checksum() -> anyhow::Result<()> {
    let piece = content(1);
    let key = ours::checksum_key()?;
    let seconds: anyhow::Result<Seconds> = (0..200).map(|_| time(|| key.tag(&piece))).collect();
    let seconds = median(seconds?);
    println!(
        "\nsecret checksum of a piece: {:.3} ms, {:.2} GB/s",
        seconds * 1e3,
        PIECE as f64 / seconds / 1e9
    );
    Ok(())
}

/// Ours over the peer's, of rates: the median over runs.
fn ratio(ours: &Seconds, peer: &Seconds) -> f64 {
    median(ours.iter().zip(peer).map(|(ours, peer)| peer / ours).collect())
}

fn time<T, E: Into<anyhow::Error>>(step: impl FnOnce() -> Result<T, E>) -> anyhow::Result<f64> {
    let started = Instant::now();
    black_box(step().map_err(Into::into)?);
    Ok(started.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Pieces that look random.
fn content(sources: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut bytes = vec![0; sources * PIECE];
    random(&mut state, &mut bytes);
    bytes
}

/// The next bytes of a generator (xorshift64*).
fn random(state: &mut u64, bytes: &mut [u8]) {
    for byte in bytes {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        *byte = (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8;
    }
}
