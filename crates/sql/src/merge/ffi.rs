//! SQLite's session extension: what differs between two databases, and that applied to a third.
//! Source: <https://sqlite.org/session.html>.
#![allow(unsafe_code, reason = "SQLite is C")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{null, null_mut},
    slice,
};

use rusqlite::{Connection, ffi, types::Value};

use crate::error::SqlError;

/// Of what `sqlite3session_object_config` sets: rows of tables without a primary key count by rowid.
const CONFIG_ROWID: c_int = 2;
/// What foreign keys do elsewhere is among the changes, and is not done twice.
const NO_FOREIGN_KEY_ACTIONS: c_int = 8;

#[repr(C)]
struct RawSession {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawIter {
    _opaque: [u8; 0],
}

type OnConflict = unsafe extern "C" fn(*mut c_void, c_int, *mut RawIter) -> c_int;
type GetValue = unsafe extern "C" fn(*mut RawIter, c_int, *mut *mut ffi::sqlite3_value) -> c_int;

// Declared here because the bindings have them only with a feature that wants libclang.
unsafe extern "C" {
    fn sqlite3session_create(
        db: *mut ffi::sqlite3,
        name: *const c_char,
        session: *mut *mut RawSession,
    ) -> c_int;
    fn sqlite3session_delete(session: *mut RawSession);
    fn sqlite3session_object_config(
        session: *mut RawSession,
        op: c_int,
        value: *mut c_void,
    ) -> c_int;
    fn sqlite3session_attach(session: *mut RawSession, table: *const c_char) -> c_int;
    fn sqlite3session_diff(
        session: *mut RawSession,
        from: *const c_char,
        table: *const c_char,
        message: *mut *mut c_char,
    ) -> c_int;
    fn sqlite3session_changeset(
        session: *mut RawSession,
        bytes: *mut c_int,
        changeset: *mut *mut c_void,
    ) -> c_int;
    fn sqlite3changeset_apply_v2(
        db: *mut ffi::sqlite3,
        bytes: c_int,
        changeset: *mut c_void,
        filter: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>,
        conflict: OnConflict,
        context: *mut c_void,
        rebase: *mut *mut c_void,
        rebase_bytes: *mut c_int,
        flags: c_int,
    ) -> c_int;
    fn sqlite3changeset_op(
        iter: *mut RawIter,
        table: *mut *const c_char,
        columns: *mut c_int,
        op: *mut c_int,
        indirect: *mut c_int,
    ) -> c_int;
    fn sqlite3changeset_pk(iter: *mut RawIter, keys: *mut *mut u8, columns: *mut c_int) -> c_int;
    fn sqlite3changeset_old(
        iter: *mut RawIter,
        column: c_int,
        value: *mut *mut ffi::sqlite3_value,
    ) -> c_int;
    fn sqlite3changeset_new(
        iter: *mut RawIter,
        column: c_int,
        value: *mut *mut ffi::sqlite3_value,
    ) -> c_int;
    fn sqlite3changeset_conflict(
        iter: *mut RawIter,
        column: c_int,
        value: *mut *mut ffi::sqlite3_value,
    ) -> c_int;
}

/// What a change does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Insert,
    Update,
    Delete,
}

/// Why a change can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// What it changes is no longer what it was.
    Data,
    /// Its row is gone.
    NotFound,
    /// A row with its key is there already.
    Exists,
    /// A constraint of the table would be broken.
    Constraint,
}

/// A change that can't be made as it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clash {
    pub(super) table: String,
    pub(super) op: Op,
    pub(super) why: Why,
    /// Values of the primary key, or the rowid.
    pub(super) key: Vec<Value>,
    /// What becomes of it where it contradicts nothing.
    pub(super) settled: Option<Verdict>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is left out.
    Omit,
    /// It is made all the same; only where a row is there.
    Replace,
}

/// Changes of rows, in SQLite's own format.
pub(super) struct Changeset {
    bytes: *mut c_void,
    length: c_int,
}

impl Drop for Changeset {
    fn drop(&mut self) {
        // SAFETY: it is SQLite's, or null, and freed once.
        unsafe { ffi::sqlite3_free(self.bytes) };
    }
}

/// A session, deleted when it is dropped.
struct Session(*mut RawSession);

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: made by SQLite, and deleted once, before its connection closes.
        unsafe { sqlite3session_delete(self.0) };
    }
}

fn done(code: c_int, what: &str) -> Result<(), SqlError> {
    if code == ffi::SQLITE_OK {
        return Ok(());
    }
    Err(SqlError::Sqlite { code, message: format!("{what}: {}", told(code)) })
}

/// SQLite's words for a code.
fn told(code: c_int) -> String {
    // SAFETY: it always gives a text that stays.
    unsafe { CStr::from_ptr(ffi::sqlite3_errstr(code)) }.to_string_lossy().into_owned()
}

