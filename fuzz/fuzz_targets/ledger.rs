//! Fuzz target: see `craftec_fuzz::objects::ledger`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::objects::ledger(bytes));
