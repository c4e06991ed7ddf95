//! Fuzz target: see `craftec_fuzz::sql::sql_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::sql::sql_log(bytes));
