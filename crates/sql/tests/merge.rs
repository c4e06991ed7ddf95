//! Two devices that wrote the same database apart from each other: what is merged, what is named.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Dice, count, integer, open, text};
use craftec_core::Cid;
use craftec_platform::sim::{Damage, SimDisk};
use craftec_sql::{
    Conflict, ConflictKind, Database, MemoryStore, Merged, NoKeys, Other, PageStore as _, SqlError,
    Strategy, Value,
};
use futures::executor::block_on;

/// One database on two devices, and the state that both began with.
struct Two {
    ours: Database,
    theirs: Database,
    store: MemoryStore,
    base: Cid,
}

impl Two {
    async fn with(sql: &str) -> Self {
        let store = MemoryStore::default();
        let ours = open(&SimDisk::new(), "shop").await;
        ours.execute_batch(sql).await.unwrap();
        let base = give(&ours, &store).await;
        let theirs = open(&SimDisk::new(), "shop").await;
        let two = Self { ours, theirs, store, base };
        two.theirs.take(&two.store, base, "published", &NoKeys).await.unwrap();
        let other = Other { root: base, base: None, published: true };
        assert_eq!(merge(&two.theirs, other, Strategy::Stop).await, made());
        assert_eq!(two.theirs.snapshot().unwrap(), base, "it is that state, to the page");
        two.ours.keep("published", base).unwrap();
        two
    }

    /// Each does its own, and theirs is published and merged here.
    async fn apart(&self, here: &str, there: &str, strategy: Strategy) -> Merged {
        self.ours.execute_batch(here).await.unwrap();
        self.theirs.execute_batch(there).await.unwrap();
        merge(&self.ours, self.published().await, strategy).await
    }

    async fn published(&self) -> Other {
        let root = give(&self.theirs, &self.store).await;
        self.ours.take(&self.store, root, "theirs", &NoKeys).await.unwrap();
        Other { root, base: Some(self.base), published: true }
    }
}

async fn give(db: &Database, store: &MemoryStore) -> Cid {
    let root = db.snapshot().unwrap();
    let blocks = db.blocks(root, None).unwrap().into_iter();
    let blocks: Vec<(Cid, _)> = blocks.map(|cid| (cid, db.block(&cid).unwrap())).collect();
    store.put(&blocks).await.unwrap();
    root
}

async fn merge(db: &Database, other: Other, strategy: Strategy) -> Merged {
    let merged = db.merge(other, strategy, None).await.unwrap();
    let check = db.query("PRAGMA integrity_check", &[]).await.unwrap();
    assert_eq!(check.value(), Some(&text("ok")));
    merged
}

fn made() -> Merged {
    Merged { made: true, ..Merged::default() }
}

fn conflict(table: &str, kind: ConflictKind, key: &[Value]) -> Conflict {
    Conflict { table: table.to_owned(), kind, key: key.to_vec() }
}

async fn rows(db: &Database, sql: &str) -> Vec<Vec<Value>> {
    db.query(sql, &[]).await.unwrap().rows
}

const SHOP: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, price INT, note);
    INSERT INTO item VALUES (1, 'tea', 3, ''), (2, 'salt', 1, ''), (3, 'oil', 9, '');";

#[test]
fn what_does_not_contradict_is_merged_without_a_word() {
    block_on(async {
        let two = Two::with(SHOP).await;
        let merged = two
            .apart(
                "UPDATE item SET price = 4 WHERE id = 1; INSERT INTO item VALUES (10, 'rice', 2, '');
                 DELETE FROM item WHERE id = 3;",
                "UPDATE item SET note = 'green' WHERE id = 1; DELETE FROM item WHERE id = 3;
                 INSERT INTO item VALUES (11, 'corn', 2, ''), (10, 'rice', 2, '');",
                Strategy::Stop,
            )
            .await;
        assert_eq!(merged, made(), "other columns of one row, and the same change twice");
        let found = rows(&two.ours, "SELECT id, name, price, note FROM item ORDER BY id").await;
        let row = |id, name, price, note| vec![integer(id), text(name), integer(price), text(note)];
        let rice = row(10, "rice", 2, "");
        assert_eq!(
            found,
            [row(1, "tea", 4, "green"), row(2, "salt", 1, ""), rice, row(11, "corn", 2, "")]
        );
        // It stands on what is published: the other device goes over to it page by page.
        let root = give(&two.ours, &two.store).await;
        two.theirs.take(&two.store, root, "published", &NoKeys).await.unwrap();
        let base = Some(two.theirs.snapshot().unwrap());
        let other = Other { root, base, published: true };
        assert_eq!(merge(&two.theirs, other, Strategy::Stop).await, made());
        assert_eq!(two.theirs.snapshot().unwrap(), root);
    });
}

