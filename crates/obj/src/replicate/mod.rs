//! Copies on other nodes (`/craftec/hold/1`).
//!
//! The **owner** asks nodes to keep a whole copy, of small objects that were put together one of all of
//! them (`packs`), or one shard each of a coded file; a **holder** that
//! lends space pulls the graph through the exchange, pins it durably and answers with a signed promise;
//! the owner collects the promises in a signed placement record, keeps it, and puts it in the DHT.
//!
//! How a copy ends: a promise says until when it holds ([`TERM_MS`]); the owner renews it in time by
//! asking again, and a holder lets go when it was not renewed. An owner that no longer wants the copy
//! tells the holders that it reaches (only the peer that asked for a copy can end it); those that it
//! does not reach let go at the end of their promise. Until then they keep what they promised, even
//! if their own limit is lowered meanwhile: they only take nothing new.

mod ask;
mod holder;
mod lent;
mod owner;
mod packs;
mod placed;
mod roster;
pub mod wire;

use bytes::Bytes;
use craftec_core::{Cid, Did, TransportKey, identity::IdentityLog, sign::SecretKey};
use futures::future::LocalBoxFuture;

pub(crate) use ask::Asker;
pub use holder::Holder;
pub use lent::LentRecord;
pub use owner::Replicator;
pub(crate) use placed::place;
pub use placed::{Copies, Copy};

/// How long a promise holds, in milliseconds: 30 days. Long enough for an author's holidays.
pub const TERM_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Space for others: the limit, and what the disk still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lend {
    /// Bytes that may be kept for others in all.
    pub limit_bytes: u64,
    /// Bytes that the disk or quota still allows, where known.
    pub free_bytes: Option<u64>,
}

/// What copies need of the node around them.
pub trait Surroundings {
    /// The present limits of lending.
    fn lend(&self) -> LocalBoxFuture<'static, Lend>;
    /// Signed records of names of ours that point to `root`.
    fn heads_of(&self, root: &Cid) -> Vec<Bytes>;
    /// Takes a signed record of a name that points to `root`, which an owner wants kept in the DHT,
    /// if it verifies.
    fn keep_head(&self, root: &Cid, record: &[u8]);
}

/// Who signs: the owner for placements, the transport key for promises.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The identity.
    pub did: Did,
    /// The key that writes for it.
    pub writer: SecretKey,
    /// Its history.
    pub log: IdentityLog,
    /// The transport key.
    pub transport: TransportKey,
}
