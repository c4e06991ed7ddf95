//! Snapshots that come from elsewhere: block by block, each checked, in the middle of other work.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use common::{count, open, open_with};
use craftec_core::Cid;
use craftec_platform::sim::SimDisk;
use craftec_sql::{
    Database, DatabaseOptions, MemoryStore, NoKeys, PageStore, SqlError, Stored, log::LogOptions,
};
use futures::{executor::block_on, future::LocalBoxFuture};

/// A store that lacks or falsifies what comes after so many blocks.
struct Faulty {
    store: MemoryStore,
    after: Cell<usize>,
    lies: bool,
}

impl PageStore for Faulty {
    fn get<'a>(
        &'a self,
        root: &'a Cid,
        wanted: &'a [Cid],
    ) -> LocalBoxFuture<'a, Stored<Vec<Option<Bytes>>>> {
        Box::pin(async move {
            let mut found = self.store.get(root, wanted).await?;
            for block in &mut found {
                if self.after.get() == 0 {
                    *block = self.lies.then(|| Bytes::from_static(b"something else"));
                }
                self.after.set(self.after.get().saturating_sub(1));
            }
            Ok(found)
        })
    }
}

const FILL: &str = "CREATE TABLE t (a INTEGER PRIMARY KEY, b);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
    INSERT INTO t SELECT i, hex(zeroblob(40)) FROM n;";

async fn published(store: &MemoryStore) -> (Database, Cid) {
    let db = open(&SimDisk::new(), "theirs").await;
    db.execute_batch(FILL).await.unwrap();
    let root = db.snapshot().unwrap();
    db.publish(store, root, None).await.unwrap();
    (db, root)
}

#[test]
fn what_is_missing_or_wrong_is_said_and_what_came_stays() {
    block_on(async {
        let store = MemoryStore::default();
        let (_, root) = published(&store).await;
        let disk = SimDisk::new();
        let db = open(&disk, "ours").await;
        for (after, lies) in [(0, false), (0, true), (2, true), (40, false), (300, true)] {
            let faulty = Faulty { store: store.clone(), after: Cell::new(after), lies };
            let error = db.take(&faulty, root, "theirs", &NoKeys).await.unwrap_err();
            match error {
                SqlError::Missing { .. } => assert!(!lies),
                SqlError::WrongBytes { .. } => assert!(lies),
                other => panic!("{other}"),
            }
            assert!(db.kept().is_empty() && db.restore(root).await.is_err());
        }
        drop(db);
        let db = open(&disk, "ours").await;
        let counted = Rc::new(Faulty { store, after: Cell::new(10_000), lies: false });
        db.take(&*counted, root, "theirs", &NoKeys).await.unwrap();
        let asked = 10_000 - counted.after.get();
        assert!(asked > 100 && asked < db.blocks(root, None).unwrap().len() - 200, "{asked}");
        assert!(db.restore(root).await.unwrap());
        assert_eq!(count(&db, "t").await, 30_000);
    });
}

#[test]
fn a_snapshot_that_was_taken_in_outlives_compactions_and_work_around_it() {
    block_on(async {
        let store = MemoryStore::default();
        let (theirs, first) = published(&store).await;
        let log = LogOptions { snapshots: 1, slack_bytes: 64 << 10 };
        let options = DatabaseOptions { log, ..DatabaseOptions::default() };
        let disk = SimDisk::new();
        let db = open_with(&disk, "ours", options).await;
        db.execute_batch("CREATE TABLE own (a)").await.unwrap();
        db.take(&store, first, "theirs", &NoKeys).await.unwrap();
        for n in 0..300 {
            let sql = format!("DELETE FROM own; INSERT INTO own VALUES (zeroblob({}))", 9000 + n);
            db.execute_batch(&sql).await.unwrap();
            if n % 50 == 0 {
                db.snapshot().unwrap();
                db.compact().await.unwrap();
            }
        }
        assert!(db.restore(first).await.unwrap());
        assert_eq!(count(&db, "t").await, 30_000);
        // A newer one takes its place under the name, and only what differs is fetched.
        theirs.execute_batch("UPDATE t SET b = 'x' WHERE a = 7").await.unwrap();
        let second = theirs.snapshot().unwrap();
        theirs.publish(&store, second, Some(first)).await.unwrap();
        let counted = Faulty { store, after: Cell::new(10_000), lies: false };
        db.take(&counted, second, "theirs", &NoKeys).await.unwrap();
        assert!(10_000 - counted.after.get() < 8);
        let kept = db.kept();
        assert_eq!(kept.iter().filter(|kept| kept.name == "theirs").count(), 1);
        assert!(kept.iter().any(|kept| kept.root == second));
    });
}
