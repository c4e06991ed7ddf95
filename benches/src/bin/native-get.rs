//! Objects from one node's disk to another's over loopback, ours beside `iroh-blobs`: fresh content
//! in every run, the two programs in turn.

use std::time::Duration;

use craftec_benches::{content, median, ours, peer};

/// One comparison: so many bytes in so many runs, put here and fetched there.
struct Case {
    name: &'static str,
    bytes: usize,
    runs: usize,
}

const CASES: [Case; 2] =
    [Case { name: "256m", bytes: 256 << 20, runs: 5 }, Case { name: "4k", bytes: 4 << 10, runs: 301 }];

/// How long each program took for one thing.
#[derive(Clone, Copy)]
struct Pair {
    ours: Duration,
    peer: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (ours, peer) = (ours::Pair::start().await?, peer::Pair::start().await?);
    println!("\nbench native-get: loopback, disk to disk, connected, medians of paired runs");
    println!("{:<28} {:>12} {:>12} {:>12}", "", "ours", "iroh-blobs", "ratio");
    for case in CASES {
        let (mut puts, mut gets) = (Vec::new(), Vec::new());
        for run in 0..=case.runs {
            let content = |side| content(case.bytes, (run * 2 + side) * 1000 + case.runs);
            let (a, b) = (ours.run(content(0)).await?, peer.run(content(1)).await?);
            // The first warms both up.
            if run > 0 {
                puts.push(Pair { ours: a.put, peer: b.put });
                gets.push(Pair { ours: a.get, peer: b.get });
            }
        }
        report("put", &case, &puts);
        report("get", &case, &gets);
    }
    Ok(())
}

fn report(what: &str, case: &Case, rows: &[Pair]) {
    let of = |pick: fn(&Pair) -> Duration| {
        let seconds = median(rows.iter().map(|row| pick(row).as_secs_f64()).collect());
        if case.bytes < 1 << 20 { seconds * 1e3 } else { case.bytes as f64 / 1e6 / seconds }
    };
    let unit = if case.bytes < 1 << 20 { "ms" } else { "MB/s" };
    let ratio = |row: &Pair| row.peer.as_secs_f64() / row.ours.as_secs_f64();
    let ratio = median(rows.iter().map(ratio).collect());
    let (a, b) = (of(|row| row.ours), of(|row| row.peer));
    let name = format!("{what} {}, {unit}", case.name);
    println!("{name:<28} {a:>12.2} {b:>12.2} {ratio:>12.2}");
    println!("ratio native-{what}-{} {ratio:.2}", case.name);
}
