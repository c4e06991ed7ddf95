//! Random statements: schemas, writes, reads and transactions over a few tables.

use crate::common::Dice;

fn value(dice: &mut Dice) -> String {
    match dice.roll(9) {
        0 => "NULL".to_owned(),
        1..=3 => (dice.roll(2_000) as i64 - 1_000).to_string(),
        4 => format!("{}.5", dice.roll(1_000)),
        5 => format!("x'{:0width$x}'", dice.roll(1 << 30), width = 8),
        6 => format!("hex(zeroblob({}))", dice.roll(3_000)),
        _ => format!("'{}'", dice.pick(&["a", "Ärger", "", "page", "0", "9e9", "it''s"])),
    }
}

fn condition(dice: &mut Dice) -> String {
    let column = dice.pick(&["a", "b", "c", "rowid"]);
    let op = dice.pick(&["<", ">", "=", "<>", "IS NOT", "LIKE"]);
    let low = dice.roll(100);
    match dice.roll(4) {
        0 => format!("{column} BETWEEN {low} AND {}", low + dice.roll(200)),
        1 => format!("{column} IN (SELECT {column} FROM {} LIMIT 5)", table(dice)),
        _ => format!("{column} {op} {}", value(dice)),
    }
}

fn table(dice: &mut Dice) -> &'static str {
    let names: [&str; 4] = ["t0", "t1", "t2", "temp.s"];
    names[dice.roll(4) as usize]
}

fn schema(dice: &mut Dice) -> String {
    let table = dice.pick(&["t0", "t1", "t2"]);
    match dice.roll(12) {
        0 => format!("DROP TABLE IF EXISTS {table}"),
        1..=4 => format!("CREATE TABLE IF NOT EXISTS {table} (a INTEGER PRIMARY KEY, b, c TEXT)"),
        5 => format!("CREATE TABLE {table} (a, b, c, UNIQUE (a, b))"),
        6 => format!("CREATE INDEX IF NOT EXISTS i{} ON {table} (b, c)", dice.roll(3)),
        7 => format!("DROP INDEX IF EXISTS i{}", dice.roll(3)),
        8 => format!("ALTER TABLE {table} ADD COLUMN d DEFAULT {}", dice.roll(9)),
        9 => "CREATE TEMP TABLE IF NOT EXISTS s (a, b, c)".to_owned(),
        10 => format!(
            "CREATE TRIGGER IF NOT EXISTS g AFTER DELETE ON {table} BEGIN
             INSERT INTO t2 (b, c) VALUES (old.b, 'gone'); END"
        ),
        _ => "DROP TRIGGER IF EXISTS g".to_owned(),
    }
}

fn write(dice: &mut Dice) -> String {
    let table = table(dice);
    match dice.roll(10) {
        0..=3 => format!(
            "INSERT OR {} INTO {table} (a, b, c) VALUES ({}, {}, {})",
            dice.pick(&["REPLACE", "IGNORE", "ABORT", "FAIL", "ROLLBACK"]),
            dice.roll(300),
            value(dice),
            value(dice)
        ),
        4 => format!(
            "INSERT INTO {table} (b, c) WITH RECURSIVE n(i) AS
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i, hex(zeroblob(i)) FROM n",
            dice.roll(400)
        ),
        5 | 6 => {
            format!("UPDATE {table} SET b = {}, c = c || 'x' WHERE {}", value(dice), condition(dice))
        }
        7 | 8 => format!("DELETE FROM {table} WHERE {}", condition(dice)),
        _ => format!(
            "INSERT INTO {table} (a, b) VALUES ({}, {}) ON CONFLICT DO UPDATE SET b = excluded.b",
            dice.roll(300),
            value(dice)
        ),
    }
}

fn read(dice: &mut Dice) -> String {
    let table = table(dice);
    match dice.roll(6) {
        0 => format!("SELECT * FROM {table} WHERE {} ORDER BY 1, 2, 3 LIMIT 50", condition(dice)),
        1 => format!("SELECT count(*), sum(a), min(b), max(c), total(b) FROM {table}"),
        2 => format!("SELECT b, count(*) FROM {table} GROUP BY b ORDER BY 2 DESC, 1 LIMIT 20"),
        3 => format!(
            "SELECT x.a, y.b FROM {table} x JOIN t1 y ON x.a = y.a WHERE x.{} ORDER BY 1, 2 LIMIT 20",
            condition(dice)
        ),
        4 => "SELECT * FROM sqlite_schema ORDER BY name".to_owned(),
        _ => {
            format!("SELECT length(c), row_number() OVER (ORDER BY a, b, c) FROM {table} LIMIT 30")
        }
    }
}

/// One statement; many of them make no sense.
pub(crate) fn statement(dice: &mut Dice) -> String {
    match dice.roll(40) {
        0..=3 => schema(dice),
        4..=24 => write(dice),
        25..=32 => read(dice),
        33 => "BEGIN".to_owned(),
        34 | 35 => dice.pick(&["COMMIT", "ROLLBACK"]).to_string(),
        36 => format!("SAVEPOINT p{}", dice.roll(2)),
        37 => format!("{} p{}", dice.pick(&["RELEASE", "ROLLBACK TO"]), dice.roll(2)),
        38 => dice
            .pick(&[
                "VACUUM",
                "PRAGMA incremental_vacuum",
                "REINDEX",
                "ANALYZE",
                "PRAGMA user_version = 7",
                "PRAGMA auto_vacuum = INCREMENTAL",
            ])
            .to_string(),
        _ => format!(
            "INSERT INTO words VALUES ('{} {}')",
            dice.pick(&["content", "addressed"]),
            dice.roll(99)
        ),
    }
}
