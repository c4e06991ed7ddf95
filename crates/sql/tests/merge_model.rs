//! Merges beside a model of them: what each row must be afterwards, cell by cell, and which are named.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Dice, open};
use craftec_platform::sim::SimDisk;
use craftec_sql::{Database, MemoryStore, NoKeys, Other, PageStore as _, Strategy, Value};
use futures::executor::block_on;

type Row = [i64; 3];
type Rows = BTreeMap<i64, Row>;

/// What a merge must give: `source` changed its rows since `base`, and they are changed so in `target`.
fn merged(base: &Rows, target: &Rows, source: &Rows, source_wins: bool) -> (Rows, BTreeSet<i64>) {
    let (mut result, mut named) = (target.clone(), BTreeSet::new());
    for id in base.keys().chain(source.keys()) {
        let (before, there, here) = (base.get(id), target.get(id), source.get(id));
        if here == before || here == there {
            continue;
        }
        let row = match (before, there, here) {
            // Nobody else touched it.
            _ if there == before => here.copied(),
            (Some(before), Some(there), Some(here)) => {
                let mut row = *there;
                let changed: Vec<usize> = (0..3).filter(|at| here[*at] != before[*at]).collect();
                let free = |at: &&usize| there[**at] == before[**at] || there[**at] == here[**at];
                if changed.iter().filter(free).count() < changed.len() {
                    named.insert(*id);
                    if !source_wins {
                        continue;
                    }
                }
                changed.into_iter().for_each(|at| row[at] = here[at]);
                Some(row)
            }
            _ => {
                named.insert(*id);
                if !source_wins {
                    continue;
                }
                here.copied()
            }
        };
        match row {
            Some(row) => drop(result.insert(*id, row)),
            None => drop(result.remove(id)),
        }
    }
    (result, named)
}

async fn write(db: &Database, rows: &mut Rows, dice: &mut Dice) {
    for _ in 0..12 {
        let id = dice.roll(24) as i64;
        let sql = match rows.get_mut(&id) {
            None => {
                let row = [dice.roll(3) as i64, dice.roll(3) as i64, dice.roll(3) as i64];
                rows.insert(id, row);
                format!("INSERT INTO \"a table\" VALUES ({id}, {}, {}, {})", row[0], row[1], row[2])
            }
            Some(_) if dice.roll(3) == 0 => {
                rows.remove(&id);
                format!("DELETE FROM \"a table\" WHERE id = {id}")
            }
            Some(row) => {
                let (at, value) = (dice.roll(3) as usize, dice.roll(3) as i64);
                row[at] = value;
                format!(
                    "UPDATE \"a table\" SET \"{}\" = {value} WHERE id = {id}",
                    ["a", "b", "group"][at]
                )
            }
        };
        db.execute(&sql, &[]).await.unwrap();
    }
}

async fn rows(db: &Database) -> Rows {
    let found = db.query("SELECT id, a, b, c FROM t", &[]).await.unwrap().rows;
    let numbers = found.into_iter().map(|row| {
        let number = |value: &Value| match value {
            Value::Integer(number) => *number,
            other => panic!("{other:?}"),
        };
        (number(&row[0]), [number(&row[1]), number(&row[2]), number(&row[3])])
    });
    numbers.collect()
}

#[test]
fn every_cell_is_what_the_model_says() {
    for seed in 0..300 {
        block_on(async {
            let mut dice = Dice(seed);
            let without = *dice.pick(&["", " WITHOUT ROWID"]);
            // Also a name that must be quoted.
            let schema = format!(
                "CREATE TABLE \"a table\" (id INTEGER PRIMARY KEY, a, b, \"group\"){without};
                 CREATE VIEW t AS SELECT id, a, b, \"group\" AS c FROM \"a table\";"
            );
            let (ours, theirs) =
                (open(&SimDisk::new(), "t").await, open(&SimDisk::new(), "t").await);
            ours.execute_batch(&schema).await.unwrap();
            let mut base = Rows::new();
            write(&ours, &mut base, &mut dice).await;
            write(&ours, &mut base, &mut dice).await;
            let store = MemoryStore::default();
            let root = give(&ours, &store).await;
            ours.keep("base", root).unwrap();
            theirs.take(&store, root, "base", &NoKeys).await.unwrap();
            theirs.restore(root).await.unwrap();
            let (mut mine, mut yours) = (base.clone(), base.clone());
            write(&ours, &mut mine, &mut dice).await;
            write(&theirs, &mut yours, &mut dice).await;
            let other = give(&theirs, &store).await;
            ours.take(&store, other, "theirs", &NoKeys).await.unwrap();
            let published = dice.roll(2) == 0;
            let strategy = *dice.pick(&[Strategy::Stop, Strategy::Ours, Strategy::Theirs]);
            let state = Other { root: other, base: Some(root), published };
            let done = ours.merge(state, strategy, None).await.unwrap();
            // Changes are made on what is published, or else in the database.
            let (target, source) = if published { (&yours, &mine) } else { (&mine, &yours) };
            let source_wins = (strategy == Strategy::Ours) == published;
            let (expected, named) = merged(&base, target, source, source_wins);
            let told: BTreeSet<i64> = done
                .conflicts
                .iter()
                .filter_map(
                    |it| if let [Value::Integer(id)] = it.key[..] { Some(id) } else { None },
                )
                .collect();
            // A side without any change is gone over to, whatever the strategy.
            assert_eq!(told, named, "seed {seed}");
            assert_eq!(done.made, strategy != Strategy::Stop || named.is_empty(), "seed {seed}");
            let expected = if done.made { expected } else { mine };
            assert_eq!(rows(&ours).await, expected, "seed {seed}, {strategy:?}, {published}");
        });
    }
}

async fn give(db: &Database, store: &MemoryStore) -> craftec_core::Cid {
    let root = db.snapshot().unwrap();
    let blocks = db.blocks(root, None).unwrap().into_iter();
    let blocks: Vec<_> = blocks.map(|cid| (cid, db.block(&cid).unwrap())).collect();
    store.put(&blocks).await.unwrap();
    root
}
