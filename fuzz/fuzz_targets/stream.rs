//! Fuzz target: see `craftec_fuzz::endpoint::stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::endpoint::stream(bytes));
