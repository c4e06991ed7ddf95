//! Random SQL on ours and on stock SQLite, side by side: the same answers, the same pages.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod random;

use std::time::{Duration, Instant};

use common::open_with;
use craftec_platform::sim::{Damage, SimDisk};
use craftec_sql::{Database, DatabaseOptions};
use futures::executor::block_on;
use random::{Place, life};
use rusqlite::Connection;

/// A simulated disk for ours, which loses what was not synchronised, and a folder for stock SQLite.
struct Disks {
    disk: SimDisk,
    folder: tempfile::TempDir,
}

impl Disks {
    fn new() -> Self {
        Self { disk: SimDisk::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("stock.sqlite")
    }
}

impl Place for Disks {
    async fn ours(&mut self, options: DatabaseOptions) -> Database {
        self.disk.crash(Damage::Lost);
        open_with(&self.disk, "fuzz", options).await
    }

    fn stock(&mut self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn file(&self, _: &mut Connection) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }
}

#[test]
fn random_statements_do_what_they_do_in_stock_sqlite() {
    for seed in 0..4 {
        let succeeded = block_on(life(&mut Disks::new(), seed, 400));
        assert!(succeeded > 150, "seed {seed}: only {succeeded} did anything");
    }
}

/// `CRAFTEC_FUZZ_SECONDS=600 cargo test -p craftec-sql --test differential -- --ignored --nocapture`
#[test]
#[ignore = "as long as it is told"]
fn random_statements_do_what_they_do_in_stock_sqlite_for_long() {
    let told = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (seconds, first) = (told("CRAFTEC_FUZZ_SECONDS"), told("CRAFTEC_FUZZ_SEED"));
    let first = first.unwrap_or(1_000);
    let (begun, mut seed, mut statements) = (Instant::now(), first, 0);
    while begun.elapsed() < Duration::from_secs(seconds.unwrap_or(60)) {
        block_on(life(&mut Disks::new(), seed, 1_500));
        seed += 1;
        statements += 1_500;
    }
    println!("{statements} statements of {} lives in {:?}", seed - first, begun.elapsed());
}
