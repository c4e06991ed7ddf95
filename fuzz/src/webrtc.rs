//! What a peer sends while a WebRTC connection is made, and on a data channel. The modules are
//! `craftec-p2p`'s own sources, since it shows nothing of them.
#![allow(unreachable_pub, reason = "tests of the main workspace include this file as a module")]
#![allow(dead_code, unused_imports, reason = "the transport uses more of these modules")]

#[path = "../../crates/p2p/src/tab/webrtc/frame.rs"]
mod frame;
#[path = "../../crates/p2p/src/tab/webrtc/limits.rs"]
mod limits;
#[path = "../../crates/p2p/src/tab/webrtc/signaling.rs"]
mod signaling;

use signaling::Signal;

/// A signaling message: what decodes says the same when it is sent on.
pub fn signal(bytes: &[u8]) {
    match Signal::decode(bytes) {
        Ok(signal) => {
            if let Ok(encoded) = signal.encode() {
                let (length, body) = encoded.split_at(encoded.len() - body_bytes(&encoded));
                assert!(length.len() <= 3);
                assert_eq!(Signal::decode(body), Ok(signal));
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Bytes behind the length prefix.
fn body_bytes(encoded: &[u8]) -> usize {
    let prefix = encoded.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    encoded.len() - prefix.min(encoded.len())
}

/// Bytes of a data channel, in messages cut anywhere: frames within their limit, or an error; and
/// the same however they are cut.
pub fn channel_frames(bytes: &[u8]) {
    let read = |step: usize| {
        let mut frames = frame::Frames::default();
        let mut seen = Vec::new();
        for message in bytes.chunks(step) {
            frames.push(message);
            loop {
                match frames.next() {
                    Ok(Some(frame)) => {
                        assert!(frame.data.len() <= limits::MESSAGE_BYTES);
                        seen.push(frame);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        drop(error.to_string());
                        return (seen, true);
                    }
                }
            }
        }
        (seen, false)
    };
    assert_eq!(read(bytes.len().max(1)), read(7));
}
