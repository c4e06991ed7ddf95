//! Fuzz target: see `craftec_fuzz::coding::pieces`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::coding::pieces(bytes));
