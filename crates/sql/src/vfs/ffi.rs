//! Where SQLite calls back into Rust: the only `unsafe` code of the crate.
//!
//! SQLite owns a [`Handle`] for each open file, in memory that it allocates and frees; the handle
//! owns an [`OpenFile`]. Everything that decides is in `file`. The registration lives as long as the
//! process; it holds no data, so threads may share it, while files belong to the thread that opened
//! them (a connection is never given to another one here).
#![allow(unsafe_code, reason = "SQLite is C")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr, slice,
    sync::OnceLock,
};

use rusqlite::ffi;

use super::{
    Fault, VFS_NAME,
    file::{Answer, OpenFile},
};

/// Longest name of a file: ours are a few characters, and SQLite adds `-journal`.
const NAME_BYTES: c_int = 512;

/// What SQLite allocates for a file.
#[repr(C)]
struct Handle {
    /// SQLite's part; must come first.
    base: ffi::sqlite3_file,
    /// From `Box::into_raw`; null before `xOpen` succeeded and after `xClose`.
    file: *mut OpenFile,
}

/// Methods of every file. Version 1: no shared memory, so no WAL, and no memory mapping.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Makes the VFS known to SQLite, once per process. SQLite's own code is what it failed with.
pub(crate) fn register() -> Result<(), i32> {
    static REGISTERED: OnceLock<i32> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: SQLite is threadsafe natively and alone with this thread on WebAssembly. The name
        // and the structure are leaked, so they outlive every use; the base VFS is never
        // unregistered.
        unsafe {
            let code = ffi::sqlite3_initialize();
            if code != ffi::SQLITE_OK {
                return code;
            }
            let base = ffi::sqlite3_vfs_find(ptr::null());
            let Ok(name) = std::ffi::CString::new(VFS_NAME) else { return ffi::SQLITE_ERROR };
            if base.is_null() {
                return ffi::SQLITE_ERROR;
            }
            let vfs = Box::new(vfs(name.into_raw(), base));
            ffi::sqlite3_vfs_register(Box::into_raw(vfs), 0)
        }
    });
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(code) }
}

fn vfs(name: *const c_char, base: *mut ffi::sqlite3_vfs) -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        iVersion: 2,
        szOsFile: size_of::<Handle>() as c_int,
        mxPathname: NAME_BYTES,
        pNext: ptr::null_mut(),
        zName: name,
        pAppData: base.cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: None,
        xCurrentTimeInt64: Some(current_time_ms),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

/// What SQLite is told about a fault. Only `SQLITE_INTERRUPT` leaves a transaction as it was, so
/// that the statement can be run again when the page is there.
const fn code(fault: Fault, io: c_int) -> c_int {
    match fault {
        Fault::Miss => ffi::SQLITE_INTERRUPT,
        Fault::Full => ffi::SQLITE_FULL,
        Fault::ReadOnly => ffi::SQLITE_READONLY,
        Fault::Rotten => ffi::SQLITE_IOERR_CORRUPTFS,
        Fault::Busy => ffi::SQLITE_BUSY,
        Fault::Io => io,
    }
}

fn answer(result: Result<(), Fault>, io: c_int) -> c_int {
    result.map_or_else(|fault| code(fault, io), |()| ffi::SQLITE_OK)
}

/// The file behind a handle.
///
/// # Safety
///
/// `file` must come from SQLite and have been opened by [`open`]; no other reference may live.
unsafe fn file<'f>(file: *mut ffi::sqlite3_file) -> Option<&'f mut OpenFile> {
    // SAFETY: SQLite allocated `szOsFile` bytes for it, which `open` has filled; calls for one file
    // never overlap.
    unsafe { (*file.cast::<Handle>()).file.as_mut() }
}

/// Runs `with` on the file behind a handle.
///
/// # Safety
///
/// As for [`file`].
unsafe fn on(
    handle: *mut ffi::sqlite3_file,
    io: c_int,
    with: impl FnOnce(&mut OpenFile) -> Result<(), Fault>,
) -> c_int {
    // SAFETY: the caller's.
    match unsafe { file(handle) } {
        Some(file) => answer(with(file), io),
        None => io,
    }
}

