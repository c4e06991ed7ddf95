//! The object store: blocks, UnixFS objects, placement and exchange.

pub mod audit;
pub mod block;
pub mod car;
pub mod coded;
pub mod database;
mod error;
pub mod event;
pub mod exchange;
pub mod feed;
pub mod heal;
pub mod ledger;
pub mod mend;
pub mod objects;
pub mod pack;
pub mod read;
pub mod replicate;
pub mod store;
pub mod unixfs;

pub use audit::{AuditServer, Auditor};
pub use block::{Block, BlockError};
pub use error::ObjError;
pub use event::ObjEvent;
pub use exchange::{Exchange, Session};
pub use ledger::Ledger;
pub use mend::Mender;
pub use objects::{Announcer, Objects};
pub use read::BlockSource;
pub use replicate::{Holder, Replicator};
pub use store::{Store, StoreError};
