//! Fuzz target: see `craftec_fuzz::endpoint::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::endpoint::session(bytes));
