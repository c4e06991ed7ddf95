//! `libcraftsql` in programs of others: the `sqlite3` shell and Python, beside `craftec sql`, on databases
//! of one node. `CRAFTSQL` names another library than the one built with the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod encrypted;
#[path = "../support/mod.rs"]
mod support;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{Daemon, Home, PATIENCE, Ran, binary};

fn library() -> PathBuf {
    let named = std::env::var_os("CRAFTSQL").map(PathBuf::from);
    named.unwrap_or_else(|| {
        let name = format!("libcraftsql{}", std::env::consts::DLL_SUFFIX);
        std::env::current_exe().unwrap().parent().unwrap().join(name)
    })
}

/// A Python whose SQLite loads extensions; some are built without.
fn python() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    FOUND.get_or_init(|| {
        let able = |python: &&&str| {
            let asks = "import sqlite3; sqlite3.connect(':memory:').enable_load_extension(True)";
            let ran = Command::new(python).args(["-c", asks]).stderr(Stdio::null()).status();
            ran.is_ok_and(|status| status.success())
        };
        let found = ["python3", "/usr/bin/python3"].iter().find(able);
        found.expect("the tests of craftsql need python3 (`cargo xtask setup`)")
    })
}

/// With the data folder and the binary of the test, and nothing else of Craftec's environment.
fn with_data(program: &str, data: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CRAFTEC_") {
            command.env_remove(name);
        }
    }
    command.env("CRAFTEC_DATA", data).env("CRAFTEC_BIN", binary().get_program());
    command
}

