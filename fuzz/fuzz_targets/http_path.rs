//! Fuzz target: see `craftec_fuzz::relay::http_path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::relay::http_path(bytes));
