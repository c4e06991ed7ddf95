//! What peers send to make a WebRTC connection, and on it, breaks nothing: the bodies of the fuzz
//! targets on random bytes and on damaged copies of real ones.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../../fuzz/src/webrtc.rs"]
mod bodies;

use proptest::{prelude::*, sample::Index};

/// An offer, an end of candidates, and three frames: data, data with a flag, a flag alone.
fn messages() -> Vec<Vec<u8>> {
    let offer = [&[0x08, 0x00, 0x12, 0x05][..], b"v=0\r\n"].concat();
    let end = vec![0x08, 0x02, 0x12, 0x00];
    let frames = [
        &[0x05, 0x12, 0x03][..],
        b"abc",
        &[0x07, 0x08, 0x00, 0x12, 0x03],
        b"xyz",
        &[0x02, 0x08, 0x02],
    ]
    .concat();
    vec![offer, end, frames]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::signal(&bytes);
        bodies::channel_frames(&bytes);
    }

    #[test]
    fn damaged_messages_break_nothing(
        which in any::<Index>(),
        damage in prop::collection::vec(any::<(Index, u8)>(), 0..4),
    ) {
        let messages = messages();
        let mut bytes = which.get(&messages).clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            if byte % 2 == 0 { bytes[at] ^= byte } else { bytes.insert(at, byte) }
        }
        bodies::signal(&bytes);
        bodies::channel_frames(&bytes);
    }
}
