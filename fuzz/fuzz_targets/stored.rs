//! Fuzz target: see `craftec_fuzz::objects::stored`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::objects::stored(bytes));
