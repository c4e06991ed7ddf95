//! Length-prefixed frames on a byte stream: an unsigned varint with the body's length in bytes,
//! then the body.
//!
//! The length is checked against the caller's limit before anything is allocated, and memory grows
//! with the bytes that really arrived: a peer that promises much and sends little costs little.
//! This module never looks into a body and never waits for anything but the stream.

use std::{io, time::Duration};

use bytes::Bytes;
use craftec_core::PeerId;
use craftec_platform::{Clock, Elapsed, timeout};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::NetError;

/// Longest length prefix that we read: ten groups of seven bits hold any `u64`.
const PREFIX_BYTES: usize = 10;
/// Memory taken before the first byte of a body arrived.
const FIRST_CHUNK_BYTES: usize = 32 << 10;
/// Body bytes sent together with the prefix, so that a small frame is one write of the transport.
const JOINED_BYTES: usize = 16 << 10;

/// A stream did not carry a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame is longer than the reader allows.
    #[error("a frame of {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The announced length.
        bytes: u64,
        /// What the reader allows.
        limit: usize,
    },
    /// The length prefix is not a shortest-form unsigned varint.
    #[error("a frame with a broken length prefix")]
    Prefix,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, after {got} of {bytes} bytes")]
    Truncated {
        /// Bytes of the body that arrived.
        got: usize,
        /// The announced length.
        bytes: usize,
    },
    /// The transport failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl FrameError {
    /// The same as an error about `peer`: what it sent, or a lost connection.
    pub fn about(self, peer: PeerId) -> NetError {
        let reason = self.to_string();
        match self {
            Self::TooLarge { .. } | Self::Prefix => NetError::Protocol { peer, reason },
            Self::Truncated { .. } | Self::Io(_) => NetError::Lost { peer, reason },
        }
    }
}

/// Writes one frame and flushes it. `body` must not exceed what the reader allows.
pub async fn write_frame(io: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    let mut prefix = unsigned_varint::encode::usize_buffer();
    let prefix = unsigned_varint::encode::usize(body.len(), &mut prefix);
    let (head, rest) = body.split_at(body.len().min(JOINED_BYTES));
    let mut joined = Vec::with_capacity(prefix.len() + head.len());
    joined.extend_from_slice(prefix);
    joined.extend_from_slice(head);
    io.write_all(&joined).await?;
    io.write_all(rest).await?;
    io.flush().await
}

