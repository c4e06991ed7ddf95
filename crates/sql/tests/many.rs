//! A thousand databases in one node.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{count, integer, open};
use craftec_platform::{Folder, sim::SimDisk};
use craftec_sql::log;
use futures::executor::block_on;

#[test]
fn a_thousand_databases_take_what_a_thousand_small_files_take() {
    let disk = SimDisk::new();
    let begun = Instant::now();
    block_on(async {
        for round in 0..2 {
            for number in 0..1_000 {
                let db = open(&disk, &format!("database {number}")).await;
                db.execute_batch("CREATE TABLE IF NOT EXISTS t (a)").await.unwrap();
                db.execute("INSERT INTO t VALUES (?)", &[integer(number)]).await.unwrap();
                assert_eq!(count(&db, "t").await, round + 1);
                db.close().unwrap();
            }
        }
        assert_eq!(disk.list().await.unwrap().len(), 1_000);
        assert!(disk.used_bytes() < 80 << 20, "{} bytes", disk.used_bytes());
        // A hundred at once, which know nothing of each other.
        let mut all = Vec::new();
        for number in 0..100 {
            all.push(open(&disk, &format!("database {number}")).await);
        }
        for db in &all {
            assert_eq!(count(db, "t").await, 2);
        }
        drop(all);
        for number in 0..1_000 {
            log::remove(&disk, &format!("database {number}")).await.unwrap();
        }
        assert_eq!(disk.used_bytes(), 0);
    });
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
}
