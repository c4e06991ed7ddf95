//! What is to change in one commit: blocks, pins and metadata together, or nothing of it.

use bytes::Bytes;
use craftec_core::Cid;

use super::{Pin, PinReason};
use crate::block::Block;

/// Longest metadata key in bytes.
pub const META_KEY_BYTES: usize = 512;
/// Longest metadata value in bytes: a signed record with room to spare.
pub const META_VALUE_BYTES: usize = 1 << 20;

/// A namespace of metadata. Values are opaque here; who owns the namespace defines and versions
/// them. The number is on disk and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Meta {
    /// The node's own settings and keys.
    Node = 0,
    /// Identity logs, by DID.
    Identity = 1,
    /// Heads, by DID and name.
    Head = 2,
    /// Placement records, by object.
    Placement = 3,
    /// What is known about objects: size, name, kind.
    Object = 4,
    /// Sites published from here, by name.
    Site = 5,
    /// Peers worth remembering between runs.
    Peer = 6,
    /// Signed DHT records held for others.
    Record = 7,
    /// Proofs that somebody signed two heads with one number; kept for ever.
    Equivocation = 8,
    /// Work to be taken up again after a restart.
    Pending = 9,
    /// What is kept for others, by root and owner.
    Lent = 10,
    /// What peers and this node did for each other, by peer.
    Ledger = 16,
    /// Databases of this node, by name.
    Database = 17,
    /// Packs in which objects of ours are kept by others, by root.
    Pack = 18,
}

impl Meta {
    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        [&[self as u8], key].concat()
    }
}

/// Changes that become durable together. Applied in the order deletions, blocks, pins, metadata.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) blocks: Vec<Block>,
    pub(super) deleted: Vec<Cid>,
    pub(super) pins: Vec<PinChange>,
    pub(super) meta: Vec<(Vec<u8>, Option<Bytes>)>,
}

#[derive(Clone, Debug)]
pub(super) enum PinChange {
    Set(Cid, Pin),
    Gone(Cid, Option<PinReason>),
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `block`; nothing changes if it is there already.
    pub fn put(&mut self, block: Block) -> &mut Self {
        self.blocks.push(block);
        self
    }

    /// Stores `blocks`.
    pub fn put_all(&mut self, blocks: impl IntoIterator<Item = Block>) -> &mut Self {
        self.blocks.extend(blocks);
        self
    }

    /// Deletes the block `cid`; nothing changes if it is not there.
    pub fn delete(&mut self, cid: Cid) -> &mut Self {
        self.deleted.push(cid);
        self
    }

    /// Pins `root`, replacing a pin for the same reason.
    pub fn pin(&mut self, root: Cid, pin: Pin) -> &mut Self {
        self.pins.push(PinChange::Set(root, pin));
        self
    }

    /// Takes the pin of `root` for `reason` away, or all of its pins.
    pub fn unpin(&mut self, root: Cid, reason: Option<PinReason>) -> &mut Self {
        self.pins.push(PinChange::Gone(root, reason));
        self
    }

    /// Sets a metadata value.
    pub fn meta_put(
        &mut self,
        namespace: Meta,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> &mut Self {
        self.meta.push((namespace.key(key.as_ref()), Some(value.into())));
        self
    }

    /// Removes a metadata value.
    pub fn meta_delete(&mut self, namespace: Meta, key: impl AsRef<[u8]>) -> &mut Self {
        self.meta.push((namespace.key(key.as_ref()), None));
        self
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
            && self.deleted.is_empty()
            && self.pins.is_empty()
            && self.meta.is_empty()
    }
}