/// Reads one frame of at most `limit` bytes; `None` if the stream ended before its first byte.
pub async fn read_frame(
    io: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<Bytes>, FrameError> {
    match read_length(io, limit).await? {
        Some(bytes) => read_body(io, bytes).await.map(Some),
        None => Ok(None),
    }
}

/// Reads a frame's length prefix; `None` if the stream ended before its first byte.
pub(crate) async fn read_length(
    io: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<usize>, FrameError> {
    let mut prefix = [0; PREFIX_BYTES];
    for at in 0..PREFIX_BYTES {
        if io.read(&mut prefix[at..=at]).await? == 0 {
            return if at == 0 { Ok(None) } else { Err(FrameError::Prefix) };
        }
        if prefix[at] & 0x80 == 0 {
            let bytes =
                unsigned_varint::decode::u64(&prefix[..=at]).map_err(|_| FrameError::Prefix)?.0;
            return match usize::try_from(bytes) {
                Ok(bytes) if bytes <= limit => Ok(Some(bytes)),
                _ => Err(FrameError::TooLarge { bytes, limit }),
            };
        }
    }
    Err(FrameError::Prefix)
}

/// How much a body that is so long already may grow at once: eightfold, so that a frame of the
/// largest size moves three times while it arrives, and a peer holds no more than eight times what
/// it sent.
const fn step(got: usize) -> usize {
    if got < FIRST_CHUNK_BYTES { FIRST_CHUNK_BYTES } else { got.saturating_mul(7) }
}

/// Reads the body of a frame whose length is known and allowed.
pub(crate) async fn read_body(
    io: &mut (impl AsyncRead + Unpin),
    bytes: usize,
) -> Result<Bytes, FrameError> {
    let mut body = Vec::new();
    let mut got = 0;
    while got < bytes {
        if got == body.len() {
            let grow = step(got).min(bytes - got);
            body.reserve_exact(grow);
            body.resize(got + grow, 0);
        }
        match io.read(&mut body[got..]).await? {
            0 => return Err(FrameError::Truncated { got, bytes }),
            more => got += more,
        }
    }
    Ok(body.into())
}

/// Bytes that the other side must move in the time given for a piece: with a minute that is 1 KiB/s,
/// slower than any link that is of use.
const PIECE_BYTES: usize = 64 << 10;

/// A frame was not moved at the least pace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PaceError {
    /// One piece took too long.
    #[error("too slow")]
    Slow,
    /// The stream broke.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl From<Elapsed> for PaceError {
    fn from(_: Elapsed) -> Self {
        Self::Slow
    }
}

/// Like [`write_frame`]; the reader may take `limit` for each piece, so that a slow link is given the
/// time that it needs and one that stands still is not.
pub(crate) async fn write_paced(
    io: &mut (impl AsyncWrite + Unpin),
    body: &[u8],
    clock: &dyn Clock,
    limit: Duration,
) -> Result<(), PaceError> {
    let (head, rest) = body.split_at(body.len().min(JOINED_BYTES));
    let mut prefix = unsigned_varint::encode::usize_buffer();
    let mut joined = unsigned_varint::encode::usize(body.len(), &mut prefix).to_vec();
    joined.extend_from_slice(head);
    for piece in std::iter::once(&joined[..]).chain(rest.chunks(PIECE_BYTES)) {
        timeout(clock, limit, io.write_all(piece)).await?.map_err(FrameError::from)?;
    }
    timeout(clock, limit, io.flush()).await?.map_err(FrameError::from)?;
    Ok(())
}

/// Like [`read_body`]; the writer may take `limit` for each piece.
pub(crate) async fn read_paced(
    io: &mut (impl AsyncRead + Unpin),
    bytes: usize,
    clock: &dyn Clock,
    limit: Duration,
) -> Result<Bytes, PaceError> {
    let mut body = Vec::new();
    while body.len() < bytes {
        // As large as what came before: a peer that promises much and sends little costs little.
        let piece = body.len().clamp(FIRST_CHUNK_BYTES, PIECE_BYTES).min(bytes - body.len());
        let got = body.len();
        if body.capacity() - got < piece {
            body.reserve_exact(step(got).max(piece).min(bytes - got));
        }
        body.resize(got + piece, 0);
        let reading = timeout(clock, limit, io.read_exact(&mut body[got..])).await?;
        reading.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FrameError::Truncated { got, bytes },
            _ => FrameError::Io(error),
        })?;
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, io::Cursor};
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], limit: usize) -> Result<Option<Bytes>, FrameError> {
        block_on(read_frame(&mut Cursor::new(bytes), limit))
    }

    #[test]
    fn frames_round_trip_at_the_edges() {
        for len in [0, 1, 127, 128, JOINED_BYTES, JOINED_BYTES + 1, FIRST_CHUNK_BYTES * 5 + 3] {
            let body: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut out = Vec::new();
            block_on(write_frame(&mut out, &body)).unwrap();
            assert_eq!(read(&out, len).unwrap().unwrap(), body);
            if len > 0 {
                assert!(matches!(read(&out, len - 1), Err(FrameError::TooLarge { .. })));
                let cut = read(&out[..out.len() - 1], len);
                assert!(matches!(cut, Err(FrameError::Truncated { got, .. }) if got == len - 1));
            }
        }
        assert!(read(&[], 10).unwrap().is_none());
    }

    #[test]
    fn a_promised_length_allocates_nothing_by_itself() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(matches!(read(&huge, 1 << 20), Err(FrameError::TooLarge { bytes: u64::MAX, .. })));
        assert!(matches!(read(&[0x80; 11], 1 << 20), Err(FrameError::Prefix)));
        assert!(matches!(read(&[0x81, 0x00], 1 << 20), Err(FrameError::Prefix)));
        assert!(matches!(read(&[0x80], 1 << 20), Err(FrameError::Prefix)));
    }

    proptest! {
        #[test]
        fn any_bytes_give_frames_or_a_typed_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..4096),
            limit in 0usize..2048,
        ) {
            block_on(async {
                let mut io = Cursor::new(&bytes);
                // Every frame takes at least one byte, so this ends.
                while let Ok(Some(frame)) = read_frame(&mut io, limit).await {
                    assert!(frame.len() <= limit);
                }
            });
        }

        #[test]
        fn what_was_written_is_read(
            bodies in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..40_000), 0..6),
        ) {
            block_on(async {
                let mut out = Vec::new();
                for body in &bodies {
                    write_frame(&mut out, body).await.unwrap();
                }
                let mut io = Cursor::new(&out);
                for body in &bodies {
                    assert_eq!(&read_frame(&mut io, 40_000).await.unwrap().unwrap(), body);
                }
                assert!(read_frame(&mut io, 40_000).await.unwrap().is_none());
            });
        }
    }
}
