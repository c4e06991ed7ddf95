//! Where SQLite calls back into Rust: the only `unsafe` code of the crate, for files here and for the rest
//! in `vfs`.
//!
//! SQLite owns a [`Handle`] for each open file, in memory that it allocates and frees; the handle
//! owns an [`OpenFile`]. Everything that decides is in `file`, or in the [`Main`](crate::Main) behind it.
//! The registration lives as long as the process.
#![allow(unsafe_code, reason = "SQLite is C")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr, slice,
};

mod vfs;

use craftec_core::database::PAGE_BYTES;

use crate::{
    Fault, Open, Request,
    abi::{CFile, Host, IoMethods, Vfs, capability, code, control, open},
    file::{Answer, OpenFile},
};

/// Longest name of a file: a scheme, a DID and a name of 255 bytes, to which SQLite adds `-journal`.
const NAME_BYTES: c_int = 512;

/// What SQLite allocates for a file.
#[repr(C)]
struct Handle {
    /// SQLite's part; must come first.
    base: CFile,
    /// From `Box::into_raw`; null before `xOpen` succeeded and after `xClose`.
    file: *mut OpenFile,
    /// Behind the VFS that opened it.
    app: *const App,
}

/// What a VFS of ours is.
pub struct Registered {
    /// The name by which it is chosen.
    pub name: &'static CStr,
    /// How its main databases are opened.
    pub open: Open,
    /// What went wrong last, for `xGetLastError`.
    pub last_error: Option<fn() -> String>,
}

/// Behind a VFS.
struct App {
    /// The platform's VFS, which has its clock and its entropy.
    base: *mut Vfs,
    host: Host,
    ours: Registered,
}

/// Methods of every file. Version 1: no shared memory, so no WAL, and no memory mapping.
static METHODS: IoMethods = IoMethods {
    version: 1,
    close,
    read,
    write,
    truncate,
    sync,
    file_size,
    lock,
    unlock,
    check_reserved_lock,
    file_control,
    sector_size,
    device_characteristics,
    later: [None; 6],
};

/// Makes a VFS known to SQLite, for as long as the process lives. SQLite's own code is what it failed
/// with.
///
/// # Safety
///
/// The functions of `host` must be those of one SQLite, which is initialised and stays loaded.
pub unsafe fn register(host: Host, ours: Registered) -> Result<(), i32> {
    // SAFETY: the caller's. The name is static, and the structures are leaked, so they outlive every
    // use; the base VFS is never unregistered.
    let code = unsafe {
        let base = (host.vfs_find)(ptr::null());
        if base.is_null() {
            return Err(code::ERROR);
        }
        let name = ours.name.as_ptr();
        let app = Box::into_raw(Box::new(App { base, host, ours }));
        (host.vfs_register)(Box::into_raw(Box::new(described(name, app))), 0)
    };
    if code == code::OK { Ok(()) } else { Err(code) }
}

fn described(name: *const c_char, app: *mut App) -> Vfs {
    Vfs {
        version: 2,
        file_bytes: size_of::<Handle>() as c_int,
        path_bytes: NAME_BYTES,
        next: ptr::null_mut(),
        name,
        data: app.cast(),
        open: Some(open),
        delete: Some(vfs::delete),
        access: Some(vfs::access),
        full_pathname: Some(vfs::full_pathname),
        dl_open: Some(vfs::dl_open),
        dl_error: Some(vfs::dl_error),
        dl_sym: Some(vfs::dl_sym),
        dl_close: Some(vfs::dl_close),
        randomness: Some(vfs::randomness),
        sleep: Some(vfs::sleep),
        current_time: Some(vfs::current_time),
        last_error: Some(vfs::last_error),
        current_time_ms: Some(vfs::current_time_ms),
        later: [None; 3],
    }
}

/// What SQLite is told about a fault. Only `SQLITE_INTERRUPT` leaves a transaction as it was, so
/// that the statement can be run again when the page is there.
const fn told(fault: Fault, io: c_int) -> c_int {
    match fault {
        Fault::Miss => code::INTERRUPT,
        Fault::Full => code::FULL,
        Fault::ReadOnly => code::READONLY,
        Fault::Rotten => code::IOERR_CORRUPTFS,
        Fault::Busy => code::BUSY,
        Fault::Stale => code::BUSY_SNAPSHOT,
        Fault::CantOpen => code::CANTOPEN,
        Fault::Io => io,
    }
}

