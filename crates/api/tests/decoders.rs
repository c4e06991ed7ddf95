//! Frames of the API keep the decoder's promises on anything: the body of the fuzz target, on
//! random bytes and on damaged copies of real frames.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../../fuzz/src/api.rs"]
mod bodies;

use craftec_api::{Command, ErrorCode, FromNode, Range, Reply, SqlRows, SqlValue, ToNode};
use craftec_core::{Cid, Codec, cbor};
use proptest::{prelude::*, sample::Index};

fn values() -> Vec<SqlValue> {
    let text = SqlValue::Text("x".to_owned());
    vec![SqlValue::Null, SqlValue::Integer(-7), SqlValue::Real(0.1), text, SqlValue::Blob(vec![1])]
}

fn frames() -> Vec<Vec<u8>> {
    let cid = Cid::of(Codec::DagPb, b"folder");
    let range = Some(Range { start: 1, end: Some(5) });
    let commands = [
        Command::Hello { versions: vec![1] },
        Command::Status,
        Command::GetOpen { cid, path: "a/b".to_owned(), range },
        Command::SqlQuery { handle: 1, sql: "SELECT ?".to_owned(), params: values() },
    ];
    let error = craftec_api::ApiError::new(ErrorCode::BadInput, "no").hint("yes");
    let rows =
        SqlRows { columns: vec!["a".to_owned()], rows: vec![values()], ..SqlRows::default() };
    let answers = [
        FromNode::Ok { id: 1, reply: Reply::Stored { cid, size: 5 } },
        FromNode::Ok { id: 2, reply: Reply::Bytes { bytes: vec![1; 40].into() } },
        FromNode::Err { id: 3, error },
        FromNode::Ok { id: 4, reply: Reply::Rows(rows) },
    ];
    let commands = commands.map(|command| cbor::encode(&ToNode { id: 7, command }).unwrap());
    commands.into_iter().chain(answers.map(|answer| cbor::encode(&answer).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::api_frame(&bytes);
    }

    #[test]
    fn damaged_frames_break_nothing(
        which in any::<Index>(),
        damage in prop::collection::vec(any::<(Index, u8, u8)>(), 1..4),
    ) {
        let frames = frames();
        let mut bytes = which.get(&frames).clone();
        for (at, how, byte) in damage {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match how % 4 {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] = byte,
                2 => bytes.insert(at, byte),
                _ => bytes.extend_from_within(at..),
            }
        }
        bodies::api_frame(&bytes);
    }
}

/// A decoder that recursed into what it skips would overflow its stack.
#[test]
fn deep_nesting_is_refused() {
    for open in [0x81_u8, 0xa1, 0xd8] {
        bodies::api_frame(&vec![open; 100_000]);
    }
}