fn c_string(text: &str) -> Result<CString, SqlError> {
    CString::new(text).map_err(|_| SqlError::Sqlite {
        code: ffi::SQLITE_MISUSE,
        message: "a name holds a zero byte".to_owned(),
    })
}

impl Changeset {
    /// What the tables named have in the attached database `to` and have not, or have otherwise, in
    /// `from`; each with the database of its own to compare with.
    pub(super) fn between(
        connection: &Connection,
        to: &str,
        tables: &[(String, &str)],
    ) -> Result<Self, SqlError> {
        let (to, mut raw) = (c_string(to)?, null_mut());
        // SAFETY: the connection outlives the session, which ends in this function.
        let code = unsafe { sqlite3session_create(connection.handle(), to.as_ptr(), &raw mut raw) };
        done(code, "a session can't begin")?;
        let session = Session(raw);
        let mut on: c_int = 1;
        // SAFETY: the session is alive, and the value is read before this returns.
        let code =
            unsafe { sqlite3session_object_config(session.0, CONFIG_ROWID, (&raw mut on).cast()) };
        done(code, "a session can't be set up")?;
        for (table, from) in tables {
            let (table_c, from) = (c_string(table)?, c_string(from)?);
            // SAFETY: the session and both texts are alive.
            let code = unsafe { sqlite3session_attach(session.0, table_c.as_ptr()) };
            done(code, "a table can't be compared")?;
            // SAFETY: the same; no message is asked for.
            let code = unsafe {
                sqlite3session_diff(session.0, from.as_ptr(), table_c.as_ptr(), null_mut())
            };
            done(code, &format!("the table `{table}` can't be compared"))?;
        }
        let (mut length, mut bytes) = (0, null_mut());
        // SAFETY: the session is alive; what is given is owned from here on.
        let code = unsafe { sqlite3session_changeset(session.0, &raw mut length, &raw mut bytes) };
        let changeset = Self { bytes, length };
        done(code, "changes can't be gathered")?;
        Ok(changeset)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn len(&self) -> usize {
        self.length as usize
    }

    /// Makes the changes in the connection's main database; `decide` is asked about each that can't be
    /// made as it is. Foreign keys that are broken afterwards are the caller's to find.
    pub(super) fn apply(
        &self,
        connection: &Connection,
        mut decide: impl FnMut(Clash) -> Verdict,
    ) -> Result<(), SqlError> {
        if self.is_empty() {
            return Ok(());
        }
        let mut decide: &mut dyn FnMut(Clash) -> Verdict = &mut decide;
        // SAFETY: the changeset, the connection and what decides are alive until this returns.
        let code = unsafe {
            sqlite3changeset_apply_v2(
                connection.handle(),
                self.length,
                self.bytes,
                None,
                on_conflict,
                (&raw mut decide).cast(),
                null_mut(),
                null_mut(),
                NO_FOREIGN_KEY_ACTIONS,
            )
        };
        done(code, "changes can't be made")
    }
}

/// Called by SQLite for each change that can't be made.
unsafe extern "C" fn on_conflict(context: *mut c_void, why: c_int, iter: *mut RawIter) -> c_int {
    const OMIT: c_int = 0;
    const REPLACE: c_int = 1;
    const ABORT: c_int = 2;
    let why = match why {
        1 => Why::Data,
        2 => Why::NotFound,
        3 => Why::Exists,
        4 => Why::Constraint,
        // Foreign keys, once and at the end: whoever called looks for those.
        _ => return OMIT,
    };
    // SAFETY: it is what `apply` passed.
    let decide = unsafe { &mut *context.cast::<&mut dyn FnMut(Clash) -> Verdict>() };
    // SAFETY: the iterator is valid during this call.
    let Some(clash) = (unsafe { clash(iter, why) }) else { return ABORT };
    // A panic must not go through C.
    match catch_unwind(AssertUnwindSafe(|| decide(clash))) {
        Ok(Verdict::Omit) => OMIT,
        Ok(Verdict::Replace) => REPLACE,
        Err(_) => ABORT,
    }
}

/// What becomes of a change that contradicts nothing: the row is so already, or each column that is
/// changed is as it was, or as it is to be.
///
/// # Safety
///
/// `iter` must be one that SQLite passed to the callback that runs, and stand at a change of so many
/// columns.
unsafe fn settled(iter: *mut RawIter, op: Op, why: Why, columns: c_int) -> Option<Verdict> {
    // SAFETY: the caller's; the column is one of those, and each value lives until the callback returns.
    let value = |get: GetValue, column: c_int| unsafe {
        let mut value = null_mut();
        (get(iter, column, &raw mut value) == ffi::SQLITE_OK).then_some(value)
    };
    // SAFETY: both are null or valid.
    let same = |one, other| unsafe { same(one, other) };
    match (op, why) {
        (Op::Delete, Why::NotFound) => Some(Verdict::Omit),
        (Op::Insert, Why::Exists) => {
            for column in 0..columns {
                let new = value(sqlite3changeset_new, column)?;
                if !same(new, value(sqlite3changeset_conflict, column)?) {
                    return None;
                }
            }
            Some(Verdict::Omit)
        }
        (Op::Update, Why::Data) => {
            for column in 0..columns {
                let new = value(sqlite3changeset_new, column)?;
                let there = value(sqlite3changeset_conflict, column)?;
                let old = value(sqlite3changeset_old, column)?;
                // What is null is not changed.
                if !new.is_null() && !same(new, there) && !same(old, there) {
                    return None;
                }
            }
            Some(Verdict::Replace)
        }
        _ => None,
    }
}

/// Whether two values are the same, to the byte.
///
/// # Safety
///
/// Both must be null or valid.
unsafe fn same(one: *mut ffi::sqlite3_value, other: *mut ffi::sqlite3_value) -> bool {
    if one.is_null() || other.is_null() {
        return one == other;
    }
    // SAFETY: both are valid.
    unsafe {
        let kind = ffi::sqlite3_value_type(one);
        kind == ffi::sqlite3_value_type(other)
            && match kind {
                ffi::SQLITE_INTEGER => {
                    ffi::sqlite3_value_int64(one) == ffi::sqlite3_value_int64(other)
                }
                ffi::SQLITE_FLOAT => {
                    let bits = |value| ffi::sqlite3_value_double(value).to_bits();
                    bits(one) == bits(other)
                }
                ffi::SQLITE_NULL => true,
                _ => bytes(one) == bytes(other),
            }
    }
}

/// The bytes of a text or a blob.
///
/// # Safety
///
/// `value` must be valid, and not be converted while the bytes are in use.
unsafe fn bytes<'v>(value: *mut ffi::sqlite3_value) -> &'v [u8] {
    // SAFETY: the caller's; pointer and length belong together, asked for in this order.
    unsafe {
        let start: *const u8 = match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_TEXT => ffi::sqlite3_value_text(value).cast(),
            _ => ffi::sqlite3_value_blob(value).cast(),
        };
        match start.is_null() {
            true => &[],
            false => slice::from_raw_parts(start, ffi::sqlite3_value_bytes(value).max(0) as usize),
        }
    }
}

