//! Runs sqllogictest files on a database of ours and on stock SQLite at once: both must give the same,
//! errors included. Where both give something else than the file says, it is told, and no failure.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use craftec_platform::sim::SimDisk;
use craftec_sql::{Database, Sql, SqlError, Value};
use futures::executor::block_on;
use sqllogictest::{
    Control, DB, DBOutput, DefaultColumnType, QueryExpect, Record, ResultMode, Runner,
    parser::parse,
};

/// What is shown of one file.
const SHOWN: usize = 3;
/// How a difference between the two is told.
const DIFFER: &str = "ours gives";

/// What the file says of the next result's columns: SQLite's values have kinds of their own, and a file's
/// `I` or `R` says how one is written. None before a statement that gives nothing.
type Kinds = Arc<Mutex<Option<Vec<DefaultColumnType>>>>;
type Answer = Result<DBOutput<DefaultColumnType>, Failed>;

/// What SQL is asked for, and where the answer goes.
struct Asked {
    sql: String,
    kinds: Option<Vec<DefaultColumnType>>,
    answer: mpsc::Sender<Answer>,
}

/// Both databases, on the thread that they belong to.
struct Both {
    ask: mpsc::Sender<Asked>,
    kinds: Kinds,
    asked: Arc<AtomicU64>,
}

/// Why a statement gives nothing.
#[derive(Clone, Debug)]
enum Failed {
    Both(String),
    Differ { ours: String, stock: String },
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Both(said) => write!(f, "{said}"),
            Self::Differ { ours, stock } => write!(f, "{DIFFER} {ours}, stock SQLite {stock}"),
        }
    }
}

impl std::error::Error for Failed {}

impl Both {
    fn new(kinds: Kinds, asked: Arc<AtomicU64>) -> Self {
        let (ask, asks) = mpsc::channel::<Asked>();
        thread::spawn(move || {
            let databases = open();
            for Asked { sql, kinds, answer } in asks {
                let given = match (&databases, kinds) {
                    (Ok(both), Some(kinds)) => query(both, &sql, &kinds),
                    (Ok(both), None) => execute(both, &sql),
                    (Err(said), _) => Err(Failed::Both(said.clone())),
                };
                if answer.send(given).is_err() {
                    break;
                }
            }
        });
        Self { ask, kinds, asked }
    }
}

fn open() -> Result<(Database, rusqlite::Connection), String> {
    let ours = block_on(Database::open(Rc::new(SimDisk::new()), "logic"));
    let stock = rusqlite::Connection::open("").and_then(|stock| {
        stock.execute_batch("PRAGMA foreign_keys = ON")?;
        Ok(stock)
    });
    Ok((ours.map_err(|error| error.to_string())?, stock.map_err(|error| error.to_string())?))
}

fn query(
    (ours, stock): &(Database, rusqlite::Connection),
    sql: &str,
    kinds: &[DefaultColumnType],
) -> Answer {
    let ours = block_on(ours.query(sql, &[]));
    let rows = same(ours, block_on(Sql::query(stock, sql, &[])))?;
    let mut all = Vec::with_capacity(rows.rows.len());
    for row in &rows.rows {
        let row = row.iter().zip(kinds).map(|(value, kind)| written(stock, value, kind));
        let row: Result<_, rusqlite::Error> = row.collect();
        all.push(row.map_err(|error| Failed::Both(error.to_string()))?);
    }
    Ok(DBOutput::Rows { types: kinds.to_vec(), rows: all })
}

fn execute((ours, stock): &(Database, rusqlite::Connection), sql: &str) -> Answer {
    let ours = block_on(ours.execute_batch(sql));
    same(ours, stock.execute_batch(sql).map_err(SqlError::from))?;
    Ok(DBOutput::StatementComplete(0))
}

/// What both said, if it is one.
fn same<T: std::fmt::Debug + PartialEq>(
    ours: Result<T, SqlError>,
    stock: Result<T, SqlError>,
) -> Result<T, Failed> {
    match (ours, stock) {
        (Ok(ours), Ok(stock)) if ours == stock => Ok(ours),
        (Err(ours), Err(stock)) if ours.to_string() == stock.to_string() => {
            Err(Failed::Both(ours.to_string()))
        }
        (ours, stock) => {
            Err(Failed::Differ { ours: format!("{ours:?}"), stock: format!("{stock:?}") })
        }
    }
}

