//! `craftec sql` with the real binary: statements, scripts, files in and out, and a published database
//! read on another machine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod support;

use std::{
    io::Write,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{Daemon, Home, PATIENCE, Ran};

/// Runs with a script on standard input.
fn piped(home: &Home, args: &[&str], script: &str) -> Ran {
    let mut child = home
        .command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn statements_scripts_and_errors() {
    let home = Home::new();
    let none = home.plain(["sql"]);
    assert!(none.code == 0 && none.stdout.contains("No database yet"), "{none:?}");
    let made = home.run(["sql", "shop", "CREATE TABLE t (a INTEGER, b TEXT)"]).ok();
    assert_eq!(made["results"][0]["changes"], 0);
    let put =
        home.run(["sql", "shop", "INSERT INTO t VALUES (1, 'x'), (-20, NULL); SELECT * FROM t"]);
    let put = put.ok();
    assert_eq!(
        put["results"][0],
        json!({
            "columns": [], "rows": [], "changes": 2, "last_rowid": 2,
        })
    );
    assert_eq!(put["results"][1]["rows"], json!([[1, "x"], [-20, null]]));
    let table = home.plain(["sql", "shop", "SELECT * FROM t"]);
    assert_eq!(table.stdout, "a    b\n---  ----\n  1  x\n-20  NULL\n");
    let listed = home.run(["sql"]).ok();
    assert_eq!(listed["databases"][0]["name"], "shop");

    let script = ".mode list\nSELECT sum(a)\n FROM t;\nBEGIN;\nDELETE FROM t;\nROLLBACK;\n\
                  BEGIN; INSERT INTO t VALUES (7, ';'); COMMIT;\n.tables\nSELECT count(*) FROM t";
    let ran = piped(&home, &["sql", "shop"], script);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "-19\nt\n3\n"), "{ran:?}");

    let bad = |args: &[&str], code: i32, word: &str| {
        let ran = home.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.json()["error"]["message"].as_str().unwrap().contains(word), "{ran:?}");
    };
    bad(&["sql", "shop", "SELEKT 1"], 2, "syntax error");
    bad(&["sql", "shop", "SELECT * FROM u"], 2, "no such table: u");
    bad(&["sql", "shop", ".fly"], 2, ".fly");
    bad(&["sql", "shop", "BEGIN; DELETE FROM t"], 2, "inside a transaction");
    bad(&["sql", "craftobj://x"], 2, "not a name");
    bad(&["sql", "nothing", "--drop"], 3, "no database");
    let three = home.plain(["sql", "shop", ".mode csv", "SELECT count(*) AS n FROM t"]);
    assert_eq!(three.stdout, "n\n3\n");
    home.run(["sql", "shop", "--drop"]).ok();
    assert_eq!(home.run(["sql"]).ok()["databases"], json!([]));
}

#[test]
fn files_go_in_and_out() {
    let home = Home::new();
    let rows: String = (0..3000).map(|i| format!("{i},\"a \"\"{i}\"\", b\"\n")).collect();
    home.write("in.csv", format!("id,text\n{rows}"));
    let ran =
        home.run(["sql", "shop", ".import in.csv words", "CREATE INDEX i ON words (id)"]).ok();
    assert_eq!(ran["results"][0], json!({ "imported": 3000 }));
    let sql = "SELECT text FROM words WHERE id = '2999'";
    assert_eq!(
        home.run(["sql", "shop", sql]).ok()["results"][0]["rows"],
        json!([["a \"2999\", b"]])
    );
    home.run([
        "sql",
        "shop",
        "CREATE TABLE k (a PRIMARY KEY, b) WITHOUT ROWID",
        "INSERT INTO k VALUES (x'00ff', 0.1), ('it''s', NULL)",
    ])
    .ok();

    let dump = home.plain(["sql", "shop", ".dump"]);
    assert!(
        dump.stdout.contains("INSERT INTO \"k\"(\"a\",\"b\") VALUES('it''s',NULL);"),
        "{}",
        dump.stdout
    );
    let again = piped(&home, &["sql", "copy"], &dump.stdout);
    assert_eq!(again.code, 0, "{again:?}");
    let sums = ["SELECT count(*), sum(id), max(text) FROM words", "SELECT hex(a), b FROM k"];
    for sql in sums {
        let read = |database| home.run(["sql", database, sql]).ok()["results"].clone();
        assert_eq!(read("shop"), read("copy"), "{sql}");
    }
    home.run(["sql", "shop", ".export out.sqlite"]).ok();
    let file = std::fs::read(home.path("out.sqlite")).unwrap();
    assert!(file.starts_with(b"SQLite format 3\0") && file.len().is_multiple_of(4096));
    let taken = home.run(["sql", "again", "CREATE TABLE gone (a)", ".import out.sqlite"]).ok();
    assert_eq!(taken["results"][1]["bytes"], file.len());
    let counted = "SELECT count(*), sum(id), max(text) FROM words";
    let read = |database| home.run(["sql", database, counted]).ok()["results"].clone();
    assert_eq!(read("again"), read("shop"));
    assert_eq!(home.plain(["sql", "again", ".tables"]).stdout, "k\nwords\n");
    std::fs::write(home.path("no.sqlite"), "-- text".repeat(1000)).unwrap();
    let refused = home.plain(["sql", "again", ".import no.sqlite"]);
    assert!(refused.code != 0 && refused.stderr.contains("not an SQLite file"), "{refused:?}");
    assert_eq!(read("again"), read("shop"));
    let twice = home.run(["sql", "shop", ".export out.sqlite"]);
    assert_ne!(twice.code, 0, "it overwrites nothing");
    let schema = home.plain(["sql", "shop", ".schema words"]);
    assert!(schema.stdout.contains("CREATE INDEX i ON words (id);"), "{schema:?}");
}

