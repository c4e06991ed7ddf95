//! Where SQLite and this library meet: the entry point, the functions of the SQLite that has loaded it,
//! and `craft_error()`. The only `unsafe` code of the crate; files are `craftec-pager`'s.
#![allow(unsafe_code, reason = "SQLite is C")]

use std::{
    ffi::{CStr, CString, OsStr, c_char, c_int, c_void},
    mem::transmute,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    ptr,
    sync::OnceLock,
};

use craftec_pager::{Host, Registered};

use crate::{remote, said};

/// Name of the VFS.
const VFS_NAME: &CStr = c"craft";
/// The SQL function that says what went wrong last.
const FUNCTION: &CStr = c"craft_error";
/// The oldest SQLite that keeps an extension loaded when it asks for that: 3.14.0.
const OLDEST: c_int = 3_014_000;

const ERROR: c_int = 1;
const OK_LOAD_PERMANENTLY: c_int = 256;
/// Text in UTF-8, of a function that may not be called from a schema.
const UTF8_DIRECT_ONLY: c_int = 1 | 0x0008_0000;

/// `sqlite3_api_routines`: a table of functions that is only ever appended to, so that a newer SQLite's is
/// longer. Source: `sqlite3ext.h`.
#[repr(C)]
pub(crate) struct Routines {
    first: Option<unsafe extern "C" fn()>,
}

/// Places of functions in [`Routines`].
mod at {
    pub(super) const LIBVERSION_NUMBER: usize = 67;
    pub(super) const MALLOC: usize = 68;
    pub(super) const RESULT_NULL: usize = 84;
    pub(super) const RESULT_TEXT: usize = 85;
    pub(super) const VFS_FIND: usize = 141;
    pub(super) const VFS_REGISTER: usize = 142;
    pub(super) const CREATE_FUNCTION_V2: usize = 162;
    pub(super) const LOG: usize = 167;
    pub(super) const URI_PARAMETER: usize = 189;
    pub(super) const AUTO_EXTENSION: usize = 192;
}

type OnCall = unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_void);
type Entry = unsafe extern "C" fn(*mut c_void, *mut *mut c_char, *const Routines) -> c_int;

/// Functions of the host.
#[derive(Clone, Copy)]
struct Api {
    files: Host,
    version: unsafe extern "C" fn() -> c_int,
    log: unsafe extern "C" fn(c_int, *const c_char, ...),
    result_null: unsafe extern "C" fn(*mut c_void),
    result_text: unsafe extern "C" fn(*mut c_void, *const c_char, c_int, *const c_void),
    #[allow(clippy::type_complexity, reason = "as SQLite has it")]
    create_function: unsafe extern "C" fn(
        *mut c_void,
        *const c_char,
        c_int,
        c_int,
        *mut c_void,
        Option<OnCall>,
        *const c_void,
        *const c_void,
        *const c_void,
    ) -> c_int,
    auto_extension: unsafe extern "C" fn(Entry) -> c_int,
}

/// The host. One: its functions are called from places that can't say which SQLite calls.
static API: OnceLock<Api> = OnceLock::new();

/// One of the host's functions.
///
/// # Safety
///
/// `routines` must be what SQLite gave to the entry point, and as long as that.
unsafe fn function(routines: *const Routines, place: usize) -> Option<unsafe extern "C" fn()> {
    // SAFETY: the caller's. The table may end behind it: only this place is looked at.
    unsafe { routines.cast::<Option<unsafe extern "C" fn()>>().add(place).read() }
}

impl Api {
    /// The functions of a host; `None` where it is too old to have them.
    ///
    /// # Safety
    ///
    /// `routines` must be what SQLite gave to the entry point.
    #[expect(clippy::missing_transmute_annotations, reason = "each field has its function's type")]
    unsafe fn of(routines: *const Routines) -> Option<Self> {
        // SAFETY: the caller's. The version is asked for first, by a function that is older than any
        // that can load extensions; a new enough table is long enough. Each function has its type in
        // `sqlite3ext.h`, which never changes.
        unsafe {
            let function = |place| function(routines, place);
            let version: unsafe extern "C" fn() -> c_int =
                transmute(function(at::LIBVERSION_NUMBER)?);
            if version() < OLDEST {
                return None;
            }
            Some(Self {
                files: Host {
                    vfs_find: transmute(function(at::VFS_FIND)?),
                    vfs_register: transmute(function(at::VFS_REGISTER)?),
                    malloc: transmute(function(at::MALLOC)?),
                    uri_parameter: transmute(function(at::URI_PARAMETER)),
                },
                version,
                log: transmute(function(at::LOG)?),
                result_null: transmute(function(at::RESULT_NULL)?),
                result_text: transmute(function(at::RESULT_TEXT)?),
                create_function: transmute(function(at::CREATE_FUNCTION_V2)?),
                auto_extension: transmute(function(at::AUTO_EXTENSION)?),
            })
        }
    }

