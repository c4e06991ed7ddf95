//! Frames about databases.

use craftec_api::{
    BranchRow, Command, ConflictKind, DatabaseRow, MergeStrategy, OpenedDatabase, Reply, Retention,
    Snapshot, SnapshotRow, SqlConflict, SqlMerged, SqlRows, SqlState, SqlStatement, SqlTurn,
    SqlValue,
};
use craftec_core::{Cid, Codec, cbor, limits};
use serde_bytes::ByteBuf;

const RULE: Retention = Retention { last: 24, days: 30 };

fn values() -> Vec<SqlValue> {
    vec![
        SqlValue::Null,
        SqlValue::Integer(-7),
        SqlValue::Real(0.1),
        SqlValue::Text("größe".to_owned()),
        SqlValue::Blob(vec![0, 255]),
    ]
}

/// The TypeScript client's test can't tell a list of numbers from bytes in the JSON of a command.
fn params() -> Vec<SqlValue> {
    values().into_iter().filter(|value| !matches!(value, SqlValue::Blob(_))).collect()
}

pub(super) fn commands() -> Vec<(&'static str, Command)> {
    let statement = |sql: &str| SqlStatement { sql: sql.to_owned(), params: params() };
    let (sql, root) = ("SELECT ?1".to_owned(), Cid::of(Codec::DagCbor, b"root"));
    vec![
        ("sql_open", Command::SqlOpen { database: "craftobj://me/shop".to_owned(), encrypt: true }),
        (
            "sql_encrypt",
            Command::SqlEncrypt { handle: 1, readers: vec!["did:craftec:aa".to_owned()] },
        ),
        ("sql_share", Command::SqlShare { handle: 1, with: "craftec-card:aa".to_owned() }),
        ("sql_readers", Command::SqlReaders { handle: 1 }),
        ("identity_card", Command::IdentityCard),
        ("sql_query", Command::SqlQuery { handle: 1, sql: sql.clone(), params: params() }),
        ("sql_rows", Command::SqlRows { handle: 2 }),
        ("sql_script", Command::SqlScript { handle: 1, sql }),
        (
            "sql_batch",
            Command::SqlBatch { handle: 1, statements: vec![statement("INSERT"), statement("")] },
        ),
        ("sql_transaction", Command::SqlTransaction { handle: 1 }),
        ("sql_finish", Command::SqlFinish { handle: 5, commit: true }),
        ("sql_snapshot", Command::SqlSnapshot { handle: 1, name: None, replicas: Some(2) }),
        ("sql_snapshots", Command::SqlSnapshots { name: "shop".to_owned() }),
        ("sql_restore", Command::SqlRestore { handle: 1, cid: root }),
        ("sql_retain", Command::SqlRetain { handle: 1, rule: Some(RULE) }),
        ("sql_retain all", Command::SqlRetain { handle: 1, rule: None }),
        ("sql_retention", Command::SqlRetention { handle: 1 }),
        ("sql_branches", Command::SqlBranches { handle: 1 }),
        (
            "sql_merge",
            Command::SqlMerge {
                handle: 1,
                branch: "published".to_owned(),
                strategy: MergeStrategy::Theirs,
            },
        ),
        ("sql_drop_branch", Command::SqlDropBranch { handle: 1, branch: "work-1".to_owned() }),
        ("sql_changed", Command::SqlChanged { handle: 1 }),
        ("sql_export", Command::SqlExport { handle: 1 }),
        ("sql_import", Command::SqlImport { handle: 1 }),
        ("sql_begin", Command::SqlBegin { handle: 1 }),
        ("sql_pages", Command::SqlPages { handle: 1, state: 1 << 40, first: 3, count: 64 }),
        ("sql_reserve", Command::SqlReserve { handle: 1, state: 8 }),
        (
            "sql_stage",
            Command::SqlStage { handle: 1, pages: vec![2, 1 << 20], bytes: ByteBuf::from([7; 9]) },
        ),
        (
            "sql_commit",
            Command::SqlCommit {
                handle: 1,
                state: 8,
                length: 70_000,
                pages: vec![1],
                bytes: ByteBuf::from([1, 0]),
            },
        ),
        ("sql_end", Command::SqlEnd { handle: 1, state: 8 }),
        ("sql_databases", Command::SqlDatabases),
        ("sql_drop", Command::SqlDrop { name: "shop".to_owned() }),
    ]
}

