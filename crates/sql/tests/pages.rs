//! A database by its pages: what a program with an SQLite of its own sees of it, and may commit to it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{Dice, count, integer, open, open_with};
use craftec_core::database::PAGE_BYTES;
use craftec_platform::sim::SimDisk;
use craftec_sql::{
    Database, DatabaseOptions, SqlError,
    log::{LogError, LogOptions},
    page::{Page, PageNo},
};
use futures::executor::block_on;

/// All pages as the last commit left them.
fn image(db: &Database) -> Vec<Page> {
    let read = |page| {
        let mut bytes = [0; PAGE_BYTES];
        db.page(page, &mut bytes).unwrap();
        bytes
    };
    (1..=db.pages()).filter_map(PageNo::new).map(read).collect()
}

fn pinned(db: &Database, state: u64) -> Option<Vec<Page>> {
    let bytes = db.pages_at(state, PageNo::FIRST, u32::MAX).unwrap()?;
    Some(bytes.chunks_exact(PAGE_BYTES).map(|page| page.try_into().unwrap()).collect())
}

async fn give(
    db: &Database,
    base: u64,
    pages: &[Page],
) -> Result<Option<craftec_sql::State>, SqlError> {
    let numbered = (1..).filter_map(PageNo::new).zip(pages);
    db.commit_pages(base, pages.len() as u32, numbered).await
}

#[test]
fn a_pinned_state_stays_what_it_was_whatever_is_committed() {
    let disk = SimDisk::new();
    for seed in 0..12 {
        let mut dice = Dice(seed);
        block_on(async {
            let log = LogOptions { slack_bytes: 64 << 10, ..LogOptions::default() };
            let options = DatabaseOptions { log, ..DatabaseOptions::default() };
            let db = open_with(&disk, &format!("db {seed}"), options).await;
            db.execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)").await.unwrap();
            let mut held: BTreeMap<u64, (usize, Vec<Page>)> = BTreeMap::new();
            for _ in 0..120 {
                let row = integer(dice.roll(60) as i64);
                match dice.roll(8) {
                    0 => {
                        let state = db.pin();
                        held.entry(state.number).or_insert((0, image(&db))).0 += 1;
                    }
                    1 => {
                        let states: Vec<u64> = held.keys().copied().collect();
                        if !states.is_empty() {
                            let state = *dice.pick(&states);
                            db.unpin(state);
                            let entry = held.get_mut(&state).unwrap();
                            entry.0 -= 1;
                            if entry.0 == 0 {
                                held.remove(&state);
                                assert_eq!(pinned(&db, state), None);
                            }
                        }
                    }
                    2 => drop(db.execute("DELETE FROM t WHERE a < ?", &[row]).await.unwrap()),
                    3 if dice.roll(4) == 0 => db.execute_batch("VACUUM").await.unwrap(),
                    4 => drop(db.snapshot().unwrap()),
                    _ => {
                        let sql = "INSERT OR REPLACE INTO t VALUES (?, randomblob(3000))";
                        db.execute(sql, &[row]).await.unwrap();
                    }
                }
                for (state, (_, pages)) in &held {
                    assert!(pinned(&db, *state).as_ref() == Some(pages), "seed {seed}");
                }
            }
        });
    }
}

#[test]
fn pages_of_another_sqlite_are_committed_if_the_state_is_still_theirs() {
    let disk = SimDisk::new();
    block_on(async {
        let (other, db) = (open(&disk, "other").await, open(&disk, "db").await);
        other.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").await.unwrap();
        let empty = db.state();
        let first = give(&db, empty.number, &image(&other)).await.unwrap().unwrap();
        assert_eq!((first.pages, count(&db, "t").await), (other.pages(), 1));
        assert_eq!(give(&db, empty.number, &image(&other)).await.unwrap(), None, "it is stale");

        other.execute_batch("INSERT INTO t VALUES (2), (3)").await.unwrap();
        let second = give(&db, first.number, &image(&other)).await.unwrap().unwrap();
        assert!(second.number > first.number);
        assert_eq!(count(&db, "t").await, count(&other, "t").await);
        let same = give(&db, second.number, &image(&other)).await.unwrap().unwrap();
        assert_eq!(same, second, "nothing changed");

        // Here and there in turns: each sees what the other did.
        db.execute_batch("INSERT INTO t VALUES (4)").await.unwrap();
        assert_eq!(give(&db, second.number, &image(&other)).await.unwrap(), None);
        let here = db.state();
        assert!(give(&other, other.state().number, &image(&db)).await.unwrap().is_some());
        other.execute_batch("DELETE FROM t").await.unwrap();
        give(&db, here.number, &image(&other)).await.unwrap().unwrap();
        assert_eq!(count(&db, "t").await, 0);
        drop(db);
        assert_eq!(count(&open(&disk, "db").await, "t").await, 0, "it is durable");
    });
}