    /// Makes the VFS known, once, and the function to `db`.
    ///
    /// # Safety
    ///
    /// `db` must be a connection of this host.
    unsafe fn install(&'static self, db: *mut c_void) -> c_int {
        static INSTALLED: OnceLock<c_int> = OnceLock::new();
        let code = *INSTALLED.get_or_init(|| {
            let ours =
                Registered { name: VFS_NAME, open: remote::open, last_error: Some(said::last) };
            // SAFETY: functions of one SQLite, which has run its initialisation. What it calls stays:
            // it is asked never to unload this library.
            unsafe {
                let registered = craftec_pager::register(self.files, ours);
                registered.err().unwrap_or_else(|| (self.auto_extension)(on_connection))
            }
        });
        if code != 0 {
            return code;
        }
        let none = ptr::null();
        // SAFETY: the caller's; the name is static.
        unsafe {
            (self.create_function)(
                db,
                FUNCTION.as_ptr(),
                0,
                UTF8_DIRECT_ONLY,
                ptr::null_mut(),
                Some(craft_error),
                none,
                none,
                none,
            )
        }
    }
}

/// Leaves a reason for SQLite, which frees it.
///
/// # Safety
///
/// As for [`Api::of`]; `error` must be null or a place for a text.
unsafe fn refuse(routines: *const Routines, error: *mut *mut c_char, reason: &CStr) -> c_int {
    // SAFETY: the caller's; every SQLite that loads extensions has this function.
    unsafe {
        let malloc: Option<unsafe extern "C" fn(c_int) -> *mut c_void> =
            transmute(function(routines, at::MALLOC));
        let bytes = reason.to_bytes_with_nul();
        if let (Some(malloc), Some(error)) = (malloc, error.as_mut()) {
            let copy = malloc(bytes.len() as c_int).cast::<u8>();
            if !copy.is_null() {
                ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
                *error = copy.cast();
            }
        }
    }
    ERROR
}

/// What SQLite calls when it loads the library.
///
/// # Safety
///
/// SQLite's: the pointers are what its documentation says.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sqlite3_craftsql_init(
    db: *mut c_void,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: SQLite's.
    unsafe {
        let Some(api) = Api::of(routines) else {
            return refuse(routines, error, c"craftsql needs SQLite 3.14 or newer");
        };
        let first = API.get_or_init(|| api);
        if first.version as usize != api.version as usize {
            let reason = c"craftsql is in use by another SQLite of this process";
            return refuse(routines, error, reason);
        }
        match first.install(db) {
            0 => OK_LOAD_PERMANENTLY,
            code => code,
        }
    }
}

/// What SQLite calls for every connection that is opened later: it gets the function too.
unsafe extern "C" fn on_connection(
    db: *mut c_void,
    error: *mut *mut c_char,
    routines: *const Routines,
) -> c_int {
    // SAFETY: SQLite's.
    match unsafe { sqlite3_craftsql_init(db, error, routines) } {
        OK_LOAD_PERMANENTLY => 0,
        code => code,
    }
}

/// `craft_error()`: what went wrong last in this process, or null.
unsafe extern "C" fn craft_error(context: *mut c_void, _: c_int, _: *mut *mut c_void) {
    let said = said::last();
    // Copied by SQLite before the call returns.
    let transient = usize::MAX as *const c_void;
    let Some(api) = API.get() else { return };
    // SAFETY: SQLite's context; the text is valid for the call.
    unsafe {
        match c_int::try_from(said.len()) {
            Ok(bytes) if bytes > 0 => {
                (api.result_text)(context, said.as_ptr().cast(), bytes, transient);
            }
            _ => (api.result_null)(context),
        }
    }
}

/// Writes into the host's log.
pub(crate) fn log(code: i32, text: &str) {
    let (Some(api), Ok(text)) = (API.get(), CString::new(text)) else { return };
    // SAFETY: a format with one text, and a text.
    unsafe { (api.log)(code, c"craftsql: %s".as_ptr(), text.as_ptr()) }
}

/// Where this library was loaded from.
pub(crate) fn library() -> Option<PathBuf> {
    // SAFETY: an address of ours and a structure that is filled; the name belongs to the loader, which
    // never unloads this library.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(log as *const c_void, &raw mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        let name = CStr::from_ptr(info.dli_fname).to_bytes();
        Some(PathBuf::from(OsStr::from_bytes(name)))
    }
}
