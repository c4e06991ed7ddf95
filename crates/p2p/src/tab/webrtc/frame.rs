//! The frames of the one-channel-per-stream wire: a varint length and a protobuf
//! `{ 1: flag, 2: bytes }`, at most 16 KiB together
//! (<https://github.com/libp2p/specs/blob/master/webrtc/README.md>). Never interprets a flag.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message as _;

use super::limits::MESSAGE_BYTES;

/// Data that fits one frame: two bytes of length, two of flag, and the field's tag and length.
pub(crate) const DATA_BYTES: usize = MESSAGE_BYTES - 2 - 2 - 3;

/// What a frame says about its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Flag {
    /// The sender sends no more.
    Fin = 0,
    /// The sender reads no more.
    StopSending = 1,
    /// The sender gave up the stream.
    Reset = 2,
    /// The sender received our `Fin` (newer than rust-libp2p's own list).
    FinAck = 3,
}

impl Flag {
    fn from_wire(value: i32) -> Option<Self> {
        [Self::Fin, Self::StopSending, Self::Reset, Self::FinAck]
            .into_iter()
            .find(|flag| *flag as i32 == value)
    }

    /// The frame that carries this flag alone.
    pub(crate) fn encode(self) -> Vec<u8> {
        Wire { flag: Some(self as i32), message: None }.encode_length_delimited_to_vec()
    }
}

/// A frame as received. A flag that nobody knows yet is left out, as protobuf asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it says.
    pub(crate) flag: Option<Flag>,
    /// What it carries.
    pub(crate) data: Bytes,
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Longer than allowed.
    #[error("a frame of more than {MESSAGE_BYTES} bytes")]
    TooLarge,
    /// Not the protobuf it should be.
    #[error("a malformed frame: {0}")]
    Malformed(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(int32, optional, tag = "1")]
    flag: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    message: Option<Bytes>,
}

/// The frame of the first bytes of `data`, and how many that were (at most [`DATA_BYTES`]).
pub(crate) fn encode_data(data: &[u8]) -> (Vec<u8>, usize) {
    let n = data.len().min(DATA_BYTES);
    let wire = Wire { flag: None, message: Some(Bytes::copy_from_slice(&data[..n])) };
    (wire.encode_length_delimited_to_vec(), n)
}

/// Takes frames out of the bytes of a channel, which may split or join them at will.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// Adds a message of the channel.
    pub(crate) fn push(&mut self, message: &[u8]) {
        self.buffer.extend_from_slice(message);
    }

    /// The next whole frame, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let (len, prefix) = match self.buffer.as_ref() {
            [a, ..] if a & 0x80 == 0 => (usize::from(*a), 1),
            [a, b, ..] if b & 0x80 == 0 => (usize::from(a & 0x7f) | usize::from(*b) << 7, 2),
            [_, _, ..] => return Err(FrameError::TooLarge),
            _ => return Ok(None),
        };
        if prefix + len > MESSAGE_BYTES {
            return Err(FrameError::TooLarge);
        }
        if self.buffer.len() < prefix + len {
            return Ok(None);
        }
        self.buffer.advance(prefix);
        let frame = self.buffer.split_to(len).freeze();
        let wire = Wire::decode(frame).map_err(|e| FrameError::Malformed(e.to_string()))?;
        let flag = wire.flag.and_then(Flag::from_wire);
        Ok(Some(Frame { flag, data: wire.message.unwrap_or_default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_frame_fits_one_message() {
        let (frame, n) = encode_data(&[9; 20_000]);
        assert_eq!(n, DATA_BYTES);
        assert!(frame.len() <= MESSAGE_BYTES, "{}", frame.len());
        let mut frames = Frames::default();
        frames.push(&frame);
        assert_eq!(frames.next().unwrap().unwrap().data.len(), DATA_BYTES);
    }

    #[test]
    fn known_flags_are_read_unknown_ones_left_out() {
        let mut frames = Frames::default();
        frames.push(&[2, 0x08, 3, 2, 0x08, 9, 0]);
        let flags: Vec<_> = std::iter::from_fn(|| frames.next().unwrap()).map(|f| f.flag).collect();
        assert_eq!(flags, [Some(Flag::FinAck), None, None]);
        assert_eq!(Flag::Reset.encode(), [2, 0x08, 2]);
    }

    #[test]
    fn a_frame_above_the_limit_is_refused() {
        for bytes in [&[0xff, 0xff][..], &[0x80, 0x80, 0x01]] {
            let mut frames = Frames::default();
            frames.push(bytes);
            assert_eq!(frames.next(), Err(FrameError::TooLarge));
        }
        let mut frames = Frames::default();
        frames.push(&[2, 0x12, 5]);
        assert!(matches!(frames.next(), Err(FrameError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_splitting_gives_the_same_bytes(
            data in prop::collection::vec(any::<u8>(), 0..40_000),
            cut in 1usize..5_000,
        ) {
            let (mut wire, mut rest) = (Vec::new(), data.as_slice());
            while !rest.is_empty() {
                let (frame, n) = encode_data(rest);
                wire.extend(frame);
                rest = &rest[n..];
            }
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for part in wire.chunks(cut) {
                frames.push(part);
                while let Some(frame) = frames.next().unwrap() {
                    got.extend_from_slice(&frame.data);
                }
            }
            prop_assert_eq!(got, data);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let mut frames = Frames::default();
            frames.push(&bytes);
            while let Ok(Some(_)) = frames.next() {}
        }
    }
}