pub(super) fn replies() -> Vec<(&'static str, Reply)> {
    let (root, time_ms) = (Cid::of(Codec::DagCbor, b"root"), 1_790_000_000_000);
    let opened = OpenedDatabase {
        handle: 3,
        cid: Some(root),
        writable: false,
        bytes: 1 << 32,
        time_ms: Some(time_ms),
        equivocation: true,
        encrypted: true,
    };
    let rows = SqlRows {
        columns: vec!["a".to_owned(); 5],
        rows: vec![values(), vec![SqlValue::Null; 5]],
        changes: 1,
        last_rowid: -1,
        more: Some(4),
    };
    let published = Some("shop".to_owned());
    let name = "shop".to_owned();
    let row = DatabaseRow {
        name,
        time_ms,
        cid: Some(root),
        published,
        waits: true,
        branches: 2,
        encrypted: true,
    };
    let (name, base) = ("work-1".to_owned(), Some(root));
    let branch = BranchRow { name, cid: root, base, time_ms, merged: false };
    let conflict = |kind| SqlConflict { table: "item".to_owned(), kind, key: values() };
    let kinds = [
        ConflictKind::Added,
        ConflictKind::Changed,
        ConflictKind::Deleted,
        ConflictKind::Constraint,
        ConflictKind::Reference,
        ConflictKind::Table,
    ];
    let conflicts = kinds.map(conflict).into();
    let merged = SqlMerged { made: false, cid: Some(root), conflicts, conflicting: 1 << 33 };
    let uri = Some("craftobj://did:craftec:abc/shop".to_owned());
    let taken = SnapshotRow { cid: root, time_ms, bytes: 8192 };
    let snapshot = Snapshot { cid: root, bytes: 4096, blocks: 3, new_blocks: 2, uri, waits: true };
    vec![
        ("changed", Reply::Changed { database: Some(opened.clone()) }),
        ("unchanged", Reply::Changed { database: None }),
        ("database", Reply::Database(opened)),
        ("rows", Reply::Rows(rows)),
        ("rows end", Reply::Rows(SqlRows::default())),
        ("executed", Reply::Executed { changes: vec![1, 0], last_rowid: 9 }),
        ("snapshot", Reply::Snapshot(snapshot)),
        ("snapshots", Reply::Snapshots { snapshots: vec![taken] }),
        ("branches", Reply::Branches { branches: vec![branch] }),
        ("merged", Reply::Merged(merged)),
        ("databases", Reply::Databases { databases: vec![row] }),
        ("readers", Reply::Readers { encrypted: true, readers: vec!["did:craftec:aa".to_owned()] }),
        ("retained", Reply::Retained { rule: Some(RULE), dropped: 7 }),
        ("retained all", Reply::Retained { rule: None, dropped: 0 }),
        ("card", Reply::Card { card: "craftec-card:aa".to_owned() }),
        ("state", Reply::State(SqlState { number: 1 << 40, length: 3, made_ms: time_ms })),
        ("turn granted", Reply::Turn { turn: SqlTurn::Granted }),
        ("turn taken", Reply::Turn { turn: SqlTurn::Taken }),
        ("turn stale", Reply::Turn { turn: SqlTurn::Stale }),
    ]
}

#[test]
fn every_value_of_sqlite_goes_and_comes() {
    let all = [
        SqlValue::Integer(i64::MIN),
        SqlValue::Integer(i64::MAX),
        SqlValue::Real(f64::MIN_POSITIVE),
        SqlValue::Real(3.0),
        SqlValue::Real(-0.0),
        SqlValue::Text(String::new()),
        SqlValue::Blob(Vec::new()),
    ];
    for value in values().into_iter().chain(all) {
        let bytes = cbor::encode(&value).unwrap();
        let read: SqlValue = cbor::decode(&bytes, limits::API_FRAME_BYTES).unwrap();
        assert_eq!(format!("{read:?}"), format!("{value:?}"));
    }
    assert!(cbor::decode::<SqlValue>(&[0x1b, 0xff, 0, 0, 0, 0, 0, 0, 0], 9).is_err(), "65 bits");
    assert!(cbor::encode(&SqlValue::Real(f64::INFINITY)).is_err());
}
