//! Fuzz target: see `craftec_fuzz::api::api_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::api::api_frame(bytes));