/// Runs a script of the `sqlite3` shell, the library loaded.
fn shell(data: &Path, script: &str) -> Ran {
    let mut child = with_data("sqlite3", data)
        .args(["-batch", "-bail", ":memory:"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tests of craftsql need sqlite3 (`cargo xtask setup`)");
    let script = format!(".load {}\n{script}", library().display());
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

/// What every Python here begins with: `db(name)` opens, `error()` is what went wrong last.
const PRELUDE: &str = "
import sqlite3, sys, os
loader = sqlite3.connect(':memory:')
loader.enable_load_extension(True)
loader.load_extension(sys.argv[1])
def db(name, timeout=60, query=''):
    uri = f'file:{name}?vfs=craft{query}'
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
def mine(name='shop', timeout=60, query=''):
    return db('craftobj://me/' + name, timeout, query)
def error():
    return loader.execute('SELECT craft_error()').fetchone()[0]
def said(word):
    print(word, flush=True)
def told():
    return sys.stdin.readline().strip()
";

/// A Python that runs.
struct Snake {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Snake {
    fn start(data: &Path, script: &str) -> Self {
        let mut child = with_data(python(), data)
            .args(["-c", &format!("{PRELUDE}\n{script}")])
            .arg(library())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.input, "{word}").unwrap();
    }

    /// Waits for its end, which must be a good one; the rest of what it said.
    fn end(mut self) -> Vec<String> {
        let lines = (&mut self.output).lines().map(Result::unwrap).collect();
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
        lines
    }
}

/// Runs a Python to its end.
fn run(data: &Path, script: &str) -> Vec<String> {
    Snake::start(data, script).end()
}

fn rows(home: &Home, sql: &str) -> serde_json::Value {
    let ran = home.run(["sql", "shop", sql]).ok();
    ran["results"][0]["rows"].clone()
}

const OPEN: &str = ".open file:craftobj://me/shop?vfs=craft\n";

#[test]
fn the_shell_and_craftec_sql_write_one_database() {
    let node = Daemon::start(&[]);
    let data = node.home.data();
    let made = shell(
        &data,
        &format!(
            "{OPEN}CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);
             INSERT INTO t VALUES (1, 'one'), (2, 'größe');
             CREATE INDEX i ON t (b);
             SELECT a FROM t WHERE b = 'größe';
             PRAGMA journal_mode = WAL;
             PRAGMA page_size;\n"
        ),
    );
    assert_eq!((made.code, made.stdout.as_str()), (0, "2\nmemory\n4096\n"), "{made:?}");
    assert_eq!(rows(&node.home, "SELECT * FROM t"), json!([[1, "one"], [2, "größe"]]));
    node.home.run(["sql", "shop", "INSERT INTO t VALUES (3, 'three'); DROP INDEX i"]).ok();
    let checks = "SELECT count(*), max(b) FROM t; PRAGMA integrity_check; SELECT craft_error();\n";
    let read = shell(&data, &format!("{OPEN}{checks}"));
    assert_eq!((read.code, read.stdout.as_str()), (0, "3|three\nok\n\n"), "{read:?}");
    // Its own other databases, beside one of files.
    let attached = shell(
        &data,
        "ATTACH 'file:craftobj://me/other?vfs=craft' AS o;
         ATTACH 'file:craftobj://me/shop?vfs=craft' AS s;
         CREATE TABLE o.t AS SELECT a * 10 AS a FROM s.t;
         SELECT sum(a) FROM o.t;\n",
    );
    assert_eq!((attached.code, attached.stdout.as_str()), (0, "60\n"), "{attached:?}");
}

#[test]
fn many_writers_lose_nothing() {
    let node = Daemon::start(&[]);
    let data = node.home.data();
    node.home.run(["sql", "shop", "CREATE TABLE t (n); INSERT INTO t VALUES (0)"]).ok();
    let script = "
c = mine()
for i in range(200):
    c.execute('BEGIN IMMEDIATE')
    n, = c.execute('SELECT n FROM t').fetchone()
    c.execute('UPDATE t SET n = ?', (n + 1,))
    c.execute('COMMIT')
print('done')";
    let pythons: Vec<Snake> = (0..2).map(|_| Snake::start(&data, script)).collect();
    for _ in 0..20 {
        node.home.run(["sql", "shop", "UPDATE t SET n = n + 1"]).ok();
    }
    for python in pythons {
        assert_eq!(python.end(), ["done"]);
    }
    assert_eq!(rows(&node.home, "SELECT n FROM t"), json!([[420]]));
    let threads = "
import threading
def work():
    c = mine()
    for i in range(25):
        c.execute('BEGIN IMMEDIATE')
        c.execute('UPDATE t SET n = n + 1')
        c.execute('COMMIT')
all = [threading.Thread(target=work) for i in range(4)]
[t.start() for t in all]
[t.join() for t in all]
c = mine()
print(c.execute('SELECT n FROM t').fetchone()[0], c.execute('PRAGMA integrity_check').fetchone()[0])";
    assert_eq!(run(&data, threads), ["520 ok"]);
}

#[test]
fn a_transaction_reads_one_state_and_never_writes_over_another() {
    let node = Daemon::start(&[]);
    node.home.run(["sql", "shop", "CREATE TABLE t (n); INSERT INTO t VALUES (0)"]).ok();
    let script = "
a, b = mine(timeout=0), mine(timeout=0)
count = 'SELECT count(*) FROM t'
one = lambda c, sql: c.execute(sql).fetchone()[0]
a.execute('BEGIN')
said(one(a, count))
told()
said(f'{one(a, count)} {one(b, count)}')
try:
    a.execute('INSERT INTO t VALUES (7)')
except sqlite3.OperationalError as e:
    said(e.sqlite_errorname)
a.execute('ROLLBACK')
a.execute('BEGIN IMMEDIATE')
try:
    b.execute('BEGIN IMMEDIATE')
except sqlite3.OperationalError as e:
    said(e.sqlite_errorname)
a.execute('INSERT INTO t VALUES (8)')
said(f'{one(a, count)} {one(b, count)}')
a.execute('COMMIT')
said(one(b, count))
# The turn to write ends by itself; then it is the commit that finds out.
a.execute('BEGIN IMMEDIATE')
a.execute('INSERT INTO t VALUES (9)')
said('wait')
told()
try:
    a.execute('COMMIT')
except sqlite3.OperationalError as e:
    said(e.sqlite_errorname)
said(f'{one(a, count)} {a.in_transaction}')
a.execute('INSERT INTO t VALUES (10)')
said(one(a, 'PRAGMA integrity_check'))";
    let mut python = Snake::start(&node.home.data(), script);
    assert_eq!(python.line(), "1");
    node.home.run(["sql", "shop", "INSERT INTO t VALUES (1)"]).ok();
    python.tell("go");
    assert_eq!(python.line(), "1 2");
    assert_eq!(python.line(), "SQLITE_BUSY_SNAPSHOT");
    assert_eq!(python.line(), "SQLITE_BUSY");
    assert_eq!(python.line(), "3 2");
    assert_eq!(python.line(), "3");
    assert_eq!(python.line(), "wait");
    let busy = node.home.run(["sql", "shop", "INSERT INTO t VALUES (2)"]);
    assert!(busy.code == 1 && busy.stdout.contains("Another program"), "{busy:?}");
    let begun = Instant::now();
    while node.home.run(["sql", "shop", "INSERT INTO t VALUES (2)"]).code != 0 {
        assert!(begun.elapsed() < PATIENCE, "the turn has no end");
    }
    python.tell("go");
    assert_eq!(python.line(), "SQLITE_BUSY_SNAPSHOT");
    assert_eq!(python.line(), "4 False");
    assert_eq!(python.end(), ["ok"]);
    let all = rows(&node.home, "SELECT n FROM t ORDER BY n");
    assert_eq!(all, json!([[0], [1], [2], [8], [10]]));
}

#[test]
fn a_client_that_is_killed_leaves_the_last_commit() {
    let node = Daemon::start(&[]);
    let data = node.home.data();
    node.home.run(["sql", "shop", "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x')"]).ok();
    // More than SQLite's cache holds, so that pages were written already.
    let script = "
c = mine()
c.execute('PRAGMA cache_size = 10')
c.execute('BEGIN IMMEDIATE')
c.executemany('INSERT INTO t VALUES (?, ?)', ((i, 'y' * 500) for i in range(20000)))
said('written')
told()";
    let mut python = Snake::start(&data, script);
    assert_eq!(python.line(), "written");
    python.child.kill().unwrap();
    python.child.wait().unwrap();
    // Nobody has to wait for it.
    let begun = Instant::now();
    let after = "
c = mine(timeout=2)
c.execute('BEGIN IMMEDIATE')
c.execute('INSERT INTO t VALUES (2, 0)')
c.execute('COMMIT')
print(c.execute('SELECT count(*), min(b) FROM t').fetchone())
print(c.execute('PRAGMA integrity_check').fetchone()[0])";
    assert_eq!(run(&data, after), ["(2, 0)", "ok"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn large_transactions_and_rollbacks_of_them() {
    let node = Daemon::start(&[]);
    let script = "
c = mine()
c.execute('PRAGMA cache_size = 50')
c.execute('CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)')
sum = lambda: c.execute('SELECT count(*), sum(length(b)) FROM t').fetchone()
def fill(first):
    c.execute('BEGIN')
    rows = ((i,) for i in range(first, first + 10000))
    c.executemany('INSERT INTO t VALUES (?, randomblob(1500))', rows)
fill(0)
c.execute('COMMIT')
print(sum())
fill(10000)
c.execute('UPDATE t SET b = zeroblob(10)')
c.execute('ROLLBACK')
print(sum())
c.execute('DELETE FROM t WHERE a % 3 > 0')
c.execute('VACUUM')
print(sum(), c.execute('PRAGMA page_count').fetchone()[0] < 2000)
c.execute('SAVEPOINT s')
c.execute('DELETE FROM t')
c.execute('ROLLBACK TO s')
c.execute('RELEASE s')
print(sum(), c.execute('PRAGMA integrity_check').fetchone()[0])
c.execute('BEGIN')
try:
    for i in range(200):
        c.execute('INSERT INTO t VALUES (?, randomblob(1000000))', (100000 + i,))
    c.execute('COMMIT')
except sqlite3.Error as e:
    print(e.sqlite_errorname)
    if c.in_transaction: c.execute('ROLLBACK')
print(sum(), c.execute('PRAGMA integrity_check').fetchone()[0])";
    let third = "(3334, 5001000)";
    let ran = run(&node.home.data(), script);
    let whole = "(10000, 15000000)";
    let want = [
        whole.to_owned(),
        whole.to_owned(),
        format!("{third} True"),
        format!("{third} ok"),
        "SQLITE_FULL".to_owned(),
        format!("{third} ok"),
    ];
    assert_eq!(ran, want);
    assert_eq!(rows(&node.home, "SELECT count(*) FROM t"), json!([[3334]]));
    assert_eq!(rows(&node.home, "PRAGMA integrity_check"), json!([["ok"]]));
}

#[test]
fn a_node_that_dies_is_an_error_and_a_later_statement_works() {
    let mut node = Daemon::start(&[]);
    node.home.run(["sql", "shop", "CREATE TABLE t (a); INSERT INTO t VALUES (1)"]).ok();
    let script = "
os.environ['CRAFTEC_BIN'] = '/nonexistent'
c = mine()
c.execute('BEGIN IMMEDIATE')
c.execute('INSERT INTO t VALUES (2)')
said('open')
told()
for sql in ('COMMIT', 'SELECT * FROM t'):
    try:
        c.execute(sql)
    except sqlite3.OperationalError as e:
        said(e.sqlite_errorname)
        said(error())
said(c.in_transaction)
told()
c.execute('INSERT INTO t VALUES (3)')
said(c.execute('SELECT count(*), max(a) FROM t').fetchone())";
    let mut python = Snake::start(&node.home.data(), script);
    assert_eq!(python.line(), "open");
    node.kill();
    node.wait();
    python.tell("go");
    assert!(python.line().starts_with("SQLITE_IOERR"));
    let error = python.line();
    assert!(error.contains("committing") && error.contains("can't be reached"), "{error}");
    assert!(python.line().starts_with("SQLITE_IOERR"));
    let error = python.line();
    assert!(error.contains("craftec up"), "{error}");
    assert_eq!(python.line(), "False");
    // Its folder outlives it.
    let home = std::mem::replace(&mut node.home, Home::new());
    let _again = Daemon::start_in(home, &[]);
    python.tell("go");
    assert_eq!(python.end(), ["(2, 3)"]);
}

#[test]
fn snapshots_of_others_are_read_only_and_lazy() {
    let author = Daemon::start(&[]);
    let fill = "CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO t SELECT i, 'word-' || i FROM n; CREATE INDEX words ON t (word);";
    author.home.run(["sql", "shop", fill]).ok();
    let published = author.home.run(["sql", "shop", ".publish shop"]).ok()["results"][0].clone();
    let (root, uri) = (published["cid"].as_str().unwrap(), published["uri"].as_str().unwrap());
    let reader = Daemon::start(&["--relay", &author.addr(), "--lend", "0"]);
    let script = format!(
        "
import time
for attempt in range(300):
    try:
        c = db('{uri}')
        break
    except sqlite3.OperationalError:
        time.sleep(0.2)
print(c.execute(\"SELECT id FROM t WHERE word = 'word-1234'\").fetchone()[0])
try:
    c.execute('DELETE FROM t')
except sqlite3.OperationalError as e:
    print(e.sqlite_errorname)
print(db('craftobj://me/none', query='&at={root}').execute('SELECT max(id) FROM t').fetchone()[0])
print(db('craftobj://{root}').execute('SELECT min(id) FROM t').fetchone()[0])"
    );
    let ran = run(&reader.home.data(), &script);
    assert_eq!(ran, ["1234", "SQLITE_READONLY", "20000", "1"]);
    let stat = reader.home.run(["stat", root]).ok();
    let here = stat["local_blocks"].as_u64().unwrap();
    assert!(here < 60 && stat["blocks"].as_u64().unwrap() > 150, "{stat}");
    assert_eq!(reader.home.run(["sql"]).ok()["databases"], json!([]), "nothing was made");
    // The author's own address is the author's own database, which can be written.
    let write = format!("db('{uri}').execute('DELETE FROM t WHERE id > 5')");
    assert_eq!(run(&author.home.data(), &write), [""; 0]);
    assert_eq!(rows(&author.home, "SELECT count(*) FROM t"), json!([[5]]));
    let old =
        format!("print(mine(query='&at={root}').execute('SELECT count(*) FROM t').fetchone()[0])");
    assert_eq!(run(&author.home.data(), &old), ["20000"]);
}

#[test]
fn hostile_names_are_clear_errors_and_make_nothing() {
    let node = Daemon::start(&[]);
    let script = "
names = ['shop', '/etc/passwd', 'craftobj://', 'craftobj://me/', 'craftobj://you/x',
         'craftobj://../../x', 'craftobj://me/craftobj://me/x', 'craftobj://me/' + 'x' * 300,
         'craftobj://me/%07bell', 'craftobj://did:craftec:nobody/x', 'craftobj://bafkreibogus',
         'craftobj://me/%ff%fe']
tries = [(name, '') for name in names]
tries += [('craftobj://me/x', q) for q in
          ('&at=../../x', '&at=me/x', '&at=bafybogusbogus', '&nolock=1', '&immutable=1',
           '&mode=ro', '&mode=rw', '&mode=rw&encrypt=true')]
for name, query in tries:
    try:
        db(name, query=query).execute('SELECT * FROM sqlite_schema')
        print('OPENED', name, query)
    except sqlite3.Error as e:
        if not (error() and len(error()) > 20): print('SILENT', name, e)
print(error())";
    let ran = run(&node.home.data(), script);
    assert_eq!(ran.len(), 1, "{ran:?}");
    assert!(ran[0].contains("no such database"), "{ran:?}");
    assert_eq!(node.home.run(["sql"]).ok()["databases"], json!([]));
    let logged = shell(&node.home.data(), ".log stdout\n.open file:craftobj://you/x?vfs=craft\n");
    assert!(logged.stdout.contains("craftsql: craftobj://you/x: `you/x` begins"), "{logged:?}");
}

#[test]
fn where_no_node_runs_one_is_started_and_ends() {
    let home = Home::new();
    let script = "
c = mine()
c.execute('CREATE TABLE IF NOT EXISTS t (a)')
c.execute('INSERT INTO t VALUES (1)')
print(c.execute('SELECT count(*) FROM t').fetchone()[0] > 0)";
    let pythons: Vec<Snake> = (0..3).map(|_| Snake::start(&home.data(), script)).collect();
    for python in pythons {
        assert_eq!(python.end(), ["True"]);
    }
    assert_eq!(rows(&home, "SELECT count(*) FROM t"), json!([[3]]));
    let pid = std::fs::read_to_string(home.data().join("craftec.lock")).unwrap();
    let kill = format!("kill -TERM {}", pid.trim());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let begun = Instant::now();
    while home.data().join("craftec.sock").exists() {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut idle = home.command().args(["local", "--idle", "1"]).spawn().unwrap();
    assert!(idle.wait().unwrap().success(), "it ends by itself");
    assert_eq!(rows(&home, "SELECT count(*) FROM t"), json!([[3]]));
}