/// The text at `text`, if it is UTF-8.
///
/// # Safety
///
/// `text` must be null or a string of C that outlives the result.
unsafe fn text<'t>(text: *const c_char) -> Option<&'t str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    handle: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let handle = handle.cast::<Handle>();
    // SAFETY: SQLite gives memory for a handle. Null methods tell it not to close what failed to
    // open. A name is null or a string.
    let name = unsafe {
        handle.write(Handle {
            base: ffi::sqlite3_file { pMethods: ptr::null() },
            file: ptr::null_mut(),
        });
        text(name)
    };
    let opened = if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
        name.and_then(OpenFile::main)
    } else {
        Some(OpenFile::Flat(Vec::new()))
    };
    let Some(opened) = opened else { return ffi::SQLITE_CANTOPEN };
    let mut granted = flags;
    if opened.is_immutable() {
        granted &= !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE);
        granted |= ffi::SQLITE_OPEN_READONLY;
    }
    // SAFETY: as above; `out_flags` is null or a number of SQLite's.
    unsafe {
        (*handle).file = Box::into_raw(Box::new(opened));
        (*handle).base.pMethods = &METHODS;
        if let Some(out_flags) = out_flags.as_mut() {
            *out_flags = granted;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(handle: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what was opened, once; the pointer came from a box.
    unsafe {
        let handle = handle.cast::<Handle>();
        let file = ptr::replace(&raw mut (*handle).file, ptr::null_mut());
        if !file.is_null() {
            drop(Box::from_raw(file));
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    handle: *mut ffi::sqlite3_file,
    out: *mut c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(count), Ok(offset)) = (usize::try_from(count), u64::try_from(offset)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: SQLite's buffer has `count` bytes, all written before, and is its own.
    let (out, file) = unsafe { (slice::from_raw_parts_mut(out.cast::<u8>(), count), file(handle)) };
    let Some(file) = file else { return ffi::SQLITE_IOERR_READ };
    match file.read(out, offset) {
        Ok(done) if done == count => ffi::SQLITE_OK,
        Ok(done) => {
            out[done..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(fault) => code(fault, ffi::SQLITE_IOERR_READ),
    }
}

unsafe extern "C" fn write(
    handle: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(count), Ok(offset)) = (usize::try_from(count), u64::try_from(offset)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite's buffer has `count` bytes and does not change meanwhile.
    unsafe {
        let bytes = slice::from_raw_parts(bytes.cast::<u8>(), count);
        on(handle, ffi::SQLITE_IOERR_WRITE, |file| file.write(bytes, offset))
    }
}

unsafe extern "C" fn truncate(handle: *mut ffi::sqlite3_file, bytes: ffi::sqlite3_int64) -> c_int {
    let Ok(bytes) = u64::try_from(bytes) else { return ffi::SQLITE_IOERR_TRUNCATE };
    // SAFETY: a file that SQLite has open.
    unsafe { on(handle, ffi::SQLITE_IOERR_TRUNCATE, |file| file.truncate(bytes)) }
}

unsafe extern "C" fn sync(handle: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: a file that SQLite has open.
    unsafe { on(handle, ffi::SQLITE_IOERR_FSYNC, OpenFile::commit) }
}

unsafe extern "C" fn file_size(
    handle: *mut ffi::sqlite3_file,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: a file that SQLite has open, and a number of its own.
    unsafe {
        on(handle, ffi::SQLITE_IOERR_FSTAT, |file| {
            *out = file.bytes()? as ffi::sqlite3_int64;
            Ok(())
        })
    }
}

unsafe extern "C" fn lock(handle: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: a file that SQLite has open.
    unsafe { on(handle, ffi::SQLITE_IOERR_LOCK, |file| file.lock(level)) }
}

unsafe extern "C" fn unlock(handle: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: a file that SQLite has open.
    unsafe { on(handle, ffi::SQLITE_IOERR_UNLOCK, |file| file.unlock(level)) }
}

unsafe extern "C" fn check_reserved_lock(handle: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: a file that SQLite has open, and a number of its own.
    unsafe {
        on(handle, ffi::SQLITE_IOERR_CHECKRESERVEDLOCK, |file| {
            *out = c_int::from(file.is_reserved());
            Ok(())
        })
    }
}

unsafe extern "C" fn file_control(
    handle: *mut ffi::sqlite3_file,
    op: c_int,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: a file that SQLite has open; the argument is what the operation is documented with.
    unsafe {
        let Some(file) = file(handle).filter(|file| file.is_main()) else {
            return ffi::SQLITE_NOTFOUND;
        };
        match op {
            ffi::SQLITE_FCNTL_PRAGMA => pragma(file, argument.cast()),
            // What is written waits anyway until it is committed; after an error SQLite writes it
            // again and asks for a sync.
            ffi::SQLITE_FCNTL_BEGIN_ATOMIC_WRITE | ffi::SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE => {
                ffi::SQLITE_OK
            }
            // The latter where `synchronous` is off and nothing else says that a commit is done.
            ffi::SQLITE_FCNTL_COMMIT_ATOMIC_WRITE | ffi::SQLITE_FCNTL_COMMIT_PHASETWO => {
                answer(file.commit(), ffi::SQLITE_IOERR_COMMIT_ATOMIC)
            }
            _ => ffi::SQLITE_NOTFOUND,
        }
    }
}

/// Answers a pragma: `parts` are a place for the answer, the name, and the value or null.
///
/// # Safety
///
/// `parts` must be the argument of `SQLITE_FCNTL_PRAGMA`.
unsafe fn pragma(file: &OpenFile, parts: *mut *mut c_char) -> c_int {
    // SAFETY: the caller's; the answer is copied to memory that SQLite frees.
    unsafe {
        let (Some(name), value) = (text(*parts.add(1)), text(*parts.add(2))) else {
            return ffi::SQLITE_NOTFOUND;
        };
        match file.pragma(name, value) {
            Answer::Pass => ffi::SQLITE_NOTFOUND,
            Answer::Said("") => ffi::SQLITE_OK,
            Answer::Said(said) => {
                let copy = ffi::sqlite3_malloc(said.len() as c_int + 1).cast::<u8>();
                if copy.is_null() {
                    return ffi::SQLITE_NOMEM;
                }
                ptr::copy_nonoverlapping(said.as_ptr(), copy, said.len());
                copy.add(said.len()).write(0);
                *parts = copy.cast();
                ffi::SQLITE_OK
            }
        }
    }
}

unsafe extern "C" fn sector_size(_handle: *mut ffi::sqlite3_file) -> c_int {
    craftec_core::database::PAGE_BYTES as c_int
}

unsafe extern "C" fn device_characteristics(handle: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: a file that SQLite has open.
    match unsafe { file(handle) } {
        Some(file) if file.is_immutable() => ffi::SQLITE_IOCAP_IMMUTABLE,
        Some(file) if file.is_main() => {
            ffi::SQLITE_IOCAP_BATCH_ATOMIC | ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
        }
        _ => 0,
    }
}

unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    _name: *const c_char,
    _sync: c_int,
) -> c_int {
    // Only journals are ever deleted, and there are none.
    ffi::SQLITE_OK
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: a string and a number of SQLite's. A journal or a WAL is never there.
    unsafe {
        let there = text(name).is_some_and(|name| super::mounted(name).is_some());
        *out = c_int::from(there);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a string, and `room` bytes for a copy of it.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if usize::try_from(room).is_ok_and(|room| name.len() > room) {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(name.as_ptr(), out.cast(), name.len());
    }
    ffi::SQLITE_OK
}

/// The platform's VFS, which has its clock and its entropy.
///
/// # Safety
///
/// `vfs` must be ours.
unsafe fn base(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: the caller's; `register` put it there.
    unsafe { (*vfs).pAppData.cast() }
}

unsafe extern "C" fn randomness(
    vfs: *mut ffi::sqlite3_vfs,
    count: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).xRandomness.map_or(0, |randomness| randomness(base, count, out))
    }
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).xSleep.map_or(0, |sleep| sleep(base, micros))
    }
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).xCurrentTime.map_or(ffi::SQLITE_ERROR, |time| time(base, out))
    }
}

unsafe extern "C" fn current_time_ms(
    vfs: *mut ffi::sqlite3_vfs,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).xCurrentTimeInt64.map_or(ffi::SQLITE_ERROR, |time| time(base, out))
    }
}
