//! Fuzz target: see `craftec_fuzz::objects::coded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::objects::coded(bytes));