fn answer(result: Result<(), Fault>, io: c_int) -> c_int {
    result.map_or_else(|fault| told(fault, io), |()| code::OK)
}

/// What is behind a VFS of ours.
///
/// # Safety
///
/// `vfs` must be ours.
unsafe fn app<'v>(vfs: *mut Vfs) -> &'v App {
    // SAFETY: the caller's; `register` put it there, and it is never freed or written.
    unsafe { &*(*vfs).data.cast::<App>() }
}

/// The file behind a handle.
///
/// # Safety
///
/// `file` must come from SQLite and have been opened by [`open`]; no other reference may live.
unsafe fn file<'f>(file: *mut CFile) -> Option<&'f mut OpenFile> {
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
    handle: *mut CFile,
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
    vfs: *mut Vfs,
    name: *const c_char,
    file: *mut CFile,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let handle = file.cast::<Handle>();
    // SAFETY: SQLite gives memory for a handle. Null methods tell it not to close what failed to
    // open.
    unsafe {
        let base = CFile { methods: ptr::null() };
        handle.write(Handle { base, file: ptr::null_mut(), app: app(vfs) });
    }
    let opened = if flags & open::MAIN_DB != 0 {
        // SAFETY: the VFS is ours, and the name of a main database SQLite's.
        unsafe { open_main(vfs, name, flags) }
    } else {
        Ok(OpenFile::Flat(Vec::new()))
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(fault) => return told(fault, code::CANTOPEN),
    };
    let mut granted = flags;
    if opened.is_immutable() {
        granted &= !(open::READWRITE | open::CREATE);
        granted |= open::READONLY;
    }
    // SAFETY: as above; `out_flags` is null or a number of SQLite's.
    unsafe {
        (*handle).file = Box::into_raw(Box::new(opened));
        (*handle).base.methods = &METHODS;
        if let Some(out_flags) = out_flags.as_mut() {
            *out_flags = granted;
        }
    }
    code::OK
}

/// # Safety
///
/// `vfs` must be ours; `name` must be null or come from SQLite for a main database, so that it may be
/// asked for parameters.
unsafe fn open_main(vfs: *mut Vfs, name: *const c_char, flags: c_int) -> Result<OpenFile, Fault> {
    // SAFETY: the caller's.
    let (app, text_of) = unsafe { (app(vfs), text(name)) };
    let parameter = |key: &CStr| {
        let ask = app.host.uri_parameter?;
        // SAFETY: the caller's; what it gives lives as long as the name.
        unsafe { text(ask(name, key.as_ptr())) }
    };
    let request =
        Request { name: text_of, may_create: flags & open::CREATE != 0, parameter: &parameter };
    (app.ours.open)(&request).map(OpenFile::Main)
}

unsafe extern "C" fn close(handle: *mut CFile) -> c_int {
    // SAFETY: SQLite closes what was opened, once; the pointer came from a box.
    unsafe {
        let handle = handle.cast::<Handle>();
        let file = ptr::replace(&raw mut (*handle).file, ptr::null_mut());
        if !file.is_null() {
            drop(Box::from_raw(file));
        }
    }
    code::OK
}

unsafe extern "C" fn read(
    handle: *mut CFile,
    out: *mut c_void,
    count: c_int,
    offset: i64,
) -> c_int {
    let (Ok(count), Ok(offset)) = (usize::try_from(count), u64::try_from(offset)) else {
        return code::IOERR_READ;
    };
    // SAFETY: SQLite's buffer has `count` bytes, all written before, and is its own.
    let (out, file) = unsafe { (slice::from_raw_parts_mut(out.cast::<u8>(), count), file(handle)) };
    let Some(file) = file else { return code::IOERR_READ };
    match file.read(out, offset) {
        Ok(done) if done == count => code::OK,
        Ok(done) => {
            out[done..].fill(0);
            code::IOERR_SHORT_READ
        }
        Err(fault) => told(fault, code::IOERR_READ),
    }
}

unsafe extern "C" fn write(
    handle: *mut CFile,
    bytes: *const c_void,
    count: c_int,
    offset: i64,
) -> c_int {
    let (Ok(count), Ok(offset)) = (usize::try_from(count), u64::try_from(offset)) else {
        return code::IOERR_WRITE;
    };
    // SAFETY: SQLite's buffer has `count` bytes and does not change meanwhile.
    unsafe {
        let bytes = slice::from_raw_parts(bytes.cast::<u8>(), count);
        on(handle, code::IOERR_WRITE, |file| file.write(bytes, offset))
    }
}