#[test]
fn each_conflict_is_named_and_decided_as_was_said() {
    let here = "UPDATE item SET price = 4 WHERE id = 1; DELETE FROM item WHERE id = 2;
        UPDATE item SET price = 8 WHERE id = 3; INSERT INTO item VALUES (4, 'corn', 2, 'here');
        INSERT INTO item VALUES (5, 'rice', 2, 'here');";
    let there = "UPDATE item SET price = 5 WHERE id = 1; UPDATE item SET price = 2 WHERE id = 2;
        DELETE FROM item WHERE id = 3; INSERT INTO item VALUES (4, 'maize', 3, 'there');
        INSERT INTO item VALUES (6, 'rice', 7, 'there');";
    let all = "SELECT id, price, note FROM item ORDER BY id";
    let row = |id, price, note| vec![integer(id), integer(price), text(note)];
    block_on(async {
        let two = Two::with(SHOP).await;
        let before = rows(&two.ours, all).await;
        let stopped = two.apart(here, there, Strategy::Stop).await;
        let mut kinds: Vec<(i64, ConflictKind)> = Vec::new();
        for conflict in &stopped.conflicts {
            let [Value::Integer(id)] = conflict.key[..] else { panic!("{conflict:?}") };
            kinds.push((id, conflict.kind));
        }
        kinds.sort_by_key(|(id, _)| *id);
        use ConflictKind::{Added, Changed, Constraint, Deleted};
        let expected = [(1, Changed), (2, Deleted), (3, Deleted), (4, Added), (5, Constraint)];
        assert_eq!((stopped.made, &kinds[..]), (false, &expected[..]));
        assert_ne!(rows(&two.ours, all).await, before);
        assert_eq!(count(&two.ours, "item WHERE note = 'there'").await, 0, "nothing happened");

        let other = two.published().await;
        let merged = merge(&two.ours, other, Strategy::Ours).await;
        assert_eq!((merged.made, merged.conflicting), (true, 5));
        let ours = [row(1, 4, ""), row(3, 8, ""), row(4, 2, "here"), row(5, 2, "here")];
        assert_eq!(rows(&two.ours, all).await, ours);

        let two = Two::with(SHOP).await;
        let merged = two.apart(here, there, Strategy::Theirs).await;
        assert_eq!((merged.made, merged.conflicting), (true, 5));
        let theirs = [row(1, 5, ""), row(2, 2, ""), row(4, 3, "there"), row(6, 7, "there")];
        assert_eq!(rows(&two.ours, all).await, theirs);
    });
}

#[test]
fn rows_without_a_key_are_kept_from_both_and_numbers_are_not_given_twice() {
    block_on(async {
        let two = Two::with(
            "CREATE TABLE log (line TEXT); INSERT INTO log VALUES ('first');
             CREATE TABLE seq (id INTEGER PRIMARY KEY AUTOINCREMENT, a);
             CREATE TABLE pair (a, b, c, PRIMARY KEY (b, a)) WITHOUT ROWID;
             INSERT INTO seq (a) VALUES ('x');",
        )
        .await;
        let merged = two
            .apart(
                "INSERT INTO log VALUES ('both'), ('here'); INSERT INTO pair VALUES (1, 2, 3);
                 INSERT INTO seq (id, a) VALUES (40, 'gone'); DELETE FROM seq WHERE id = 40;",
                "INSERT INTO log VALUES ('both'); INSERT INTO pair VALUES (1, 3, 4);
                 INSERT INTO seq (a) VALUES ('y');",
                Strategy::Stop,
            )
            .await;
        assert_eq!(merged, made());
        let lines = rows(&two.ours, "SELECT line FROM log ORDER BY line").await;
        assert_eq!(lines.concat(), ["both", "both", "first", "here"].map(text));
        assert_eq!(count(&two.ours, "pair").await, 2);
        two.ours.execute("INSERT INTO seq (a) VALUES ('z')", &[]).await.unwrap();
        let last = rows(&two.ours, "SELECT max(id) FROM seq").await;
        assert_eq!(last.concat(), [integer(41)]);
    });
}

