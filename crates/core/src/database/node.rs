//! A node of the page table: up to 256 links, to pages or to nodes one level below.
//!
//! Layout: canonical DAG-CBOR of a list of links and nulls, at most [`NODE_BYTES`]. A null is a page
//! of zeros, or a part of the table that has only such (SQLite never writes the page of its locks).
//! The last entry is a link, so that one table has one encoding; a node without any does not exist.
//! Links of the lowest level are raw blocks, all others DAG-CBOR, so that whoever can walk DAG-CBOR
//! can walk a database without knowing SQLite.

use super::TableError;
use crate::{Cid, Codec, cbor};

/// Children of a node.
pub const FANOUT: usize = 256;
/// Longest encoding of a node: three bytes of a list's head and 41 of each link.
pub const NODE_BYTES: usize = 3 + FANOUT * 41;

/// A decoded node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node(Vec<Option<Cid>>);

impl Node {
    /// The node with these children; none if all are absent.
    pub fn of(children: impl Iterator<Item = Option<Cid>>) -> Option<Self> {
        let mut links: Vec<Option<Cid>> = children.collect();
        while links.pop_if(|link| link.is_none()).is_some() {}
        (!links.is_empty()).then_some(Self(links))
    }

    /// Decodes a node. Whether its links are of the right kind is seen where its level is known.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        Self::checked(cbor::decode(bytes, NODE_BYTES)?)
    }

    /// The node with these entries, if there can be such a one.
    pub(super) fn checked(links: Vec<Option<Cid>>) -> Result<Self, TableError> {
        if links.len() > FANOUT || !matches!(links.last(), Some(Some(_))) {
            return Err(TableError::Node { entries: links.len() });
        }
        Ok(Self(links))
    }

    /// Its bytes.
    pub fn encode(&self) -> Result<Vec<u8>, TableError> {
        Ok(cbor::encode_sized(&self.0, NODE_BYTES)?)
    }

    /// What it names, whatever its level.
    pub fn links(&self) -> impl Iterator<Item = Cid> {
        self.0.iter().flatten().copied()
    }

    /// Its entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Option<Cid>> {
        self.0.iter().copied()
    }

    /// How many entries it has; there is always one.
    #[allow(clippy::len_without_is_empty, reason = "none is empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Child `place` of a node at `level`, 0 being the lowest.
    pub fn child(&self, level: u32, place: usize) -> Result<Option<Cid>, TableError> {
        let Some(Some(cid)) = self.0.get(place) else { return Ok(None) };
        let wanted = if level == 0 { Codec::Raw } else { Codec::DagCbor };
        if cid.codec() != wanted {
            return Err(TableError::Link { cid: *cid, level });
        }
        Ok(Some(*cid))
    }
}
