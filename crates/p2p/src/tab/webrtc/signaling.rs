//! The signaling codec: SDP and ICE candidates over a stream of an authenticated connection.
//!
//! Each message is a varint length (unsigned LEB128, at most [`SIGNAL_BYTES`]) and a protobuf
//! `{ 1: type (0 offer, 1 answer, 2 candidate), 2: string }`, as the libp2p WebRTC specification
//! says (<https://github.com/libp2p/specs/blob/master/webrtc/webrtc.md>). Never looks into SDP: the
//! browser does.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use prost::Message as _;

use super::limits::{CANDIDATES, SIGNAL_BYTES};

/// One step of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The dialer's session description.
    Offer(String),
    /// The listener's.
    Answer(String),
    /// `RTCIceCandidate.toJSON()`; empty or `null` when there will be no more.
    Candidate(String),
}

/// Why bytes are not a signaling message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignalError {
    /// Longer than allowed.
    #[error("a signaling message of {0} bytes; at most {SIGNAL_BYTES} are taken")]
    TooLarge(usize),
    /// The length prefix is not a varint of at most three bytes.
    #[error("the length of a signaling message is malformed")]
    Length,
    /// Not the protobuf it should be.
    #[error("a malformed signaling message: {0}")]
    Malformed(String),
    /// A type we do not know.
    #[error("a signaling message of unknown type {0}")]
    Type(i32),
    /// Out of order.
    #[error("expected {expected}, the peer sent {got}")]
    Unexpected {
        /// What the handshake needs now.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
    /// More candidates than any machine has.
    #[error("more than {CANDIDATES} candidates")]
    Candidates,
}

impl From<SignalError> for io::Error {
    fn from(e: SignalError) -> Self {
        Self::new(io::ErrorKind::InvalidData, e)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(int32, optional, tag = "1")]
    kind: Option<i32>,
    #[prost(string, optional, tag = "2")]
    data: Option<String>,
}

impl Signal {
    /// What kind of message this is, for errors.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Offer(_) => "an offer",
            Self::Answer(_) => "an answer",
            Self::Candidate(_) => "a candidate",
        }
    }

    /// The message with its length prefix.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, SignalError> {
        let (kind, data) = match self {
            Self::Offer(data) => (0, data),
            Self::Answer(data) => (1, data),
            Self::Candidate(data) => (2, data),
        };
        let wire = Wire { kind: Some(kind), data: Some(data.clone()) };
        match wire.encoded_len() {
            n if n > SIGNAL_BYTES => Err(SignalError::TooLarge(n)),
            _ => Ok(wire.encode_length_delimited_to_vec()),
        }
    }

    /// Reads a message without its length prefix.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SignalError> {
        if bytes.len() > SIGNAL_BYTES {
            return Err(SignalError::TooLarge(bytes.len()));
        }
        let wire = Wire::decode(bytes).map_err(|e| SignalError::Malformed(e.to_string()))?;
        let data = wire.data.unwrap_or_default();
        match wire.kind.unwrap_or_default() {
            0 => Ok(Self::Offer(data)),
            1 => Ok(Self::Answer(data)),
            2 => Ok(Self::Candidate(data)),
            other => Err(SignalError::Type(other)),
        }
    }

    /// Whether this candidate says that no more will come (an empty string, JSON `""` or `null`).
    pub(crate) fn is_end_of_candidates(data: &str) -> bool {
        matches!(data.trim(), "" | "null" | "\"\"")
    }
}

/// Sends one message.
pub(crate) async fn write_signal<W>(stream: &mut W, signal: &Signal) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    stream.write_all(&signal.encode()?).await?;
    stream.flush().await
}

/// The receiving half of a handshake: one message at a time, counted.
pub(crate) struct Signals<R> {
    stream: R,
    candidates: usize,
}

