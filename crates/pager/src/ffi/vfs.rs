//! What SQLite asks of a VFS besides opening files: names, which mean nothing here, and what the platform's
//! VFS answers, to which it is passed on.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use super::app;
use crate::abi::{Vfs, code};

pub(super) unsafe extern "C" fn delete(
    _vfs: *mut Vfs,
    _name: *const c_char,
    _sync: c_int,
) -> c_int {
    // Only journals are ever deleted, and there are none.
    code::OK
}

pub(super) unsafe extern "C" fn access(
    _vfs: *mut Vfs,
    _name: *const c_char,
    _flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: a number of SQLite's. It looks for journals and WALs, which are never there.
    unsafe { *out = 0 };
    code::OK
}

pub(super) unsafe extern "C" fn full_pathname(
    _vfs: *mut Vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a string, and `room` bytes for a copy of it.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if usize::try_from(room).is_ok_and(|room| name.len() > room) {
            return code::CANTOPEN;
        }
        ptr::copy_nonoverlapping(name.as_ptr(), out.cast(), name.len());
    }
    code::OK
}

/// The platform's VFS.
///
/// # Safety
///
/// `vfs` must be ours.
unsafe fn base(vfs: *mut Vfs) -> *mut Vfs {
    // SAFETY: the caller's.
    unsafe { app(vfs).base }
}

pub(super) unsafe extern "C" fn last_error(vfs: *mut Vfs, room: c_int, out: *mut c_char) -> c_int {
    let Ok(room) = usize::try_from(room) else { return 0 };
    // SAFETY: the VFS is ours; `room` bytes for a copy.
    unsafe {
        let said = app(vfs).ours.last_error.map(|last| last()).unwrap_or_default();
        if room > 0 && !out.is_null() {
            let said = &said.as_bytes()[..said.len().min(room - 1)];
            ptr::copy_nonoverlapping(said.as_ptr(), out.cast(), said.len());
            out.add(said.len()).write(0);
        }
    }
    0
}

pub(super) unsafe extern "C" fn dl_open(vfs: *mut Vfs, name: *const c_char) -> *mut c_void {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).dl_open.map_or(ptr::null_mut(), |dl_open| dl_open(base, name))
    }
}

pub(super) unsafe extern "C" fn dl_error(vfs: *mut Vfs, room: c_int, out: *mut c_char) {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        if let Some(dl_error) = (*base).dl_error {
            dl_error(base, room, out);
        }
    }
}

pub(super) unsafe extern "C" fn dl_sym(
    vfs: *mut Vfs,
    library: *mut c_void,
    name: *const c_char,
) -> Option<unsafe extern "C" fn()> {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).dl_sym.and_then(|dl_sym| dl_sym(base, library, name))
    }
}

pub(super) unsafe extern "C" fn dl_close(vfs: *mut Vfs, library: *mut c_void) {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        if let Some(dl_close) = (*base).dl_close {
            dl_close(base, library);
        }
    }
}

pub(super) unsafe extern "C" fn randomness(vfs: *mut Vfs, count: c_int, out: *mut c_char) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).randomness.map_or(0, |randomness| randomness(base, count, out))
    }
}

pub(super) unsafe extern "C" fn sleep(vfs: *mut Vfs, micros: c_int) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).sleep.map_or(0, |sleep| sleep(base, micros))
    }
}

pub(super) unsafe extern "C" fn current_time(vfs: *mut Vfs, out: *mut f64) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).current_time.map_or(code::ERROR, |time| time(base, out))
    }
}

pub(super) unsafe extern "C" fn current_time_ms(vfs: *mut Vfs, out: *mut i64) -> c_int {
    // SAFETY: passed on as it came.
    unsafe {
        let base = base(vfs);
        (*base).current_time_ms.map_or(code::ERROR, |time| time(base, out))
    }
}