#[test]
fn triggers_do_not_act_twice_and_indexes_find_what_was_merged() {
    block_on(async {
        let two = Two::with(
            "CREATE TABLE doc (id INTEGER PRIMARY KEY, body);
             CREATE TABLE made (n); INSERT INTO made VALUES (0);
             CREATE TRIGGER t AFTER INSERT ON doc BEGIN UPDATE made SET n = n + 1; END;
             CREATE VIRTUAL TABLE own USING fts5(body);
             CREATE VIRTUAL TABLE outer USING fts5(body, content = 'doc', content_rowid = 'id');
             CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
             INSERT INTO boxes VALUES (1, 0, 1);",
        )
        .await;
        let write = |id: i64, word: &str| {
            format!(
                "INSERT INTO doc VALUES ({id}, '{word} words'); \
                 INSERT INTO own (rowid, body) VALUES ({id}, '{word} words'); \
                 INSERT INTO outer (rowid, body) VALUES ({id}, '{word} words');"
            )
        };
        let here = write(1, "morning") + "INSERT INTO boxes VALUES (2, 5, 6);";
        let merged = two.apart(&here, &write(2, "evening"), Strategy::Ours).await;
        // Both counted one: a contradiction, and a lesson about counters.
        assert_eq!(merged.conflicts, [] as [Conflict; 0]);
        for index in ["own", "outer"] {
            for word in ["morning", "evening", "words"] {
                let sql = format!("SELECT count(*) FROM {index} WHERE {index} MATCH '{word}'");
                let expected = if word == "words" { 2 } else { 1 };
                assert_eq!(rows(&two.ours, &sql).await.concat(), [integer(expected)], "{sql}");
            }
            let sql = format!("INSERT INTO {index} ({index}) VALUES ('integrity-check')");
            two.ours.execute(&sql, &[]).await.unwrap();
        }
        assert_eq!(count(&two.ours, "boxes WHERE x0 > 4").await, 1);
        assert_eq!(count(&two.ours, "doc").await, 2);
    });
}

#[test]
fn what_has_no_rows_of_its_own_is_taken_whole() {
    let schema = "CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
        CREATE TABLE loose (a TEXT PRIMARY KEY, b); INSERT INTO loose VALUES (NULL, 1);";
    block_on(async {
        for (strategy, id) in [(Strategy::Ours, 1), (Strategy::Theirs, 2)] {
            let two = Two::with(schema).await;
            let here = "INSERT INTO boxes VALUES (1, 0, 1); INSERT INTO loose VALUES (NULL, 2);";
            let there = "INSERT INTO boxes VALUES (2, 0, 1);";
            let merged = two.apart(here, there, strategy).await;
            assert_eq!(merged.conflicts, [conflict("boxes", ConflictKind::Table, &[])]);
            assert_eq!(rows(&two.ours, "SELECT id FROM boxes").await.concat(), [integer(id)]);
            assert_eq!(count(&two.ours, "loose").await, 2, "only one side changed it");
        }
    });
}

#[test]
fn a_row_that_lost_what_it_refers_to_stops_the_merge() {
    block_on(async {
        let two = Two::with(
            "CREATE TABLE cart (id INTEGER PRIMARY KEY); INSERT INTO cart VALUES (1), (2);
             CREATE TABLE line (id INTEGER PRIMARY KEY, cart REFERENCES cart ON DELETE CASCADE);
             INSERT INTO line VALUES (1, 2);",
        )
        .await;
        let merged = two
            .apart(
                "INSERT INTO line VALUES (7, 1); DELETE FROM cart WHERE id = 2;",
                "DELETE FROM cart WHERE id = 1",
                Strategy::Ours,
            )
            .await;
        let expected = [conflict("line", ConflictKind::Reference, &[integer(7)])];
        assert_eq!((merged.made, &merged.conflicts[..]), (false, &expected[..]));
        // The owner decides, and then it is made.
        two.ours.execute("DELETE FROM line WHERE id = 7", &[]).await.unwrap();
        assert_eq!(merge(&two.ours, two.published().await, Strategy::Stop).await, made());
        assert_eq!((count(&two.ours, "cart").await, count(&two.ours, "line").await), (0, 0));
    });
}