impl<R: AsyncRead + Unpin> Signals<R> {
    /// Reads from `stream`.
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, candidates: 0 }
    }

    /// The next message; refuses more than [`CANDIDATES`] candidates.
    pub(crate) async fn next(&mut self) -> io::Result<Signal> {
        let len = self.length().await?;
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).await?;
        let signal = Signal::decode(&bytes)?;
        if let Signal::Candidate(_) = signal {
            self.candidates += 1;
            if self.candidates > CANDIDATES {
                return Err(SignalError::Candidates.into());
            }
        }
        Ok(signal)
    }

    /// The next message, which must be an offer.
    pub(crate) async fn offer(&mut self) -> io::Result<String> {
        match self.next().await? {
            Signal::Offer(sdp) => Ok(sdp),
            other => Err(unexpected("an offer", &other)),
        }
    }

    /// The next message, which must be an answer.
    pub(crate) async fn answer(&mut self) -> io::Result<String> {
        match self.next().await? {
            Signal::Answer(sdp) => Ok(sdp),
            other => Err(unexpected("an answer", &other)),
        }
    }

    async fn length(&mut self) -> io::Result<usize> {
        let mut len = 0;
        // Three groups of seven bits hold far more than the largest message.
        for shift in [0, 7, 14] {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).await?;
            len |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return match len {
                    n if n > SIGNAL_BYTES => Err(SignalError::TooLarge(n).into()),
                    n => Ok(n),
                };
            }
        }
        Err(SignalError::Length.into())
    }
}

fn unexpected(expected: &'static str, got: &Signal) -> io::Error {
    SignalError::Unexpected { expected, got: got.name() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{executor::block_on, io::Cursor};
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> io::Result<Signal> {
        block_on(Signals::new(Cursor::new(bytes)).next())
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        let bytes = Signal::Answer("ab".into()).encode().unwrap();
        assert_eq!(bytes, [6, 0x08, 1, 0x12, 2, b'a', b'b']);
        // Fields in another order, an unknown field, and a missing type (protobuf's default: 0).
        assert_eq!(read(&[6, 0x12, 2, b'a', b'b', 0x08, 1]).unwrap(), Signal::Answer("ab".into()));
        assert_eq!(read(&[6, 0x18, 9, 0x12, 2, b'a', b'b']).unwrap(), Signal::Offer("ab".into()));
    }

    #[test]
    fn what_is_too_large_unknown_or_cut_off_is_refused() {
        let too_large = Signal::Offer("x".repeat(SIGNAL_BYTES)).encode();
        assert!(matches!(too_large, Err(SignalError::TooLarge(_))), "{too_large:?}");
        let error = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(error(&[0xff, 0xff, 0x7f]).contains("at most 16384"));
        assert!(error(&[0xff, 0xff, 0xff, 0x01]).contains("malformed"));
        assert!(error(&[4, 0x08, 7, 0x12, 0]).contains("unknown type 7"));
        assert!(error(&[4, 0x12, 2, 0xff, 0xfe]).contains("malformed"));
        assert_eq!(read(&[6, 0x08, 1]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn candidates_are_counted_and_the_order_is_checked() {
        let candidate = Signal::Candidate("{}".into()).encode().unwrap();
        let mut signals = Signals::new(Cursor::new(candidate.repeat(CANDIDATES + 1)));
        for _ in 0..CANDIDATES {
            block_on(signals.next()).unwrap();
        }
        assert!(block_on(signals.next()).unwrap_err().to_string().contains("more than 64"));
        let error = block_on(Signals::new(Cursor::new(candidate)).offer()).unwrap_err();
        assert_eq!(error.to_string(), "expected an offer, the peer sent a candidate");
        let offer = Signal::Offer("v=0".into()).encode().unwrap();
        assert_eq!(block_on(Signals::new(Cursor::new(&offer)).offer()).unwrap(), "v=0");
        let error = block_on(Signals::new(Cursor::new(&offer)).answer()).unwrap_err();
        assert_eq!(error.to_string(), "expected an answer, the peer sent an offer");
        assert!(Signal::is_end_of_candidates("null") && !Signal::is_end_of_candidates("{}"));
    }

    fn signal() -> impl Strategy<Value = Signal> {
        prop_oneof![
            ".*".prop_map(Signal::Offer),
            ".*".prop_map(Signal::Answer),
            ".*".prop_map(Signal::Candidate),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(signals in prop::collection::vec(signal(), 0..8)) {
            let mut bytes = Vec::new();
            for signal in &signals {
                block_on(write_signal(&mut bytes, signal)).unwrap();
            }
            let mut read = Signals::new(Cursor::new(bytes));
            for signal in &signals {
                prop_assert_eq!(&block_on(read.next()).unwrap(), signal);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = Signal::decode(&bytes);
            let mut signals = Signals::new(Cursor::new(bytes));
            while block_on(signals.next()).is_ok() {}
        }
    }
}
