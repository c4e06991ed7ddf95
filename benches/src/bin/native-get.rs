//! 256 MiB from one node's disk to another's over loopback, ours beside `iroh-blobs`: fresh content
//! in every run, the two programs in turn.

use std::time::Duration;

use craftec_benches::{ours, peer};

const BYTES: usize = 256 << 20;
const RUNS: usize = 5;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (ours, peer) = (ours::Pair::start().await?, peer::Pair::start().await?);
    let mut rows = Vec::new();
    for run in 0..=RUNS {
        let row = (ours.get(content(run * 2)).await?, peer.get(content(run * 2 + 1)).await?);
        // The first warms both up.
        if run > 0 {
            rows.push(row);
        }
    }
    let rate = |took: Duration| BYTES as f64 / 1e6 / took.as_secs_f64();
    let ratio = median(rows.iter().map(|(a, b)| b.as_secs_f64() / a.as_secs_f64()).collect());
    let a = median(rows.iter().map(|(a, _)| rate(*a)).collect());
    let b = median(rows.iter().map(|(_, b)| rate(*b)).collect());
    println!(
        "\nbench native-get: 256 MiB over loopback, disk to disk, median of {RUNS} paired runs"
    );
    println!("{:<28} {:>12} {:>12} {:>12}", "", "ours", "iroh-blobs", "ratio");
    println!("{:<28} {a:>12.0} {b:>12.0} {ratio:>12.2}", "MB/s");
    println!("ratio native-get {ratio:.2}");
    Ok(())
}

/// Bytes that no store has seen: a counter through a multiplicative mix, different for each seed.
fn content(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut bytes = Vec::with_capacity(BYTES);
    while bytes.len() < BYTES {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    bytes
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
