//! Where SQLite calls in: paths become names of mounted databases, the rest is passed on.
#![allow(unsafe_code, reason = "SQLite is C")]

use std::{
    ffi::{CStr, OsStr, c_char, c_int},
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
    sync::OnceLock,
};

use rusqlite::ffi;

use crate::files;

/// Address of a VFS; SQLite never unregisters these.
#[derive(Clone, Copy)]
struct Address(*mut ffi::sqlite3_vfs);

// SAFETY: what is there is written once, before it is shared.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

/// Ours with paths, our VFS below it, and the platform's.
#[derive(Clone, Copy)]
struct Vfses {
    paths: Address,
    craft: Address,
}

static VFSES: OnceLock<Result<Vfses, c_int>> = OnceLock::new();

/// Called by SQLite when it has been initialised, also after a shutdown.
#[unsafe(no_mangle)]
extern "C" fn craftec_sqltests_init(_unused: *const c_char) -> c_int {
    if std::env::var_os("CRAFTEC_VFS").is_none_or(|vfs| vfs != "craft") {
        return ffi::SQLITE_OK;
    }
    match VFSES.get_or_init(make) {
        // SAFETY: leaked by `make`.
        Ok(vfses) => unsafe { ffi::sqlite3_vfs_register(vfses.paths.0, 1) },
        Err(code) => *code,
    }
}

fn make() -> Result<Vfses, c_int> {
    let name = craftec_sql::foreign::vfs()?;
    // SAFETY: SQLite is initialised; both are registered for as long as the process lives.
    let (craft, base) =
        unsafe { (ffi::sqlite3_vfs_find(name.as_ptr()), ffi::sqlite3_vfs_find(ptr::null())) };
    if craft.is_null() || base.is_null() {
        return Err(ffi::SQLITE_ERROR);
    }
    // SAFETY: just found.
    let (ours, base) = unsafe { (*craft, &*base) };
    let paths = ffi::sqlite3_vfs {
        zName: c"craft-paths".as_ptr(),
        pNext: ptr::null_mut(),
        mxPathname: base.mxPathname,
        xOpen: Some(open),
        xAccess: base.xAccess,
        xFullPathname: base.xFullPathname,
        xDlOpen: base.xDlOpen,
        xDlError: base.xDlError,
        xDlSym: base.xDlSym,
        xDlClose: base.xDlClose,
        ..ours
    };
    Ok(Vfses { paths: Address(Box::into_raw(Box::new(paths))), craft: Address(craft) })
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    handle: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let Some(Ok(Vfses { craft: Address(craft), .. })) = VFSES.get() else {
        return ffi::SQLITE_CANTOPEN;
    };
    // SAFETY: registered, and `open` of our VFS needs no more of it than the address.
    let Some(below) = (unsafe { (**craft).xOpen }) else { return ffi::SQLITE_CANTOPEN };
    if flags & ffi::SQLITE_OPEN_MAIN_DB == 0 {
        // SAFETY: passed on as it came.
        return unsafe { below(vfs, path, handle, flags, out_flags) };
    }
    // SAFETY: SQLite gives a main database a path, and room for a handle, whose methods must be null
    // if it was not opened.
    let path = unsafe {
        (*handle).pMethods = ptr::null();
        Path::new(OsStr::from_bytes(CStr::from_ptr(path).to_bytes()))
    };
    let name = match files::mounted(path, flags & ffi::SQLITE_OPEN_CREATE != 0) {
        Ok(name) => name,
        Err(code) => return code,
    };
    // SAFETY: the name outlives the call, and our VFS keeps nothing of it; the rest as it came.
    unsafe {
        let code = below(vfs, name.as_ptr(), handle, flags, out_flags);
        if let Some(granted) = out_flags.as_mut() {
            // The journal of every connection is in memory, as our connections set it.
            *granted |= ffi::SQLITE_OPEN_MEMORY;
        }
        code
    }
}
