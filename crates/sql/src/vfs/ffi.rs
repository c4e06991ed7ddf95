//! The functions of the SQLite that is linked here, as the VFS takes them.
#![allow(unsafe_code, reason = "SQLite is C")]

use std::{
    ffi::{c_char, c_int, c_void},
    sync::OnceLock,
};

use craftec_pager::{Host, Registered, Vfs};
use rusqlite::{Connection, ffi};

use super::{VFS_NAME, file::open};

/// Makes the VFS known to SQLite, once per process. SQLite's own code is what it failed with.
pub(crate) fn register() -> Result<(), i32> {
    static REGISTERED: OnceLock<Result<(), i32>> = OnceLock::new();
    *REGISTERED.get_or_init(|| {
        // SAFETY: SQLite is threadsafe natively and alone with this thread on WebAssembly.
        let code = unsafe { ffi::sqlite3_initialize() };
        if code != ffi::SQLITE_OK {
            return Err(code);
        }
        let uri_parameter = None;
        let host = Host { vfs_find, vfs_register, malloc, uri_parameter };
        // SAFETY: all of them are of the one SQLite that is linked.
        unsafe {
            craftec_pager::register(host, Registered { name: VFS_NAME, open, last_error: None })
        }
    })
}

/// Has SQLite leave so many bytes unused at the end of each page: of a new database, or after the next
/// VACUUM. SQLite's own code is what it failed with.
pub(crate) fn reserve(connection: &Connection, bytes: usize) -> Result<(), i32> {
    let mut bytes = bytes as c_int;
    let opcode = ffi::SQLITE_FCNTL_RESERVE_BYTES;
    // SAFETY: the handle is open as long as the connection lives; this opcode reads and writes one int.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            opcode,
            (&raw mut bytes).cast(),
        )
    };
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(code) }
}

unsafe extern "C" fn vfs_find(name: *const c_char) -> *mut Vfs {
    // SAFETY: passed on as it came; both structures are SQLite's, which a test compares.
    unsafe { ffi::sqlite3_vfs_find(name).cast() }
}

unsafe extern "C" fn vfs_register(vfs: *mut Vfs, default: c_int) -> c_int {
    // SAFETY: passed on as it came; both structures are SQLite's, which a test compares.
    unsafe { ffi::sqlite3_vfs_register(vfs.cast(), default) }
}

unsafe extern "C" fn malloc(bytes: c_int) -> *mut c_void {
    // SAFETY: passed on as it came.
    unsafe { ffi::sqlite3_malloc(bytes) }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use craftec_pager::{CFile, IoMethods};

    use super::*;

    #[test]
    fn the_structures_are_sqlites() {
        assert_eq!(size_of::<Vfs>(), size_of::<ffi::sqlite3_vfs>());
        assert_eq!(size_of::<IoMethods>(), size_of::<ffi::sqlite3_io_methods>());
        assert_eq!(size_of::<CFile>(), size_of::<ffi::sqlite3_file>());
        let vfs = [
            (offset_of!(Vfs, name), offset_of!(ffi::sqlite3_vfs, zName)),
            (offset_of!(Vfs, open), offset_of!(ffi::sqlite3_vfs, xOpen)),
            (offset_of!(Vfs, full_pathname), offset_of!(ffi::sqlite3_vfs, xFullPathname)),
            (offset_of!(Vfs, dl_sym), offset_of!(ffi::sqlite3_vfs, xDlSym)),
            (offset_of!(Vfs, randomness), offset_of!(ffi::sqlite3_vfs, xRandomness)),
            (offset_of!(Vfs, last_error), offset_of!(ffi::sqlite3_vfs, xGetLastError)),
            (offset_of!(Vfs, current_time_ms), offset_of!(ffi::sqlite3_vfs, xCurrentTimeInt64)),
        ];
        let methods = [
            (offset_of!(IoMethods, sync), offset_of!(ffi::sqlite3_io_methods, xSync)),
            (offset_of!(IoMethods, lock), offset_of!(ffi::sqlite3_io_methods, xLock)),
            (
                offset_of!(IoMethods, device_characteristics),
                offset_of!(ffi::sqlite3_io_methods, xDeviceCharacteristics),
            ),
            (offset_of!(IoMethods, later), offset_of!(ffi::sqlite3_io_methods, xShmMap)),
        ];
        assert!(vfs.into_iter().chain(methods).all(|(ours, theirs)| ours == theirs));
    }
}
