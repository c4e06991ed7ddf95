//! dag-pb, the node format below UnixFS: links and opaque data.
//!
//! Wire form: every link as field 2, then the data as field 1 (in this order, although the numbers
//! run the other way); in a link `Hash` (1, binary CID), `Name` (2, UTF-8), `Tsize` (3, varint).
//! Decoding refuses anything that no writer of the format makes: other orders, repeated fields,
//! unknown fields, bytes after the end. Never looks into the data.
//! Source: <https://ipld.io/specs/codecs/dag-pb/spec/>.

use craftec_core::{Cid, cid::CID_BYTES, limits};

use super::{
    NodeError,
    wire::{Fields, put_bytes, put_number, put_varint, varint_bytes},
};

/// A link from one node to another block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbLink {
    /// The block.
    pub cid: Cid,
    /// Its name; empty in files.
    pub name: String,
    /// Bytes of the block and of everything below it, as the writer of the link says. A claim.
    pub tsize: u64,
}

/// A decoded dag-pb block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PbNode {
    /// Links, in their order on the wire.
    pub links: Vec<PbLink>,
    /// The data (for UnixFS its own protobuf message).
    pub data: Option<Vec<u8>>,
}

impl PbLink {
    fn body_bytes(&self) -> usize {
        let name = self.name.len();
        (1 + 1 + CID_BYTES)
            + (1 + varint_bytes(name as u64) + name)
            + (1 + varint_bytes(self.tsize))
    }

    /// Bytes that this link adds to a node.
    pub(super) fn encoded_bytes(&self) -> usize {
        let body = self.body_bytes();
        1 + varint_bytes(body as u64) + body
    }

    fn decode(index: usize, bytes: &[u8]) -> Result<Self, NodeError> {
        let (mut cid, mut name, mut tsize) = (None, None, None);
        let mut fields = Fields::of(bytes);
        let mut last = 0;
        while let Some((number, value)) = fields.next()? {
            if number <= last {
                return Err(NodeError::Protobuf { reason: "link fields repeated or out of order" });
            }
            last = number;
            match number {
                1 => {
                    let parsed = Cid::from_bytes(value.bytes()?);
                    cid = Some(parsed.map_err(|source| NodeError::Link { index, source })?);
                }
                2 => {
                    let text = std::str::from_utf8(value.bytes()?);
                    let reason = "a link name that is not UTF-8";
                    name = Some(text.map_err(|_| NodeError::Protobuf { reason })?.to_owned());
                }
                3 => tsize = Some(value.varint()?),
                _ => return Err(NodeError::Protobuf { reason: "an unknown field in a link" }),
            }
        }
        let cid = cid.ok_or(NodeError::Protobuf { reason: "a link without a hash" })?;
        Ok(Self { cid, name: name.unwrap_or_default(), tsize: tsize.unwrap_or_default() })
    }
}

impl PbNode {
    /// The canonical bytes. Callers keep the order of links that their kind of node wants.
    pub fn encode(&self) -> Vec<u8> {
        let links: usize = self.links.iter().map(PbLink::encoded_bytes).sum();
        let data = self.data.as_ref().map_or(0, |d| 1 + varint_bytes(d.len() as u64) + d.len());
        let mut out = Vec::with_capacity(links + data);
        for link in &self.links {
            out.push(2 << 3 | 2);
            put_varint(&mut out, link.body_bytes() as u64);
            put_bytes(&mut out, 1, &link.cid.to_bytes());
            put_bytes(&mut out, 2, link.name.as_bytes());
            put_number(&mut out, 3, link.tsize);
        }
        if let Some(data) = &self.data {
            put_bytes(&mut out, 1, data);
        }
        out
    }

    /// Reads a block of at most [`limits::BLOCK_BYTES`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        if bytes.len() > limits::BLOCK_BYTES {
            return Err(NodeError::TooLong { bytes: bytes.len(), limit: limits::BLOCK_BYTES });
        }
        let mut node = Self::default();
        let mut fields = Fields::of(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                _ if node.data.is_some() => {
                    return Err(NodeError::Protobuf { reason: "a field after the node's data" });
                }
                1 => node.data = Some(value.bytes()?.to_vec()),
                2 => node.links.push(PbLink::decode(node.links.len(), value.bytes()?)?),
                _ => return Err(NodeError::Protobuf { reason: "an unknown field in a node" }),
            }
        }
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use craftec_core::{CidError, Codec};

    use super::*;

    fn link(name: &str, tsize: u64) -> PbLink {
        PbLink { cid: Cid::of(Codec::Raw, name.as_bytes()), name: name.to_owned(), tsize }
    }

    #[test]
    fn links_come_before_data_and_read_back() {
        let links = vec![link("", 0), link("ünïcode", u64::MAX)];
        let node = PbNode { links, data: Some(vec![8, 1]) };
        let bytes = node.encode();
        assert_eq!(bytes[0], 0x12, "a link first");
        assert_eq!(bytes[bytes.len() - 4..], [0x0a, 2, 8, 1], "the data last");
        assert_eq!(bytes.len(), node.links.iter().map(PbLink::encoded_bytes).sum::<usize>() + 4);
        assert_eq!(PbNode::decode(&bytes), Ok(node));
        assert_eq!(PbNode::decode(&[]), Ok(PbNode::default()));
    }

    #[test]
    fn other_orders_and_foreign_links_are_refused() {
        let data_first = [0x0a, 0, 0x12, 0];
        assert!(PbNode::decode(&data_first).is_err());
        assert!(PbNode::decode(&[0x0a, 0, 0x0a, 0]).is_err());
        assert!(PbNode::decode(&[0x1a, 0]).is_err());
        assert!(PbNode::decode(&[0x12, 0]).is_err(), "a link without a hash");
        let mut sha = vec![0x12, 38, 0x0a, 36, 1, 0x70, 0x12, 32];
        sha.extend([0; 32]);
        let foreign = CidError::Hash { code: 0x12, bytes: 32 };
        assert_eq!(PbNode::decode(&sha), Err(NodeError::Link { index: 0, source: foreign }));
        let long = vec![0; limits::BLOCK_BYTES + 1];
        assert!(matches!(PbNode::decode(&long), Err(NodeError::TooLong { .. })));
    }
}