#[test]
fn one_side_may_have_changed_the_schema() {
    block_on(async {
        let change = "ALTER TABLE item ADD COLUMN unit TEXT DEFAULT 'g'; CREATE TABLE more (a);
            INSERT INTO more VALUES (1); CREATE INDEX by_price ON item (price);";
        let plain = "UPDATE item SET note = 'n' WHERE id = 1;";
        for (here, there) in [(change, ""), ("", change)] {
            let two = Two::with(SHOP).await;
            assert_eq!(two.apart(here, there, Strategy::Stop).await, made());
            assert_eq!(count(&two.ours, "more").await, 1);
        }
        // Rows of the table that is another now have nowhere to go.
        let two = Two::with(SHOP).await;
        two.ours.execute_batch(plain).await.unwrap();
        two.theirs.execute_batch(change).await.unwrap();
        let error = two.ours.merge(two.published().await, Strategy::Ours, None).await;
        assert!(matches!(error, Err(SqlError::Unlike { table }) if table == "item"));
        // Rows of others do.
        let two = Two::with(SHOP).await;
        let other = "CREATE TABLE more (a); INSERT INTO more VALUES (1);";
        assert_eq!(two.apart(plain, other, Strategy::Stop).await, made());
        assert_eq!(count(&two.ours, "item WHERE note = 'n'").await, 1);
        let two = Two::with(SHOP).await;
        assert_eq!(two.apart(other, plain, Strategy::Stop).await, made());
        assert_eq!(count(&two.ours, "item WHERE note = 'n'").await, 1);
        // Both made the same table, each with rows; then both another.
        let two = Two::with(SHOP).await;
        let added = "CREATE TABLE more (a); INSERT INTO more VALUES (2);";
        assert_eq!(two.apart(added, other, Strategy::Stop).await, made());
        assert_eq!(count(&two.ours, "more").await, 2);
        let two = Two::with(SHOP).await;
        two.ours.execute_batch(added).await.unwrap();
        two.theirs.execute_batch("CREATE TABLE less (a)").await.unwrap();
        let error = two.ours.merge(two.published().await, Strategy::Ours, None).await;
        assert!(matches!(error, Err(SqlError::Schemas)), "{error:?}");
    });
}

#[test]
fn without_a_state_before_both_what_is_equal_is_one_and_what_differs_is_named() {
    block_on(async {
        let two = Two::with("CREATE TABLE log (line); INSERT INTO log VALUES ('a'), ('b');").await;
        two.ours
            .execute_batch("DELETE FROM log WHERE line = 'a'; INSERT INTO log VALUES ('c')")
            .await
            .unwrap();
        two.ours
            .execute_batch(
                "CREATE TABLE k (id PRIMARY KEY, v); INSERT INTO k VALUES (1, 1), (2, 2)",
            )
            .await
            .unwrap();
        two.theirs.execute_batch("INSERT INTO log VALUES ('d'), ('d')").await.unwrap();
        two.theirs
            .execute_batch(
                "CREATE TABLE k (id PRIMARY KEY, v); INSERT INTO k VALUES (1, 1), (2, 3)",
            )
            .await
            .unwrap();
        let other = Other { base: None, ..two.published().await };
        let merged = merge(&two.ours, other, Strategy::Theirs).await;
        assert_eq!(merged.conflicts, [conflict("k", ConflictKind::Added, &[integer(2)])]);
        let lines = rows(&two.ours, "SELECT line FROM log ORDER BY line").await;
        assert_eq!(lines.concat(), ["a", "b", "c", "d", "d"].map(text));
        assert_eq!(
            rows(&two.ours, "SELECT v FROM k ORDER BY id").await.concat(),
            [1, 3].map(integer)
        );
    });
}

