//! Databases that are encrypted.

use serde_json::json;

use crate::{rows, run, support::Daemon};

#[test]
fn an_encrypted_database_is_an_ordinary_one_to_other_programs() {
    let node = Daemon::start(&[]);
    let script = "
c = mine(query='&encrypt=true')
c.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT)')
c.execute('BEGIN')
for i in range(3000):
    c.execute('INSERT INTO t VALUES (?, ?)', (i, 'a word that is nobody else\\'s business'))
c.execute('COMMIT')
c.execute('DELETE FROM t WHERE id % 3 = 0')
c.execute('VACUUM')
print(c.execute('PRAGMA integrity_check').fetchone()[0])
print(mine(query='&encrypt=true').execute('SELECT count(*) FROM t').fetchone()[0])
mine('open').execute('CREATE TABLE t (a)')
try:
    mine('open', query='&encrypt=true').execute('SELECT 1')
except sqlite3.OperationalError:
    print(error())";
    let ran = run(&node.home.data(), script);
    assert_eq!(ran[..2], ["ok", "2000"]);
    assert!(ran[2].contains("is not encrypted"), "{ran:?}");
    assert_eq!(rows(&node.home, "SELECT count(*), max(id) FROM t"), json!([[2000, 2999]]));
    for entry in std::fs::read_dir(node.home.data()).unwrap().map(Result::unwrap) {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let shows = bytes.windows(13).any(|part| part == b"nobody else's");
        assert!(!shows, "{} shows a row", entry.path().display());
    }
    // A file without room for encryption does not get in by a copy of its pages either.
    let copy = "
import os
plain = sqlite3.connect(':memory:')
plain.execute('CREATE TABLE t (a)')
try:
    plain.backup(mine())
    print('copied')
except sqlite3.OperationalError as e:
    print(e.sqlite_errorname)
print(mine().execute('SELECT count(*) FROM t').fetchone()[0])";
    let ran = run(&node.home.data(), copy);
    assert!(ran[0] != "copied" && ran[1] == "2000", "{ran:?}");
}
