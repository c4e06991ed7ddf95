//! A connection of SQLite to a mounted database: how it is set up, what it may do, how a statement
//! runs and what its rows become.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{
    Connection, OpenFlags,
    hooks::{AuthAction, AuthContext, Authorization},
    params_from_iter,
    types::{Value, ValueRef},
};

use crate::{
    error::SqlError,
    vfs::{self, Mount, VFS_NAME},
};

/// Statements kept prepared.
const PREPARED: usize = 64;

/// Rows of a result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Values, row by row. Text that is not UTF-8 has its wrong bytes replaced.
    pub rows: Vec<Vec<Value>>,
}

impl Rows {
    /// The only value of the only row, where a result is that.
    pub fn value(&self) -> Option<&Value> {
        match self.rows.as_slice() {
            [row] => row.first(),
            _ => None,
        }
    }
}

/// What one statement did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ran {
    /// What it gave.
    pub rows: Rows,
    /// Rows that it changed.
    pub changes: u64,
    /// The number of the row that was inserted last by this handle; 0 if none was.
    pub last_rowid: i64,
}

/// What a statement of somebody else may do.
#[derive(Clone, Copy)]
pub(super) struct Guarded {
    /// Longest result in bytes.
    pub(super) limit: usize,
    /// Only statements that write nothing.
    pub(super) read_only: bool,
}

/// What a connection may attach: the only way by which one database could reach another file.
#[derive(Clone, Default)]
pub(super) struct Granted(Arc<Mutex<Option<String>>>);

impl Granted {
    fn set(&self, name: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    fn allows(&self, name: &str) -> bool {
        // SQLite itself attaches a nameless database in memory for VACUUM.
        let granted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        name.is_empty() || name == ":memory:" || granted.as_deref() == Some(name)
    }
}

/// Decides about one thing that a statement wants to do.
fn authorize(granted: &Granted, action: AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Attach { filename } if granted.allows(filename) => Authorization::Allow,
        // A file that the statement computes can't be judged when it is prepared.
        AuthAction::Attach { .. }
        | AuthAction::Unknown { code: rusqlite::ffi::SQLITE_ATTACH, .. } => Authorization::Deny,
        _ => Authorization::Allow,
    }
}

/// Opens what is mounted. Nothing is read yet.
pub(super) fn open(mount: &Mount) -> Result<(Connection, Granted), SqlError> {
    vfs::register().map_err(|code| SqlError::Sqlite {
        code,
        message: "SQLite does not take our VFS".to_owned(),
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags_and_vfs(mount.name(), flags, VFS_NAME)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // Whoever holds a lock is of this thread: waiting would keep it from letting go.
    connection.busy_timeout(Duration::ZERO)?;
    let granted = Granted::default();
    let held = granted.clone();
    connection
        .authorizer(Some(move |context: AuthContext<'_>| authorize(&held, context.action)))?;
    Ok((connection, granted))
}

/// What every connection begins with.
pub(super) fn set_up(connection: &Connection, cache_bytes: usize) -> rusqlite::Result<()> {
    let cache_kib = (cache_bytes / 1024).clamp(64, 4 << 20);
    connection.execute_batch(&format!(
        "PRAGMA page_size = 4096;
         PRAGMA journal_mode = MEMORY;
         PRAGMA temp_store = MEMORY;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -{cache_kib};"
    ))
}

/// Has SQLite leave `bytes` unused at the end of each page of a new database, or after the next VACUUM.
pub(super) fn reserve(connection: &Connection, bytes: usize) -> Result<(), SqlError> {
    vfs::reserve(connection, bytes).map_err(|code| SqlError::Sqlite {
        code,
        message: "SQLite leaves no room for encryption".to_owned(),
    })
}

/// Attaches what is mounted as `alias`.
pub(super) fn attach(
    connection: &Connection,
    granted: &Granted,
    mount: &Mount,
    alias: &str,
) -> Result<(), SqlError> {
    let alias = quoted(alias);
    granted.set(Some(mount.name().to_owned()));
    let attached = connection.execute_batch(&format!("ATTACH '{}' AS {alias}", mount.name()));
    granted.set(None);
    attached?;
    Ok(connection.execute_batch(&format!(
        "PRAGMA {alias}.page_size = 4096; PRAGMA {alias}.journal_mode = MEMORY;"
    ))?)
}

/// `name` as SQL writes a name that may be anything.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Runs one statement and takes its rows, at most `limit` bytes of them.
pub(super) fn query(
    connection: &Connection,
    sql: &str,
    params: &[Value],
    limit: usize,
) -> rusqlite::Result<Option<Rows>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let count = columns.len();
    let mut found = statement.query(params_from_iter(params))?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let mut values = Vec::with_capacity(count);
        for column in 0..count {
            let value = row.get_ref(column)?;
            bytes += size_of::<Value>() + length(value);
            if bytes > limit {
                return Ok(None);
            }
            values.push(owned(value));
        }
        rows.push(values);
    }
    Ok(Some(Rows { columns, rows }))
}

/// Runs one statement, whatever it is.
pub(super) fn run(
    connection: &Connection,
    sql: &str,
    params: &[Value],
    guarded: Guarded,
) -> Result<Ran, SqlError> {
    let before = connection.total_changes();
    if guarded.read_only && !connection.prepare_cached(sql)?.readonly() {
        return Err(misuse("this database is open for reading only").into());
    }
    let rows = query(connection, sql, params, guarded.limit)?;
    let rows = rows.ok_or(SqlError::TooMuch { limit: guarded.limit })?;
    let changes = connection.total_changes().saturating_sub(before);
    Ok(Ran { rows, changes, last_rowid: connection.last_insert_rowid() })
}

/// A statement that is not wrong and yet not for here.
pub(super) fn misuse(message: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
    rusqlite::Error::SqliteFailure(code, Some(message.to_owned()))
}

/// Runs one statement that gives no rows (or whose rows nobody wants); how many it changed.
pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    params: &[Value],
) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(sql)?;
    let before = connection.total_changes();
    let mut rows = statement.query(params_from_iter(params))?;
    while rows.next()?.is_some() {}
    drop(rows);
    Ok(connection.total_changes().saturating_sub(before))
}

fn length(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}
