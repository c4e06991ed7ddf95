//! The book on disk: namespace `Ledger`, key the peer's public key (32 bytes), value canonical DAG-CBOR
//! of [`EntryRecord`], at most [`ENTRY_BYTES`].
//!
//! A page that can't be read is left out: it costs somebody's standing, which a receipt brings back.

use craftec_core::{
    PeerId, cbor,
    receipt::{SignedReceipt, Totals},
};
use craftec_p2p::Prefix;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::book::{Book, Entry, Recent};
use crate::{
    Store, StoreError,
    store::{Batch, Meta},
};

/// Largest encoded page: a receipt, and some twelve numbers with their names.
pub const ENTRY_BYTES: usize = 1024;

/// A page of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// Version of this structure: 1.
    pub v: u8,
    /// The prefix of its address: 3 bytes of IPv4, 6 of IPv6, none where unknown.
    pub place: ByteBuf,
    /// See [`Entry::since_ms`].
    pub since_ms: u64,
    /// See [`Entry::seen_ms`].
    pub seen_ms: u64,
    /// See [`Entry::theirs`].
    pub theirs: Totals,
    /// See [`Entry::ours`].
    pub ours: Totals,
    /// See [`Entry::failed_audits`].
    pub failed_audits: u64,
    /// The numbers of [`Recent`], in the order in which it declares them.
    pub recent: [u64; 6],
    /// See [`Entry::receipt`].
    pub receipt: Option<SignedReceipt>,
}

impl EntryRecord {
    /// What is written of a page.
    pub fn of(entry: &Entry) -> Self {
        let recent = &entry.recent;
        Self {
            v: 1,
            place: ByteBuf::from(match &entry.place {
                Some(Prefix::V4(block)) => block.to_vec(),
                Some(Prefix::V6(block)) => block.to_vec(),
                None => Vec::new(),
            }),
            since_ms: entry.since_ms,
            seen_ms: entry.seen_ms,
            theirs: entry.theirs,
            ours: entry.ours,
            failed_audits: entry.failed_audits,
            recent: [
                recent.at_ms,
                recent.together_ms,
                recent.kept_byte_hours,
                recent.received_bytes,
                recent.lent_byte_hours,
                recent.sent_bytes,
            ],
            receipt: entry.receipt.clone(),
        }
    }

    /// The page; none of another version.
    pub fn entry(self) -> Option<Entry> {
        let [at_ms, together_ms, kept_byte_hours, received_bytes, lent_byte_hours, sent_bytes] =
            self.recent;
        let recent = Recent {
            at_ms,
            together_ms,
            kept_byte_hours,
            received_bytes,
            lent_byte_hours,
            sent_bytes,
        };
        let place = match self.place.as_slice() {
            [a, b, c] => Some(Prefix::V4([*a, *b, *c])),
            [a, b, c, d, e, f] => Some(Prefix::V6([*a, *b, *c, *d, *e, *f])),
            _ => None,
        };
        let Self { since_ms, seen_ms, theirs, ours, failed_audits, receipt, .. } = self;
        let entry =
            Entry { place, since_ms, seen_ms, theirs, ours, failed_audits, recent, receipt };
        (self.v == 1).then_some(entry)
    }
}

/// The book that an earlier run kept.
pub(super) fn load(store: &Store) -> Result<Book, StoreError> {
    let mut book = Book::default();
    for (key, value) in store.meta_scan(Meta::Ledger)? {
        let record = cbor::decode::<EntryRecord>(&value, ENTRY_BYTES);
        let key = <[u8; 32]>::try_from(key.as_slice());
        match (key, record.map(EntryRecord::entry)) {
            (Ok(key), Ok(Some(entry))) => book.restore(PeerId::from_public_key(key), entry),
            _ => tracing::warn!("a page of the book of peers is not readable, and left out"),
        }
    }
    Ok(book)
}

/// Makes what changed durable, in one commit.
pub(super) fn keep(store: &Store, changed: &[(PeerId, Option<Entry>)]) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    for (peer, entry) in changed {
        match entry {
            Some(entry) => {
                let value = cbor::encode(&EntryRecord::of(entry))?;
                batch.meta_put(Meta::Ledger, peer.public_key(), value);
            }
            None => {
                batch.meta_delete(Meta::Ledger, peer.public_key());
            }
        }
    }
    if batch.is_empty() { Ok(()) } else { store.commit(batch) }
}