#[test]
fn what_is_no_database_is_refused_and_changes_nothing() {
    let disk = SimDisk::new();
    block_on(async {
        let (other, db) = (open(&disk, "other").await, open(&disk, "db").await);
        for db in [&other, &db] {
            db.execute_batch("CREATE TABLE t (a)").await.unwrap();
        }
        other.execute_batch("INSERT INTO t VALUES (1)").await.unwrap();
        let (before, good) = (db.state(), image(&other));
        let refused = async |change: &dyn Fn(&mut Vec<Page>)| {
            let mut pages = good.clone();
            change(&mut pages);
            let given = give(&db, before.number, &pages).await;
            assert!(matches!(given, Err(SqlError::Log(LogError::Foreign { .. }))), "{given:?}");
            assert_eq!(db.state(), before);
        };
        refused(&|pages| pages.clear()).await;
        refused(&|pages| pages[0][0] = b's').await;
        refused(&|pages| pages[0][16] = 0x20).await;
        refused(&|pages| pages[0][18] = 2).await;
        let count = &image(&db)[0][24..28].to_vec();
        refused(&|pages| pages[0][24..28].copy_from_slice(count)).await;
        let far = db.commit_pages(before.number, 1, [(PageNo::new(2).unwrap(), &good[1])]).await;
        assert!(far.is_err(), "a page behind the end");
        give(&db, before.number, &good).await.unwrap().unwrap();
    });
}

/// As SQLite's VACUUM does it: a commit that counts itself and leaves pages behind the end that it gives,
/// and then one that cuts them off and changes no page.
#[test]
fn what_the_first_page_does_not_count_is_cut_off_without_a_count() {
    let disk = SimDisk::new();
    block_on(async {
        let (other, db) = (open(&disk, "other").await, open(&disk, "db").await);
        let fill = "CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(20000))";
        other.execute_batch(fill).await.unwrap();
        let full = give(&db, db.state().number, &image(&other)).await.unwrap().unwrap();
        other.execute_batch("DELETE FROM t").await.unwrap();
        other.execute_batch("VACUUM").await.unwrap();
        let small = image(&other);
        assert!(small.len() < full.pages as usize);
        let numbered = (1..).filter_map(PageNo::new).zip(&small);
        let long = db.commit_pages(full.number, full.pages, numbered).await.unwrap().unwrap();
        let shorter = db.commit_pages(long.number, long.pages - 1, []).await;
        assert!(shorter.is_err(), "not where the first page says");
        let cut = db.commit_pages(long.number, small.len() as u32, []).await.unwrap().unwrap();
        assert_eq!((cut.pages as usize, count(&db, "t").await), (small.len(), 0));
    });
}

#[test]
fn compaction_ends_older_pins_and_keeps_the_current_one() {
    let disk = SimDisk::new();
    block_on(async {
        let db = open(&disk, "db").await;
        db.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").await.unwrap();
        let old = db.pin();
        db.execute_batch("INSERT INTO t VALUES (2)").await.unwrap();
        let (current, pages) = (db.pin(), image(&db));
        db.compact().await.unwrap();
        assert_eq!(db.state(), current);
        assert_eq!(pinned(&db, old.number), None);
        assert!(pinned(&db, current.number) == Some(pages.clone()));
        db.execute_batch("INSERT INTO t VALUES (3)").await.unwrap();
        assert!(pinned(&db, current.number) == Some(pages));
    });
}