#[test]
fn a_crash_leaves_all_of_a_merge_or_nothing() {
    let here = "UPDATE item SET price = price + 1; INSERT INTO item VALUES (20, 'here', 0, '');";
    let there = "UPDATE item SET note = 'x'; INSERT INTO item VALUES (21, 'there', 0, '');";
    let sum = "SELECT sum(price), count(*), sum(note = 'x') FROM item";
    for at in 0..60 {
        block_on(async {
            let disk = SimDisk::new();
            let store = MemoryStore::default();
            let ours = open(&disk, "shop").await;
            ours.execute_batch(SHOP).await.unwrap();
            let base = give(&ours, &store).await;
            ours.keep("published", base).unwrap();
            let theirs = open(&SimDisk::new(), "shop").await;
            theirs.take(&store, base, "published", &NoKeys).await.unwrap();
            theirs
                .merge(Other { root: base, base: None, published: true }, Strategy::Stop, None)
                .await
                .unwrap();
            ours.execute_batch(here).await.unwrap();
            theirs.execute_batch(there).await.unwrap();
            let root = give(&theirs, &store).await;
            let before = rows(&ours, sum).await;
            disk.power_off_at(disk.changes() + at);
            let took = ours.take(&store, root, "theirs", &NoKeys).await;
            let other = Other { root, base: Some(base), published: true };
            let merged = match took {
                Ok(()) => ours.merge(other, Strategy::Stop, None).await,
                Err(error) => Err(error),
            };
            drop(ours);
            disk.crash(if at % 2 == 0 { Damage::Lost } else { Damage::Torn(at) });
            let ours = open(&disk, "shop").await;
            let found = rows(&ours, sum).await;
            let after = vec![vec![integer(16), integer(5), integer(3)]];
            let is_whole = found == after || (found == before && merged.is_err());
            assert!(is_whole, "after {at} changes: {found:?}");
        });
    }
}

/// Every row that either side wrote is there afterwards, or its conflict was named.
#[test]
fn whatever_both_did_each_change_is_there_or_named() {
    for seed in 0..40 {
        block_on(async {
            let mut dice = Dice(seed);
            let two = Two::with(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE TABLE bare (a);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
                 INSERT INTO t SELECT i, 0, 0 FROM n;",
            )
            .await;
            let mut wrote: [Vec<(i64, String, i64)>; 2] = [Vec::new(), Vec::new()];
            for (side, db) in [&two.ours, &two.theirs].into_iter().enumerate() {
                for step in 0..20 {
                    let (id, value) = (dice.roll(70) as i64, (side as i64 + 1) * 1000 + step);
                    let column = *dice.pick(&["a", "b"]);
                    let sql = match dice.roll(4) {
                        0 => format!("DELETE FROM t WHERE id = {id}"),
                        1 => {
                            format!("INSERT OR IGNORE INTO t (id, {column}) VALUES ({id}, {value})")
                        }
                        2 => format!("INSERT INTO bare VALUES ({value})"),
                        _ => format!("UPDATE t SET {column} = {value} WHERE id = {id}"),
                    };
                    db.execute(&sql, &[]).await.unwrap();
                }
                for column in ["a", "b"] {
                    let sql = format!("SELECT id, {column} FROM t WHERE {column} >= 1000");
                    for row in rows(db, &sql).await {
                        let [Value::Integer(id), Value::Integer(value)] = row[..] else { panic!() };
                        wrote[side].push((id, column.to_owned(), value));
                    }
                }
            }
            let bare = count(&two.ours, "bare").await + count(&two.theirs, "bare").await;
            let strategy = *dice.pick(&[Strategy::Ours, Strategy::Theirs]);
            let merged = two.apart("", "", strategy).await;
            assert!(merged.made);
            let named: Vec<i64> = merged
                .conflicts
                .iter()
                .filter_map(|it| if let Value::Integer(id) = it.key[0] { Some(id) } else { None })
                .collect();
            assert_eq!(merged.conflicting as usize, named.len());
            for (id, column, value) in wrote.iter().flatten() {
                let sql = format!("SELECT {column} FROM t WHERE id = {id}");
                let is_there = rows(&two.ours, &sql).await.concat() == [integer(*value)];
                assert!(is_there || named.contains(id), "seed {seed}: {id} {column} {value}");
            }
            assert_eq!(count(&two.ours, "bare").await, bare);
            let lists = [&two.ours, &two.theirs];
            assert!(lists.iter().all(|db| db.units() > 0));
        });
    }
}
