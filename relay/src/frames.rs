//! Frames of the local API on a byte stream: a length (4 bytes, big endian, at most
//! `limits::API_FRAME_BYTES`) and that many bytes of canonical DAG-CBOR.
//! It moves and decodes frames; it never acts on them.

use std::io;

use craftec_api::{ApiError, Command, ErrorCode, FromNode, ToNode};
use craftec_core::{cbor, limits::API_FRAME_BYTES};
use ipld_core::ipld::Ipld;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads one frame; `None` at a clean end.
pub(crate) async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match io.read(&mut length).await? {
        0 => return Ok(None),
        read => io.read_exact(&mut length[read..]).await?,
    };
    let bytes = u32::from_be_bytes(length) as usize;
    if bytes > API_FRAME_BYTES {
        let text = format!("a frame of {bytes} bytes is more than the {API_FRAME_BYTES} allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut frame = vec![0; bytes];
    io.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

/// Writes one frame.
pub(crate) async fn write(io: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(frame).await?;
    io.flush().await
}

/// A client's frame, or its id and the refusal where it can't be understood. `Err(None)`: not even
/// its id can be read, so that no answer would find its way.
pub(crate) fn decode(frame: &[u8]) -> Result<ToNode, Option<(u64, ApiError)>> {
    let reason = match cbor::decode::<ToNode>(frame, API_FRAME_BYTES) {
        Ok(ask) => return Ok(ask),
        Err(reason) => reason,
    };
    let id = match serde_ipld_dagcbor::from_slice::<Ipld>(frame) {
        Ok(Ipld::Map(fields)) => match fields.get("id") {
            Some(Ipld::Integer(id)) => u64::try_from(*id).ok(),
            _ => None,
        },
        _ => None,
    };
    let error = ApiError::new(ErrorCode::BadInput, format!("the frame is not a command: {reason}"))
        .hint("Client and node may be of different versions; update both.");
    Err(id.map(|id| (id, error)))
}

/// Encodes an answer. One that can't be encoded becomes an internal error, so that the client
/// does not wait for ever.
pub(crate) fn encode(frame: &FromNode) -> Vec<u8> {
    let id = match frame {
        FromNode::Ok { id, .. } | FromNode::Err { id, .. } => *id,
        FromNode::Event { .. } => 0,
    };
    let failed = |reason: String| {
        let error = ApiError::new(ErrorCode::Internal, reason);
        cbor::encode(&FromNode::Err { id, error }).unwrap_or_default()
    };
    match cbor::encode(frame) {
        Ok(bytes) if bytes.len() <= API_FRAME_BYTES => bytes,
        Ok(bytes) => failed(format!("the answer of {} bytes does not fit a frame", bytes.len())),
        Err(error) => failed(error.to_string()),
    }
}

/// Encodes a command.
pub(crate) fn encode_ask(id: u64, command: Command) -> Result<Vec<u8>, ApiError> {
    let bytes = cbor::encode(&ToNode { id, command })
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
    if bytes.len() > API_FRAME_BYTES {
        let text = format!("the command of {} bytes does not fit a frame", bytes.len());
        return Err(ApiError::new(ErrorCode::BadInput, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_api::Reply;

    #[tokio::test]
    async fn frames_survive_the_stream_and_their_limit_holds() {
        let mut wire = Vec::new();
        write(&mut wire, b"abc").await.unwrap();
        write(&mut wire, b"").await.unwrap();
        let mut reader = wire.as_slice();
        assert_eq!(read(&mut reader).await.unwrap().unwrap(), b"abc");
        assert_eq!(read(&mut reader).await.unwrap().unwrap(), b"");
        assert_eq!(read(&mut reader).await.unwrap(), None);
        let mut torn = &wire[..5];
        assert_eq!(read(&mut torn).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut half = &wire[..2];
        assert_eq!(read(&mut half).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut long = &u32::MAX.to_be_bytes()[..];
        assert_eq!(read(&mut long).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_unknown_command_is_answered_by_its_id() {
        let frame = encode_ask(7, Command::Status).unwrap();
        assert_eq!(decode(&frame).unwrap().id, 7);
        let fields = [("command", Ipld::from("fly")), ("id", Ipld::Integer(9))];
        let unknown = Ipld::Map(fields.map(|(k, v)| (k.to_owned(), v)).into());
        let frame = cbor::encode(&unknown).unwrap();
        assert!(matches!(decode(&frame), Err(Some((9, _)))));
        assert_eq!(decode(b"\xff\xff"), Err(None));
        let answer = FromNode::Ok { id: 3, reply: Reply::Done };
        assert_eq!(cbor::decode::<FromNode>(&encode(&answer), 64), Ok(answer));
    }
}