unsafe extern "C" fn truncate(handle: *mut CFile, bytes: i64) -> c_int {
    let Ok(bytes) = u64::try_from(bytes) else { return code::IOERR_TRUNCATE };
    // SAFETY: a file that SQLite has open.
    unsafe { on(handle, code::IOERR_TRUNCATE, |file| file.truncate(bytes)) }
}

unsafe extern "C" fn sync(handle: *mut CFile, _flags: c_int) -> c_int {
    // SAFETY: a file that SQLite has open.
    unsafe { on(handle, code::IOERR_FSYNC, OpenFile::commit) }
}

unsafe extern "C" fn file_size(handle: *mut CFile, out: *mut i64) -> c_int {
    // SAFETY: a file that SQLite has open, and a number of its own.
    unsafe {
        on(handle, code::IOERR_FSTAT, |file| {
            *out = file.bytes()? as i64;
            Ok(())
        })
    }
}

unsafe extern "C" fn lock(handle: *mut CFile, level: c_int) -> c_int {
    // SAFETY: a file that SQLite has open.
    unsafe { on(handle, code::IOERR_LOCK, |file| file.lock(level)) }
}

unsafe extern "C" fn unlock(handle: *mut CFile, level: c_int) -> c_int {
    // SAFETY: a file that SQLite has open.
    unsafe { on(handle, code::IOERR_UNLOCK, |file| file.unlock(level)) }
}

unsafe extern "C" fn check_reserved_lock(handle: *mut CFile, out: *mut c_int) -> c_int {
    // SAFETY: a file that SQLite has open, and a number of its own.
    unsafe {
        on(handle, code::IOERR_CHECKRESERVEDLOCK, |file| {
            *out = c_int::from(file.is_reserved());
            Ok(())
        })
    }
}

unsafe extern "C" fn file_control(handle: *mut CFile, op: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: a file that SQLite has open; the argument is what the operation is documented with.
    unsafe {
        let Some(file) = file(handle).filter(|file| file.is_main()) else {
            return code::NOTFOUND;
        };
        match op {
            control::PRAGMA => pragma(&*(*handle.cast::<Handle>()).app, file, argument.cast()),
            // What is written waits anyway until it is committed; after an error SQLite writes it
            // again and asks for a sync.
            control::BEGIN_ATOMIC_WRITE | control::ROLLBACK_ATOMIC_WRITE => code::OK,
            // The latter where `synchronous` is off and nothing else says that a commit is done.
            control::COMMIT_ATOMIC_WRITE | control::COMMIT_PHASETWO => {
                answer(file.commit(), code::IOERR_COMMIT_ATOMIC)
            }
            _ => code::NOTFOUND,
        }
    }
}

/// Answers a pragma: `parts` are a place for the answer, the name, and the value or null.
///
/// # Safety
///
/// `parts` must be the argument of `SQLITE_FCNTL_PRAGMA`.
unsafe fn pragma(app: &App, file: &OpenFile, parts: *mut *mut c_char) -> c_int {
    // SAFETY: the caller's; the answer is copied to memory that SQLite frees.
    unsafe {
        let (Some(name), value) = (text(*parts.add(1)), text(*parts.add(2))) else {
            return code::NOTFOUND;
        };
        match file.pragma(name, value) {
            Answer::Pass => code::NOTFOUND,
            Answer::Said("") => code::OK,
            Answer::Said(said) => {
                let copy = (app.host.malloc)(said.len() as c_int + 1).cast::<u8>();
                if copy.is_null() {
                    return code::NOMEM;
                }
                ptr::copy_nonoverlapping(said.as_ptr(), copy, said.len());
                copy.add(said.len()).write(0);
                *parts = copy.cast();
                code::OK
            }
        }
    }
}

unsafe extern "C" fn sector_size(_handle: *mut CFile) -> c_int {
    PAGE_BYTES as c_int
}

unsafe extern "C" fn device_characteristics(handle: *mut CFile) -> c_int {
    // SAFETY: a file that SQLite has open.
    match unsafe { file(handle) } {
        Some(file) if file.is_immutable() => capability::IMMUTABLE,
        Some(file) if file.is_main() => capability::BATCH_ATOMIC | capability::POWERSAFE_OVERWRITE,
        _ => 0,
    }
}
