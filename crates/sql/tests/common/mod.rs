//! What the tests of this crate share.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::rc::Rc;

use craftec_platform::sim::SimDisk;
use craftec_sql::{Database, DatabaseOptions, Sql, Value};

/// Opens a database on a simulated disk.
pub(crate) async fn open(disk: &SimDisk, name: &str) -> Database {
    open_with(disk, name, DatabaseOptions::default()).await
}

/// The same, with options.
pub(crate) async fn open_with(disk: &SimDisk, name: &str, options: DatabaseOptions) -> Database {
    Database::open_with(Rc::new(disk.clone()), name, options).await.unwrap()
}

/// A number for SQL.
pub(crate) fn integer(number: i64) -> Value {
    Value::Integer(number)
}

/// A text for SQL.
pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// How many rows a table has.
pub(crate) async fn count(db: &dyn Sql, table: &str) -> i64 {
    let rows = db.query(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap();
    match rows.value() {
        Some(Value::Integer(count)) => *count,
        other => panic!("{other:?}"),
    }
}

/// Dice that fall the same for one seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // PCG's multiplier, the better half of its bits: tests need variety and nothing more.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}