/// The change at which `iter` is.
///
/// # Safety
///
/// `iter` must be one that SQLite passed to the callback that runs.
unsafe fn clash(iter: *mut RawIter, why: Why) -> Option<Clash> {
    let (mut table, mut columns, mut op, mut keys) = (null(), 0, 0, null_mut());
    // SAFETY: the caller's; all outlets are ours.
    let code = unsafe {
        sqlite3changeset_op(iter, &raw mut table, &raw mut columns, &raw mut op, null_mut())
            | sqlite3changeset_pk(iter, &raw mut keys, null_mut())
    };
    if code != ffi::SQLITE_OK || table.is_null() || keys.is_null() {
        return None;
    }
    let (op, get): (Op, GetValue) = match op {
        ffi::SQLITE_INSERT => (Op::Insert, sqlite3changeset_new),
        ffi::SQLITE_UPDATE => (Op::Update, sqlite3changeset_old),
        _ => (Op::Delete, sqlite3changeset_old),
    };
    // SAFETY: SQLite says that there are so many flags, and that the text ends.
    let (keys, table) = unsafe {
        let keys = slice::from_raw_parts(keys, columns.max(0) as usize);
        (keys, CStr::from_ptr(table).to_string_lossy().into_owned())
    };
    let mut key = Vec::new();
    for (column, _) in (0..).zip(keys).filter(|(_, is_key)| **is_key != 0) {
        let mut value = null_mut();
        // SAFETY: the column is one of those; the value lives as long as the iterator stands here.
        unsafe {
            if get(iter, column, &raw mut value) != ffi::SQLITE_OK {
                return None;
            }
            key.push(owned(value));
        }
    }
    // SAFETY: the caller's. SQLite has a flag for this, and then does not quote the names of tables.
    let settled = unsafe { settled(iter, op, why, columns) };
    Some(Clash { table, op, why, key, settled })
}

/// A copy of one of SQLite's values.
///
/// # Safety
///
/// `value` must be null or valid.
unsafe fn owned(value: *mut ffi::sqlite3_value) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    // SAFETY: it is valid.
    unsafe {
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_value_int64(value)),
            ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_value_double(value)),
            ffi::SQLITE_TEXT => Value::Text(String::from_utf8_lossy(bytes(value)).into_owned()),
            ffi::SQLITE_BLOB => Value::Blob(bytes(value).to_vec()),
            _ => Value::Null,
        }
    }
}
