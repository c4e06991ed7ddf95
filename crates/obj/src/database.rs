//! What a database's blocks name, as far as whoever keeps them must know: no SQL, no page numbers.
//!
//! The layout is that of `crates/sql/src/table/` (version 1; golden bytes in `tests/vectors/sql.json`,
//! read by a test here): a root is canonical DAG-CBOR of `Root`; a node of its page table is a list
//! of links and nulls. The root before (`parent`) is not below a root: every snapshot is kept for
//! itself.

use craftec_core::{Cid, Codec, cbor, limits, sign::Hash};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::block::Block;

/// Children of a node.
const FANOUT: usize = 256;
/// Most CIDs of packs and references in one root.
const HOLDINGS: usize = 8192;
/// Bytes of a page.
const PAGE_BYTES: u32 = 4096;

/// A database's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Root {
    v: u16,
    page_bytes: u32,
    pages: u32,
    table: Option<Cid>,
    schema: Hash,
    parent: Option<Cid>,
    changed: Option<ByteBuf>,
    holdings: Holdings,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holdings {
    packs: Vec<Cid>,
    refs: Vec<Cid>,
}

/// What is known of a database by its root alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Bytes of the SQLite file that its pages make.
    pub bytes: u64,
    /// What the root names: the top of the page table, packs, references.
    pub links: Vec<Cid>,
}

/// A database, if the block is the root of one.
pub fn database(block: &Block) -> Option<Database> {
    if block.cid().codec() != Codec::DagCbor {
        return None;
    }
    let root: Root = cbor::decode(block.bytes(), limits::BLOCK_BYTES).ok()?;
    let Holdings { packs, refs } = root.holdings;
    let known = root.v == 1 && root.page_bytes == PAGE_BYTES;
    if !known || packs.len() + refs.len() > HOLDINGS {
        return None;
    }
    let bytes = u64::from(root.pages) * u64::from(PAGE_BYTES);
    Some(Database { bytes, links: root.table.into_iter().chain(packs).chain(refs).collect() })
}

/// What a node of a page table names; none if the block is not one.
pub fn table_links(block: &Block) -> Option<Vec<Cid>> {
    if block.cid().codec() != Codec::DagCbor {
        return None;
    }
    let links: Vec<Option<Cid>> = cbor::decode(block.bytes(), 3 + FANOUT * 41).ok()?;
    (links.len() <= FANOUT).then(|| links.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> serde_json::Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/sql.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn block(cid: &serde_json::Value, hex: &str) -> Block {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        Block::verified(cid.as_str().unwrap().parse().unwrap(), bytes).unwrap()
    }

    #[test]
    fn roots_and_nodes_are_those_of_the_databases() {
        let vectors = vectors();
        let roots: Vec<Database> = vectors["roots"]
            .as_array()
            .unwrap()
            .iter()
            .map(|root| {
                let block = block(&root["cid"], root["bytes"].as_str().unwrap());
                assert_eq!(table_links(&block), None);
                database(&block).unwrap()
            })
            .collect();
        assert_eq!(roots.iter().map(|root| root.links.len()).collect::<Vec<_>>(), [0, 1, 4]);
        assert_eq!(roots[1].bytes, 300 * 4096);
        assert!(
            !roots[2].links.iter().any(|cid| {
                vectors["roots"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|root| root["cid"] == cid.to_string())
            }),
            "the parent is not below it"
        );
        let nodes = vectors["table"]["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["bytes"].is_string()).unwrap();
        let node = block(&node["cid"], node["bytes"].as_str().unwrap());
        assert!(!table_links(&node).unwrap().is_empty());
        assert_eq!(database(&node), None);
    }

    #[test]
    fn other_blocks_are_none() {
        for bytes in [&b""[..], b"\xf6", b"\x80", b"\xa0", b"hello"] {
            let block = Block::of(Codec::DagCbor, bytes.to_vec()).unwrap();
            assert_eq!(database(&block), None, "{bytes:?}");
        }
        let raw = Block::of(Codec::Raw, vec![0x80]).unwrap();
        assert_eq!(table_links(&raw), None);
    }
}