/// A value as sqllogictest writes one of this kind.
fn written(
    stock: &rusqlite::Connection,
    value: &Value,
    kind: &DefaultColumnType,
) -> rusqlite::Result<String> {
    let text = match value {
        Value::Null => return Ok("NULL".to_owned()),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let cast = match kind {
        DefaultColumnType::FloatingPoint => "SELECT printf('%.3f', ?1)",
        DefaultColumnType::Integer if !matches!(value, Value::Integer(_)) => {
            "SELECT printf('%d', ?1)"
        }
        _ if text.is_empty() => return Ok("(empty)".to_owned()),
        _ => {
            let shown = |c| if (' '..='~').contains(&c) { c } else { '@' };
            return Ok(text.chars().map(shown).collect());
        }
    };
    stock.prepare_cached(cast)?.query_row([value], |row| row.get(0))
}

impl DB for Both {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, given) = mpsc::channel();
        let gone = || Failed::Both("the thread of the databases is gone".to_owned());
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = Asked { sql: sql.to_owned(), kinds, answer };
        self.ask.send(asked).map_err(|_| gone())?;
        given.recv().map_err(|_| gone())?
    }

    fn engine_name(&self) -> &str {
        "sqlite"
    }
}

/// The script in a file as our parser of it knows one: without remarks behind a condition, and with
/// `halt` decided.
fn script(text: &str) -> String {
    let mut script = String::new();
    let (mut held, mut skips) = (Vec::new(), false);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some(condition @ ("onlyif" | "skipif")), Some(engine)) => {
                held.push(format!("{condition} {engine}"));
                skips |= (engine == "sqlite") == (condition == "skipif");
                continue;
            }
            (Some("halt"), _) if skips => held.clear(),
            (Some("halt"), _) => break,
            _ => {
                held.drain(..).for_each(|line| script += &(line + "\n"));
                script += line;
                script.push('\n');
            }
        }
        skips = false;
    }
    script
}

/// Runs one file: how many statements, and what was wrong.
fn run_file(path: &Path) -> Result<(u64, Vec<String>), String> {
    let (kinds, asked) = (Kinds::default(), Arc::new(AtomicU64::new(0)));
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let script = script(&String::from_utf8_lossy(&text));
    let records = parse::<DefaultColumnType>(&script).map_err(|error| error.to_string())?;
    let made = (kinds.clone(), asked.clone());
    let mut runner = Runner::new(move || {
        let both = Both::new(made.0.clone(), made.1.clone());
        async move { Ok(both) }
    });
    let valuewise = Record::Control(Control::ResultMode(ResultMode::ValueWise));
    let mut wrong = Vec::new();
    for record in std::iter::once(valuewise).chain(records) {
        *kinds.lock().unwrap_or_else(PoisonError::into_inner) = match &record {
            Record::Query { expected: QueryExpect::Results { types, .. }, .. } => {
                Some(types.clone())
            }
            Record::Query { .. } => Some(Vec::new()),
            _ => None,
        };
        if let Err(error) = runner.run(record) {
            wrong.push(error.to_string());
        }
    }
    Ok((asked.load(Ordering::Relaxed), wrong))
}

/// Every file of tests below `folder`.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "test" || end == "slt") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: logic FOLDER");
        return ExitCode::FAILURE;
    };
    let files = match files(Path::new(&folder)) {
        Ok(files) if !files.is_empty() => files,
        Ok(_) => {
            eprintln!("no *.test or *.slt below {}", folder.display());
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    };
    let next = AtomicUsize::new(0);
    let [statements, others, failed] = [const { AtomicU64::new(0) }; 3];
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (asked, wrong) = match run_file(path) {
                        Ok(ran) => ran,
                        Err(error) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("{}: not run: {error}", path.display());
                            continue;
                        }
                    };
                    let (differ, other): (Vec<_>, Vec<_>) =
                        wrong.iter().partition(|wrong| wrong.contains(DIFFER));
                    statements.fetch_add(asked, Ordering::Relaxed);
                    failed.fetch_add(differ.len() as u64, Ordering::Relaxed);
                    others.fetch_add(other.len() as u64, Ordering::Relaxed);
                    println!("{}: {asked} statements, {} differ", path.display(), differ.len());
                    let shown = differ.iter().take(SHOWN).chain(other.iter().take(SHOWN));
                    shown.for_each(|wrong| println!("  {wrong}"));
                }
            });
        }
    });
    let (statements, failed) = (statements.into_inner(), failed.into_inner());
    println!("{} files, {statements} statements on both, {failed} differ", files.len());
    println!("{} times both gave something else than the file says", others.into_inner());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
