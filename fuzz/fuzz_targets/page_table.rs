//! Fuzz target: see `craftec_fuzz::sql::page_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::sql::page_table(bytes));
