//! Fuzz target: see `craftec_fuzz::signed::receipt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::signed::receipt(bytes));
