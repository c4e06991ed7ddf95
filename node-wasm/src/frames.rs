//! Frames as they come over a port: decoded strictly, answered always. Never acts on them.

use craftec_api::{ApiError, Command, ErrorCode, Event, FromNode, Reply, ToNode};
use craftec_core::{cbor, limits::API_FRAME_BYTES};
use serde::Deserialize;

/// What a client's frame turned out to be.
#[derive(Debug, PartialEq)]
pub enum Asked {
    /// A command, and the id that its answer carries.
    Command {
        /// The id.
        id: u64,
        /// The command.
        command: Command,
    },
    /// Not a command, but its id could be read: this goes back.
    Refused {
        /// The answer.
        answer: Vec<u8>,
    },
    /// Nothing that could be answered; the client does not speak this language.
    Foreign,
}

/// The part of a frame that every version has.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// Reads a client's frame.
pub fn ask(frame: &[u8]) -> Asked {
    let reason = match cbor::decode::<ToNode>(frame, API_FRAME_BYTES) {
        Ok(ToNode { id, command }) => return Asked::Command { id, command },
        Err(reason) => reason,
    };
    if frame.len() > API_FRAME_BYTES {
        return Asked::Foreign;
    }
    match serde_ipld_dagcbor::from_slice::<Numbered>(frame) {
        Ok(Numbered { id }) => {
            let message = format!("The frame is not a command of this node: {reason}.");
            let error = ApiError::new(ErrorCode::BadInput, message)
                .hint("Load the page again: its tabs may run different versions.");
            Asked::Refused { answer: answer(id, Err(error)) }
        }
        Err(_) => Asked::Foreign,
    }
}

/// The frame that answers the request `id`. An answer that does not fit a frame becomes an error,
/// so that no client waits for ever.
pub fn answer(id: u64, result: Result<Reply, ApiError>) -> Vec<u8> {
    let frame = match result {
        Ok(reply) => FromNode::Ok { id, reply },
        Err(error) => FromNode::Err { id, error },
    };
    let failed = |message: String| {
        let error = ApiError::new(ErrorCode::Internal, message);
        cbor::encode(&FromNode::Err { id, error }).unwrap_or_default()
    };
    match cbor::encode(&frame) {
        Ok(bytes) if bytes.len() <= API_FRAME_BYTES => bytes,
        Ok(bytes) => failed(format!(
            "The answer has {} bytes, more than the {API_FRAME_BYTES} of a frame.",
            bytes.len()
        )),
        Err(error) => failed(error.to_string()),
    }
}

/// The frame of an event; `None` for one that does not fit a frame (the client asks for the present
/// state anyway).
pub fn event(event: Event) -> Option<Vec<u8>> {
    cbor::encode(&FromNode::Event { event }).ok().filter(|bytes| bytes.len() <= API_FRAME_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::{Cid, Codec};
    use serde::Serialize;
    use serde_bytes::ByteBuf;

    #[test]
    fn a_command_is_read_and_a_later_version_answered_by_its_id() {
        let bytes = cbor::encode(&ToNode { id: 7, command: Command::Status }).unwrap();
        assert_eq!(ask(&bytes), Asked::Command { id: 7, command: Command::Status });

        #[derive(Serialize)]
        struct Later {
            id: u64,
            command: &'static str,
        }
        let later = cbor::encode(&Later { id: 9, command: "fly" }).unwrap();
        let Asked::Refused { answer } = ask(&later) else { panic!("not refused") };
        let answer: FromNode = cbor::decode(&answer, API_FRAME_BYTES).unwrap();
        assert!(
            matches!(answer, FromNode::Err { id: 9, error } if error.code == ErrorCode::BadInput)
        );
    }

    #[test]
    fn noise_is_foreign_at_any_length() {
        for frame in [&b""[..], b"\xff", b"\xa0", b"\x1bhello world", &[0; 64]] {
            assert_eq!(ask(frame), Asked::Foreign, "{frame:?}");
        }
        let good = cbor::encode(&ToNode { id: 1, command: Command::Objects }).unwrap();
        for cut in 0..good.len() {
            assert!(!matches!(ask(&good[..cut]), Asked::Command { .. }), "cut at {cut}");
        }
        let bytes = ByteBuf::from(vec![0; API_FRAME_BYTES]);
        let long = ToNode { id: 1, command: Command::PutChunk { handle: 1, bytes } };
        assert_eq!(ask(&cbor::encode(&long).unwrap()), Asked::Foreign);
    }

    #[test]
    fn an_answer_too_long_for_a_frame_is_an_error() {
        let cid = Cid::of(Codec::Raw, b"x");
        let fits = Reply::Stored { cid, size: 1 };
        let frame: FromNode = cbor::decode(&answer(3, Ok(fits.clone())), API_FRAME_BYTES).unwrap();
        assert_eq!(frame, FromNode::Ok { id: 3, reply: fits });
        let long = Reply::Bytes { bytes: vec![0; API_FRAME_BYTES].into() };
        let frame: FromNode = cbor::decode(&answer(3, Ok(long)), API_FRAME_BYTES).unwrap();
        assert!(
            matches!(frame, FromNode::Err { id: 3, error } if error.code == ErrorCode::Internal)
        );
        assert_eq!(event(Event::Lagged { lost: 2 }).map(|bytes| bytes.is_empty()), Some(false));
    }
}
