//! Files of a site over HTTP, ours beside nginx: the same bytes, connections that are kept, the two
//! servers in turn, the client on the same machine.

use std::time::Duration;

use craftec_benches::{content, median, web::Server};

const RUNS: usize = 5;
const DURING: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let files = [("small.bin", 4 << 10, 32), ("large.bin", 1 << 20, 8)];
    for (name, bytes, _) in files {
        std::fs::write(folder.path().join(name), content(bytes, bytes))?;
    }
    let (ours, peer) = (Server::craftec(folder.path())?, Server::nginx(folder.path())?);
    println!("\nbench gateway: a site's files over HTTP, median of {RUNS} paired runs");
    println!("{:<28} {:>12} {:>12} {:>12}", "", "ours", "nginx", "ratio");
    for (name, bytes, connections) in files {
        let (path, content) = (format!("/{name}"), content(bytes, bytes));
        let mut rows = Vec::new();
        for run in 0..=RUNS {
            let load = |server: &Server| server.load(&path, &content, connections, DURING);
            let row = (load(&ours)?, load(&peer)?);
            // The first warms both up.
            if run > 0 {
                rows.push(row);
            }
        }
        let ratio = median(rows.iter().map(|(a, b)| a / b).collect());
        let a = median(rows.iter().map(|(a, _)| *a).collect());
        let b = median(rows.iter().map(|(_, b)| *b).collect());
        let what = format!("{} KiB, answers/s", bytes >> 10);
        println!("{what:<28} {a:>12.0} {b:>12.0} {ratio:>12.2}");
        println!("ratio gateway-{}k {ratio:.2}", bytes >> 10);
    }
    Ok(())
}
