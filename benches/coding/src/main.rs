//! Coding of 256 KiB pieces in memory on one thread, ours beside `reed-solomon-simd` and `rlnc`, in turn
//! in every run of a comparison, by the processor's time.
//!
//! `cargo run --release --manifest-path benches/coding/Cargo.toml`. Buffers that a program lets its
//! user keep are kept: ours, and those of `reed-solomon-simd`. `rlnc` allocates what it returns; beside
//! it ours is also timed with new memory, most of which goes to page faults. Coefficients are dense
//! and random, as after recoding; nothing that is decoded comes as a source piece.

mod ours;
mod peers;

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// Bytes of a piece, and the numbers of source pieces.
const PIECE: usize = 256 << 10;
const SOURCES: [usize; 2] = [32, 64];
/// Paired runs, after one that warms up.
const RUNS: usize = 25;

/// Seconds that something took in each run.
type Seconds = Vec<f64>;

/// Everything that is timed; entries of one index were taken in one run.
#[derive(Default)]
struct Columns {
    encode: Seconds,
    rs_encode: Seconds,
    in_cache: Seconds,
    memory: Seconds,
    decode: Seconds,
    rs_decode: Seconds,
    encode_one: Seconds,
    rlnc_encode_one: Seconds,
    decode_allocating: Seconds,
    rlnc_decode: Seconds,
}

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
    let mut columns = Columns::default();
    let c = &mut columns;
    // The first run of each comparison warms up.
    for kept in (0..=RUNS).map(|run| run > 0) {
        time(&mut c.encode, kept, || ours.encode())?;
        time(&mut c.rs_encode, kept, || reed_solomon.encode())?;
        time(&mut c.in_cache, kept, || limit.in_cache())?;
        time(&mut c.memory, kept, || limit.memory())?;
    }
    for kept in (0..=RUNS).map(|run| run > 0) {
        time(&mut c.decode, kept, || ours.decode())?;
        time(&mut c.rs_decode, kept, || reed_solomon.decode())?;
        time(&mut c.rlnc_decode, kept, || rlnc.decode())?;
        time(&mut c.decode_allocating, kept, || ours.decode_allocating())?;
    }
    for kept in (0..=RUNS).map(|run| run > 0) {
        time(&mut c.encode_one, kept, || ours.encode_one())?;
        time(&mut c.rlnc_encode_one, kept, || rlnc.encode_one())?;
    }
    anyhow::ensure!(ours.is_right() && reed_solomon.is_right(), "decoded something else");
    report(sources, &columns);
    Ok(())
}

fn report(sources: usize, columns: &Columns) {
    let bytes = (sources * PIECE) as f64;
    let rate = |seconds: &Seconds| bytes / median(seconds.clone()) / 1e9;
    println!("\nk = {sources}, GB/s of source bytes{:>18} {:>12} {:>12}", "ours", "peer", "ratio");
    let line = |name: &str, label: &str, ours: &Seconds, peer: &Seconds| {
        let ratio = ratio(ours, peer);
        println!("{name:<42} {:>7.3} {:>12.3} {ratio:>12.2}", rate(ours), rate(peer));
        format!("ratio coding-{label}-k{sources} {ratio:.2}")
    };
    let c = columns;
    // What the register tile can do at best: its arithmetic on a block that stays in the nearest
    // cache, or reading the sources and writing the pieces once, whichever takes longer.
    let bound: Seconds = c.in_cache.iter().zip(&c.memory).map(|(a, b)| a.max(*b)).collect();
    let ratios = [
        line("encode k pieces, reed-solomon-simd", "encode", &c.encode, &c.rs_encode),
        line("decode, all k lost, reed-solomon-simd", "decode", &c.decode, &c.rs_decode),
        line("encode 1 piece, rlnc", "encode-one-rlnc", &c.encode_one, &c.rlnc_encode_one),
        line("decode, rlnc", "decode-rlnc", &c.decode, &c.rlnc_decode),
        line(
            "decode, rlnc, both into new memory",
            "decode-allocating-rlnc",
            &c.decode_allocating,
            &c.rlnc_decode,
        ),
        line("encode k pieces, the tile's limit", "encode-of-limit", &c.encode, &bound),
    ];
    let (in_cache, memory) = (rate(&c.in_cache), rate(&c.memory));
    println!("{:<42} {in_cache:>7.3} in cache, {memory:.3} memory", "the limit, GB/s");
    ratios.iter().for_each(|ratio| println!("{ratio}"));
}

/// The secret checksum has no peer; its rate is for the record.
fn checksum() -> anyhow::Result<()> {
    let piece = content(1);
    let key = ours::checksum_key()?;
    let mut seconds = Seconds::new();
    (0..200).try_for_each(|_| time(&mut seconds, true, || key.tag(&piece)))?;
    let seconds = median(seconds);
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

/// Runs a step and notes what it took; dropping its result is part of it, where it allocates.
fn time<T, E: Into<anyhow::Error>>(
    column: &mut Seconds,
    kept: bool,
    step: impl FnOnce() -> Result<T, E>,
) -> anyhow::Result<()> {
    let started = cpu_seconds();
    drop(black_box(step().map_err(Into::into)?));
    if kept {
        column.push(cpu_seconds() - started);
    }
    Ok(())
}

/// The processor's time that this thread has had: others on the machine don't count.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
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
