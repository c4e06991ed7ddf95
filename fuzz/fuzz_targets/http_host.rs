//! Fuzz target: see `craftec_fuzz::relay::http_host`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::relay::http_host(bytes));
