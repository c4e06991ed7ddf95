//! Writes an object as a CAR file, which any IPFS tool imports.
//!
//! CARv1: a header, then each block of a walk once, parents before their children, as
//! `varint(length) | CID | bytes`. Never holds more than one block.
//! Source: <https://ipld.io/specs/transport/car/carv1/>.

use std::rc::Rc;

use bytes::Bytes;
use craftec_core::{
    Cid,
    cbor::{self, CborError},
    cid::CID_BYTES,
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, LocalBoxStream},
};
use serde::Serialize;

use crate::{
    block::Block,
    error::ObjError,
    read::{BlockSource, WalkLimits, walk},
    unixfs::wire::put_varint,
};

/// In the order of canonical DAG-CBOR: shorter keys first.
#[derive(Serialize)]
struct Header {
    roots: Vec<Cid>,
    version: u64,
}

/// The bytes of a CAR file with `root` and all blocks below it.
///
/// A block that cannot be had, or a limit, ends the stream with an error: what was written by then
/// is not a whole object.
pub fn car(
    source: Rc<dyn BlockSource>,
    root: Cid,
    limits: WalkLimits,
) -> LocalBoxStream<'static, Result<Bytes, ObjError>> {
    let head = header(vec![root]).map_err(|error| ObjError::Input {
        what: "the root of a CAR file",
        reason: error.to_string(),
    });
    let blocks = walk(source, root, limits).map_ok(|block| stream::iter(frame(&block).map(Ok)));
    stream::iter([head]).chain(blocks.try_flatten()).boxed_local()
}

/// The header of a CAR file, with its length.
pub fn header(roots: Vec<Cid>) -> Result<Bytes, CborError> {
    let header = cbor::encode(&Header { roots, version: 1 })?;
    let mut out = Vec::with_capacity(header.len() + 1);
    put_varint(&mut out, header.len() as u64);
    out.extend_from_slice(&header);
    Ok(out.into())
}

/// One block as it is in a CAR file: its frame's head, and its bytes uncopied.
pub fn frame(block: &Block) -> [Bytes; 2] {
    let mut head = Vec::with_capacity(CID_BYTES + 4);
    put_varint(&mut head, (CID_BYTES + block.len()) as u64);
    head.extend_from_slice(&block.cid().to_bytes());
    [head.into(), block.bytes().clone()]
}

#[cfg(test)]
mod tests {
    use craftec_core::Codec;

    use super::*;

    #[test]
    fn the_header_is_canonical_cbor() {
        let root = Cid::of(Codec::Raw, b"");
        let header = header(vec![root]).unwrap();
        // map(2) "roots": [tag 42 bytes(37) 0x00 cid], "version": 1
        let mut expected = vec![58, 0xa2, 0x65];
        expected.extend(b"roots");
        expected.extend([0x81, 0xd8, 0x2a, 0x58, 0x25, 0x00]);
        expected.extend(root.to_bytes());
        expected.push(0x67);
        expected.extend(b"version");
        expected.push(1);
        assert_eq!(usize::from(expected[0]), expected.len() - 1);
        assert_eq!(header.as_ref(), expected);
    }
}
