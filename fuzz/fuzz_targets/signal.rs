//! Fuzz target: see `craftec_fuzz::webrtc::signal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::webrtc::signal(bytes));
