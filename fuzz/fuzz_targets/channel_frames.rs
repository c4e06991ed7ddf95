//! Fuzz target: see `craftec_fuzz::webrtc::channel_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| craftec_fuzz::webrtc::channel_frames(bytes));