#[test]
fn a_published_database_is_read_elsewhere_and_survives_a_restart() {
    let mut author = Daemon::start(&[]);
    let fill = "CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO t SELECT i, 'word-' || i FROM n;";
    author.home.run(["sql", "shop", fill, "CREATE INDEX words ON t (word)"]).ok();
    let published = author.home.run(["sql", "shop", ".publish shop"]).ok()["results"][0].clone();
    let (root, uri) = (published["cid"].as_str().unwrap(), published["uri"].as_str().unwrap());
    assert!(uri.starts_with("craftobj://did:craftec:") && uri.ends_with("/shop"), "{uri}");

    // It takes no copy, so that what is here was read.
    let reader = Daemon::start(&["--relay", &author.addr(), "--lend", "0"]);
    let question = "SELECT id FROM t WHERE word = 'word-1234'";
    let start = Instant::now();
    let found: Value = loop {
        let ran = reader.home.run(["sql", uri, question]);
        if ran.code == 0 || start.elapsed() > PATIENCE {
            break ran.ok();
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(found["results"][0]["rows"], json!([[1234]]));
    let stat = reader.home.run(["stat", root]).ok();
    let here = stat["local_blocks"].as_u64().unwrap();
    assert!(here < 40 && stat["blocks"].as_u64().unwrap() > 150, "{stat}");
    let written = reader.home.run(["sql", uri, "DELETE FROM t"]);
    assert_eq!(written.code, 2, "{written:?}");

    author.home.run(["sql", "shop", "DELETE FROM t WHERE id > 5"]).ok();
    assert_eq!(author.stop(), 0);
    // Without a node that runs, the command runs it itself.
    let count = "SELECT count(*) FROM t";
    assert_eq!(author.home.run(["sql", "shop", count]).ok()["results"][0]["rows"], json!([[5]]));
    let old = author.home.run(["sql", &format!("craftobj://{root}"), count]).ok();
    assert_eq!(old["results"][0]["rows"], json!([[20_000]]));
    author.home.run(["sql", "shop", &format!(".restore {root}")]).ok();
    assert_eq!(
        author.home.run(["sql", "shop", count]).ok()["results"][0]["rows"],
        json!([[20_000]])
    );
}

#[test]
fn an_encrypted_database_is_read_by_whom_it_is_shared_with() {
    let author = Daemon::start(&[]);
    let fill =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT); INSERT INTO t VALUES (1, 'tea')";
    author.home.run(["sql", "diary", "--encrypt", fill]).ok();
    assert_eq!(author.home.run(["sql"]).ok()["databases"][0]["encrypted"], true);
    let alone = author.home.plain(["sql", "diary", ".readers"]);
    assert_eq!(alone.stdout, "Encrypted: only you read it.\n");
    let publish = || author.home.run(["sql", "diary", ".publish diary"]).ok()["results"][0].clone();
    let uri = publish()["uri"].as_str().unwrap().to_owned();

    let reader = Daemon::start(&["--relay", &author.addr()]);
    let ask = || reader.home.run(["sql", &uri, "SELECT word FROM t"]);
    eventually("it is found", || ask().stderr.contains("encrypted with a key that is not here"));
    let card = reader.home.plain(["id", "--card"]).stdout.trim().to_owned();
    assert!(card.starts_with("craftec-card:") && card.len() < 1_000, "{card}");
    let did = reader.home.run(["id"]).ok()["did"].clone();
    let shared = author.home.run(["sql", "diary", &format!(".share {card}")]).ok();
    assert_eq!(shared["results"][0], json!({ "encrypted": true, "readers": [did] }));
    publish();
    eventually("it is read", || {
        let ran = ask();
        ran.code == 0 && ran.ok()["results"][0]["rows"] == json!([["tea"]])
    });
    // What lies in either folder says nothing.
    for home in [&author.home, &reader.home] {
        for entry in std::fs::read_dir(home.data()).unwrap().map(Result::unwrap) {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            let shows = bytes.windows(10).any(|part| part == b"word TEXT)");
            assert!(!shows, "{} has the schema", entry.path().display());
        }
    }
    author.home.run(["sql", "diary", ".encrypt", "INSERT INTO t VALUES (2, 'rye')"]).ok();
    publish();
    eventually("it is shut", || ask().code != 0);
    let kept = author.home.plain(["sql", "diary", ".retain 1", ".retain"]).stdout;
    assert_eq!(kept, "The newest 1 snapshots stay.\n2 let go\nThe newest 1 snapshots stay.\n");
    let open = author.home.run(["sql", "plain", fill]).ok();
    assert_eq!(open["results"].as_array().map(Vec::len), Some(2));
    let refused = author.home.plain(["sql", "plain", &format!(".share {card}")]);
    assert!(refused.code != 0 && refused.stderr.contains("Encrypt it first"), "{refused:?}");
    let refused = author.home.plain(["sql", "plain", "--encrypt", "SELECT 1"]);
    assert!(refused.code != 0 && refused.stderr.contains(".encrypt"), "{refused:?}");
}

#[test]
fn two_devices_of_one_owner_each_write_and_nothing_is_lost() {
    let laptop = Daemon::start(&[]);
    let shop = "CREATE TABLE item (id INTEGER PRIMARY KEY, price INT);
        INSERT INTO item VALUES (1, 3), (2, 1);";
    laptop.home.run(["sql", "shop", shop]).ok();
    let first = laptop.home.run(["sql", "shop", ".publish shop"]).ok()["results"][0].clone();
    assert_eq!(first["waits"], true, "nobody is there to be asked");
    laptop.home.write("pass", "four rivers meet");
    laptop.home.run(["backup", "b.craftec", "--passphrase-file", "pass"]).ok();

    let home = Home::new();
    home.write("pass", "four rivers meet");
    home.write("b.craftec", std::fs::read(laptop.home.path("b.craftec")).unwrap());
    home.run(["restore", "b.craftec", "--passphrase-file", "pass"]).ok();
    let phone = Daemon::start_in(home, &["--relay", &laptop.addr()]);
    eventually("the phone has it", || {
        phone.home.run(["sql", "shop", ".merge craftobj://me/shop"]).code == 0
    });

    laptop.home.run(["sql", "shop", "UPDATE item SET price = 4 WHERE id = 1"]).ok();
    phone.home.run(["sql", "shop", "UPDATE item SET price = 5 WHERE id = 1"]).ok();
    phone.home.run(["sql", "shop", "INSERT INTO item VALUES (3, 9)"]).ok();
    let publish = |device: &Daemon| device.home.run(["sql", "shop", ".publish shop"]);
    eventually("the phone publishes", || publish(&phone).ok()["results"][0]["waits"] == false);
    let refused = publish(&laptop);
    assert_eq!(refused.json()["error"]["code"], "conflict", "{refused:?}");
    let branches = laptop.home.plain(["sql", "shop", ".branches"]).stdout;
    assert!(branches.starts_with("published  ") && branches.contains("\nwork-1  "), "{branches}");
    let stopped = laptop.home.plain(["sql", "shop", ".merge published"]);
    assert_eq!(stopped.stdout, "item 1: both changed it\n", "{stopped:?}");
    assert!(stopped.code == 2 && stopped.stderr.contains("1 conflict"), "{stopped:?}");
    let merged = laptop.home.run(["sql", "shop", ".merge published ours"]).ok();
    assert_eq!(merged["results"][0]["made"], true);
    eventually("the laptop publishes", || publish(&laptop).ok()["results"][0]["waits"] == false);
    eventually("the phone goes over to it", || {
        phone.home.run(["sql", "shop", ".merge published"]).ok();
        let rows = phone.home.run(["sql", "shop", "SELECT id, price FROM item ORDER BY id"]).ok();
        rows["results"][0]["rows"] == json!([[1, 4], [2, 1], [3, 9]])
    });
}

/// A statement without an end holds up nobody but those who want to write the same database, and ends
/// with the command that it was typed in.
#[test]
fn a_long_statement_holds_nobody_up_and_ends_with_its_command() {
    let daemon = Daemon::start(&[]);
    daemon.home.run(["sql", "shop", "CREATE TABLE t (a)"]).ok();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   INSERT INTO t SELECT i FROM n WHERE i < 0";
    let mut running = daemon
        .home
        .command()
        .args(["sql", "shop", endless])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It has begun once another finds the database taken, for which that waits 5 s.
    eventually("it runs", || {
        let other = daemon.home.run(["sql", "shop", "INSERT INTO t VALUES (1)"]);
        other.code != 0 && other.stdout.contains("using the database")
    });
    let begun = Instant::now();
    let file = daemon.home.write("file", support::noise(1, 1 << 20));
    let put = daemon.home.run([std::ffi::OsStr::new("put"), file.as_os_str()]).ok();
    let cid = put["cid"].as_str().unwrap();
    daemon.home.run(["get", cid, "-o", "copy"]).ok();
    assert_eq!(std::fs::read(daemon.home.path("copy")).unwrap(), support::noise(1, 1 << 20));
    daemon.home.run(["sql", "another", "CREATE TABLE t (a)"]).ok();
    // Whoever only reads the same one sees what was committed.
    let read = daemon.home.run(["sql", "shop", "SELECT count(*) FROM t WHERE a < 0"]).ok();
    assert_eq!(read["results"][0]["rows"], json!([[0]]));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(running.try_wait().unwrap().is_none(), "it goes on");

    running.kill().unwrap();
    running.wait().unwrap();
    daemon.home.run(["sql", "shop", "DELETE FROM t; INSERT INTO t VALUES (2)"]).ok();
    let rows = daemon.home.run(["sql", "shop", "SELECT a FROM t"]).ok();
    assert_eq!(rows["results"][0]["rows"], json!([[2]]));
}

/// As a person at a terminal, which `script` of Debian's base system makes.
#[test]
fn ctrl_c_ends_a_statement_and_not_the_shell() {
    let daemon = Daemon::start(&[]);
    let craftec = support::binary();
    let program = craftec.get_program().to_str().unwrap();
    let (data, pid) = (daemon.home.data(), daemon.home.path("pid"));
    let shell =
        format!("echo $$ > {}; exec {program} --data {} sql shop", pid.display(), data.display());
    let mut child = std::process::Command::new("script")
        .args(["-qefc", &shell, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut screen = Screen::of(child.stdout.take().unwrap());
    // What is typed before the prompt is there may be lost.
    let mut keys = child.stdin.take().unwrap();
    let mut types = |screen: &mut Screen, line: &str| {
        screen.shows("sql>");
        keys.write_all(line.as_bytes()).unwrap();
    };
    types(&mut screen, ".mode list\r");
    types(&mut screen, "CREATE TABLE t (a);\r");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT count(*) FROM n;\r";
    types(&mut screen, endless);
    screen.shows("FROM n;");
    // It was sent, and runs.
    std::thread::sleep(Duration::from_secs(1));
    // What a terminal does for Ctrl-C, unless a pipe types into it.
    let interrupt = format!("kill -INT $(cat {})", pid.display());
    assert!(std::process::Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    screen.shows("Interrupted.");
    // The same database, and rows as they were wanted.
    types(&mut screen, "INSERT INTO t VALUES (40), (2);\r");
    types(&mut screen, "SELECT 'sum', sum(a) FROM t;\r");
    screen.shows("sum|42");
    types(&mut screen, ".quit\r");
    assert!(child.wait().unwrap().success());
}

/// What a terminal showed so far.
struct Screen {
    shown: std::sync::mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Screen {
    fn of(mut output: impl std::io::Read + Send + 'static) -> Self {
        let (sender, shown) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut part) {
                if sender.send(part[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { shown, text: String::new() }
    }

    /// Waits until it shows `what`, after what it was seen to show before.
    fn shows(&mut self, what: &str) {
        loop {
            if let Some(at) = self.text.find(what) {
                self.text.drain(..at + what.len());
                return;
            }
            let part = self.shown.recv_timeout(PATIENCE);
            let part = part.unwrap_or_else(|_| panic!("no `{what}` in {:?}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&part));
        }
    }
}

/// Asks again until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
