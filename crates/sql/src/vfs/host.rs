//! What SQLite asks of its host where there is no operating system: time and random bytes.
//!
//! The names are those that `sqlite-wasm-rs` leaves to be linked (its own versions want a newer
//! `wasm-bindgen` than libp2p allows). Natively nothing calls them.
#![allow(unsafe_code, reason = "SQLite is C")]

use std::slice;

use web_time::{SystemTime, UNIX_EPOCH};

/// Done.
const OK: i32 = 0;
/// There is no such thing here.
const UNSUPPORTED: i32 = 1;
/// It failed.
const UNAVAILABLE: i32 = 2;

/// Waiting would stop the node: whoever finds a lock taken tries again later.
#[unsafe(no_mangle)]
extern "C" fn rust_sqlite_wasm_host_sleep(_seconds: u64, _nanoseconds: u32) {}

/// Random bytes; how many.
///
/// # Safety
///
/// `buf` must have `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn rust_sqlite_wasm_host_random(buf: *mut u8, len: usize) -> usize {
    // SAFETY: the caller's.
    if unsafe { rust_sqlite_wasm_host_fill_entropy(buf, len) } == OK { len } else { 0 }
}

/// Random bytes that nobody can foresee.
///
/// # Safety
///
/// `buf` must have `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn rust_sqlite_wasm_host_fill_entropy(buf: *mut u8, len: usize) -> i32 {
    if buf.is_null() || len == 0 {
        return OK;
    }
    // SAFETY: the caller's; they are written before they are read.
    let buf = unsafe {
        buf.write_bytes(0, len);
        slice::from_raw_parts_mut(buf, len)
    };
    if getrandom::fill(buf).is_ok() { OK } else { UNAVAILABLE }
}

/// Milliseconds since 1970.
///
/// # Safety
///
/// `out` must be null or a number.
#[unsafe(no_mangle)]
unsafe extern "C" fn rust_sqlite_wasm_host_epoch_timestamp_in_ms(out: *mut i64) -> i32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_millis() as i64);
    // SAFETY: the caller's.
    match (now, unsafe { out.as_mut() }) {
        (Ok(now), Some(out)) => {
            *out = now;
            OK
        }
        _ => UNAVAILABLE,
    }
}

/// A node has no time zone: what is written must mean the same elsewhere.
#[unsafe(no_mangle)]
extern "C" fn rust_sqlite_wasm_host_localtime(_unix_seconds: i64, _out: *mut u8) -> i32 {
    UNSUPPORTED
}
