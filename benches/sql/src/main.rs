//! Databases beside stock SQLite with a WAL and `synchronous=FULL`, in turn on one disk: the same
//! statements through the same trait, pages of 4096 bytes, every commit flushed by both.
//!
//! `cargo run --release --manifest-path benches/sql/Cargo.toml [FOLDER]`: the folder decides which
//! disk is measured. Prints a table, and for machines a line `ratio <name> <value>` per comparison:
//! ours over stock's, higher is better, the median of paired runs.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

use craftec_platform::native::NativeFolder;
use craftec_sql::{Database, Sql, Value};
use futures::executor::block_on;

/// Durable commits of one row each.
const COMMITS: usize = 1_500;
/// Rows of one transaction.
const ROWS: usize = 10_000;
/// Rows of the table that is read.
const TABLE: usize = 100_000;
/// Point look-ups.
const LOOKUPS: usize = 40_000;
const AGGREGATES: usize = 10;
const RUNS: usize = 5;

/// Figures of one run, each higher where it is better.
type Row = [f64; 4];
const FIGURES: [(&str, &str); 4] = [
    ("autocommit", "durable INSERTs in autocommit, 1/s"),
    ("transaction", "rows/s of 10,000 INSERTs in one transaction"),
    ("point", "point SELECTs, warm, 1/s"),
    ("aggregate", "aggregates over 100,000 rows, warm, 1/s"),
];

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let (mut ours, mut stock) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        // In turn, and each first every other time.
        for which in [run % 2, (run + 1) % 2] {
            let path = tempfile::tempdir_in(&folder)?;
            if which == 0 {
                ours.push(block_on(measure(&open_ours(path.path())?))?);
            } else {
                stock.push(block_on(measure(&open_stock(path.path())?))?);
            }
        }
    }
    println!("\nbench sql: {}, median of {RUNS} runs in turn", folder.display());
    println!("{:<48}{:>12}{:>12}{:>8}", "", "ours", "stock", "ratio");
    for (at, (name, what)) in FIGURES.iter().enumerate() {
        let column = |rows: &[Row]| median(rows.iter().map(|row| row[at]).collect());
        let ratio = median(ours.iter().zip(&stock).map(|(o, s)| o[at] / s[at]).collect());
        println!("{what:<48}{:>12.0}{:>12.0}{ratio:>8.2}", column(&ours), column(&stock));
        println!("ratio sql-{name} {ratio:.2}");
    }
    written(&folder)
}

fn open_ours(path: &Path) -> anyhow::Result<Database> {
    let folder = Rc::new(NativeFolder::open(path)?);
    Ok(block_on(Database::open(folder, "bench"))?)
}

fn open_stock(path: &Path) -> anyhow::Result<rusqlite::Connection> {
    let stock = rusqlite::Connection::open(path.join("stock.sqlite"))?;
    stock.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;",
    )?;
    stock.set_prepared_statement_cache_capacity(64);
    Ok(stock)
}

async fn measure(db: &dyn Sql) -> anyhow::Result<Row> {
    db.execute("CREATE TABLE small (a INTEGER PRIMARY KEY, b TEXT, c REAL)", &[]).await?;
    let insert = "INSERT INTO small (b, c) VALUES (?, ?)";
    let row = |n: usize| [Value::Text(format!("value {n}")), Value::Real(n as f64 / 3.0)];
    // The first of them make the file.
    for n in 0..100 {
        db.execute(insert, &row(n)).await?;
    }
    let commit = async |n: usize| {
        db.execute(insert, &row(n)).await?;
        anyhow::Ok(())
    };
    let autocommit = timed(COMMITS, commit).await?;

    let begun = Instant::now();
    db.execute("BEGIN", &[]).await?;
    for n in 0..ROWS {
        db.execute(insert, &row(n)).await?;
    }
    db.execute("COMMIT", &[]).await?;
    let transaction = ROWS as f64 / begun.elapsed().as_secs_f64();

    db.execute("CREATE TABLE large (a INTEGER PRIMARY KEY, b TEXT, c REAL)", &[]).await?;
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {TABLE})
         INSERT INTO large SELECT i, 'value ' || i, i / 3.0 FROM n"
    );
    db.execute(&fill, &[]).await?;
    let point = "SELECT b FROM large WHERE a = ?";
    let look_up = async |n: usize| {
        let key = (n * 7_919 % TABLE + 1) as i64;
        anyhow::Ok(drop(db.query(point, &[Value::Integer(key)]).await?))
    };
    timed(LOOKUPS / 4, &look_up).await?;
    let points = timed(LOOKUPS, &look_up).await?;
    let aggregate = "SELECT count(*), sum(c), max(length(b)) FROM large WHERE a % 3 <> 1";
    let all = async |_: usize| anyhow::Ok(drop(db.query(aggregate, &[]).await?));
    timed(1, &all).await?;
    let aggregates = timed(AGGREGATES, &all).await?;
    Ok([autocommit, transaction, points, aggregates])
}

/// How often a second.
async fn timed(
    count: usize,
    mut once: impl AsyncFnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for n in 0..count {
        once(n).await?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What an UPDATE of one row makes durable, for each page that it changed.
fn written(folder: &Path) -> anyhow::Result<()> {
    const UPDATES: u64 = 500;
    let path = tempfile::tempdir_in(folder)?;
    let db = open_ours(path.path())?;
    block_on(async {
        db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)", &[]).await?;
        let fill =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
                    INSERT INTO t SELECT i, zeroblob(900) FROM n";
        db.execute(fill, &[]).await?;
        let before = db.size().used_bytes;
        let update = "UPDATE t SET b = randomblob(900) WHERE a = ?";
        for n in 0..UPDATES {
            db.execute(update, &[Value::Integer((n * 7_919 % 100_000) as i64 + 1)]).await?;
        }
        let bytes = db.size().used_bytes - before;
        // The row's page and the first, which counts changes; zeros ahead are as much again at most.
        let pages = (UPDATES * 2 * 4096) as f64;
        println!(
            "bytes for a one-row UPDATE in {} MB, for each of its pages' bytes: {:.2} in units,",
            before >> 20,
            bytes as f64 / pages
        );
        println!("at most twice that with the zeros that are written ahead");
        anyhow::Ok(())
    })
}
