//! What SQLite promises to keep as it is: structures and numbers of `sqlite3.h`, as far as a VFS needs
//! them. Source: <https://sqlite.org/c3ref/vfs.html>, <https://sqlite.org/c3ref/io_methods.html>.

use std::ffi::{c_char, c_int, c_void};

/// `sqlite3_file`: SQLite's part of an open file.
#[repr(C)]
pub struct CFile {
    /// Null where it failed to open.
    pub methods: *const IoMethods,
}

type OnFile = unsafe extern "C" fn(*mut CFile) -> c_int;
type OnFileInt = unsafe extern "C" fn(*mut CFile, c_int) -> c_int;
type Never = Option<unsafe extern "C" fn()>;

/// `sqlite3_io_methods`, version 1, with room for what later versions add.
#[allow(missing_docs, reason = "named as in sqlite3.h")]
#[repr(C)]
pub struct IoMethods {
    pub version: c_int,
    pub close: OnFile,
    pub read: unsafe extern "C" fn(*mut CFile, *mut c_void, c_int, i64) -> c_int,
    pub write: unsafe extern "C" fn(*mut CFile, *const c_void, c_int, i64) -> c_int,
    pub truncate: unsafe extern "C" fn(*mut CFile, i64) -> c_int,
    pub sync: OnFileInt,
    pub file_size: unsafe extern "C" fn(*mut CFile, *mut i64) -> c_int,
    pub lock: OnFileInt,
    pub unlock: OnFileInt,
    pub check_reserved_lock: unsafe extern "C" fn(*mut CFile, *mut c_int) -> c_int,
    pub file_control: unsafe extern "C" fn(*mut CFile, c_int, *mut c_void) -> c_int,
    pub sector_size: OnFile,
    pub device_characteristics: OnFile,
    /// Shared memory and memory mapping: there is none.
    pub later: [Never; 6],
}

/// `sqlite3_vfs`, version 2.
#[allow(missing_docs, reason = "named as in sqlite3.h")]
#[repr(C)]
pub struct Vfs {
    pub version: c_int,
    pub file_bytes: c_int,
    pub path_bytes: c_int,
    pub next: *mut Self,
    pub name: *const c_char,
    pub data: *mut c_void,
    pub open: Option<
        unsafe extern "C" fn(*mut Self, *const c_char, *mut CFile, c_int, *mut c_int) -> c_int,
    >,
    pub delete: Option<unsafe extern "C" fn(*mut Self, *const c_char, c_int) -> c_int>,
    pub access: Option<unsafe extern "C" fn(*mut Self, *const c_char, c_int, *mut c_int) -> c_int>,
    pub full_pathname:
        Option<unsafe extern "C" fn(*mut Self, *const c_char, c_int, *mut c_char) -> c_int>,
    /// Loading of extensions, which goes by the base VFS.
    pub dl_open: Option<unsafe extern "C" fn(*mut Self, *const c_char) -> *mut c_void>,
    pub dl_error: Option<unsafe extern "C" fn(*mut Self, c_int, *mut c_char)>,
    pub dl_sym: Option<unsafe extern "C" fn(*mut Self, *mut c_void, *const c_char) -> Never>,
    pub dl_close: Option<unsafe extern "C" fn(*mut Self, *mut c_void)>,
    pub randomness: Option<unsafe extern "C" fn(*mut Self, c_int, *mut c_char) -> c_int>,
    pub sleep: Option<unsafe extern "C" fn(*mut Self, c_int) -> c_int>,
    pub current_time: Option<unsafe extern "C" fn(*mut Self, *mut f64) -> c_int>,
    pub last_error: Option<unsafe extern "C" fn(*mut Self, c_int, *mut c_char) -> c_int>,
    pub current_time_ms: Option<unsafe extern "C" fn(*mut Self, *mut i64) -> c_int>,
    /// System calls to replace: there are none.
    pub later: [Never; 3],
}

/// Functions of the SQLite that the VFS is registered with.
#[derive(Clone, Copy)]
pub struct Host {
    /// `sqlite3_vfs_find`
    pub vfs_find: unsafe extern "C" fn(*const c_char) -> *mut Vfs,
    /// `sqlite3_vfs_register`
    pub vfs_register: unsafe extern "C" fn(*mut Vfs, c_int) -> c_int,
    /// `sqlite3_malloc`
    pub malloc: unsafe extern "C" fn(c_int) -> *mut c_void,
    /// `sqlite3_uri_parameter`
    pub uri_parameter: Option<unsafe extern "C" fn(*const c_char, *const c_char) -> *const c_char>,
}

/// Result codes. Source: <https://sqlite.org/rescode.html>.
pub(crate) mod code {
    use super::c_int;

    pub(crate) const OK: c_int = 0;
    pub(crate) const ERROR: c_int = 1;
    pub(crate) const BUSY: c_int = 5;
    pub(crate) const BUSY_SNAPSHOT: c_int = BUSY | (2 << 8);
    pub(crate) const NOMEM: c_int = 7;
    pub(crate) const READONLY: c_int = 8;
    pub(crate) const INTERRUPT: c_int = 9;
    pub(crate) const NOTFOUND: c_int = 12;
    pub(crate) const FULL: c_int = 13;
    pub(crate) const CANTOPEN: c_int = 14;
    pub(crate) const IOERR_READ: c_int = 10 | (1 << 8);
    pub(crate) const IOERR_SHORT_READ: c_int = 10 | (2 << 8);
    pub(crate) const IOERR_WRITE: c_int = 10 | (3 << 8);
    pub(crate) const IOERR_FSYNC: c_int = 10 | (4 << 8);
    pub(crate) const IOERR_TRUNCATE: c_int = 10 | (6 << 8);
    pub(crate) const IOERR_FSTAT: c_int = 10 | (7 << 8);
    pub(crate) const IOERR_UNLOCK: c_int = 10 | (8 << 8);
    pub(crate) const IOERR_CHECKRESERVEDLOCK: c_int = 10 | (14 << 8);
    pub(crate) const IOERR_LOCK: c_int = 10 | (15 << 8);
    pub(crate) const IOERR_COMMIT_ATOMIC: c_int = 10 | (30 << 8);
    pub(crate) const IOERR_CORRUPTFS: c_int = 10 | (33 << 8);
}

/// Flags of `xOpen`.
pub(crate) mod open {
    use super::c_int;

    pub(crate) const READONLY: c_int = 0x1;
    pub(crate) const READWRITE: c_int = 0x2;
    pub(crate) const CREATE: c_int = 0x4;
    pub(crate) const MAIN_DB: c_int = 0x100;
}

/// What a file is capable of.
pub(crate) mod capability {
    use super::c_int;

    pub(crate) const POWERSAFE_OVERWRITE: c_int = 0x1000;
    pub(crate) const IMMUTABLE: c_int = 0x2000;
    pub(crate) const BATCH_ATOMIC: c_int = 0x4000;
}

/// Operations of `xFileControl`.
pub(crate) mod control {
    use super::c_int;

    pub(crate) const PRAGMA: c_int = 14;
    pub(crate) const COMMIT_PHASETWO: c_int = 22;
    pub(crate) const BEGIN_ATOMIC_WRITE: c_int = 31;
    pub(crate) const COMMIT_ATOMIC_WRITE: c_int = 32;
    pub(crate) const ROLLBACK_ATOMIC_WRITE: c_int = 33;
}
