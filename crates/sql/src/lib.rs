//! CraftSQL: SQLite on content-addressed pages.
//!
//! A database is a list of pages of 4096 bytes, each a block; a [`table`] of CIDs leads from one
//! root to all of them, so a root is a snapshot for ever. A database that this node writes is a
//! [`log`] of commits; SQLite reaches it through a VFS of ours. [`Database`] and [`Reader`] are what
//! others use; where pages come from when they are not here is a [`PageStore`]'s business. Two states
//! that have one before them are merged row by row ([`Database::merge`]).

mod database;
mod error;
#[cfg(feature = "foreign")]
pub mod foreign;
mod keys;
pub mod log;
mod merge;
pub mod page;
mod store;
pub mod table;
mod vfs;

pub use database::{
    Aside, Database, DatabaseOptions, Fetched, Other, Ran, Reader, ReaderOptions, Rows, Slices,
    Sql, State, Transaction,
};
pub use error::SqlError;
pub use keys::{Keys, NoKeys, Under, open_root};
pub use merge::{Conflict, ConflictKind, Merged, Strategy};
pub use rusqlite::types::Value;
pub use store::{LocalStore, MemoryStore, PageStore, PageStoreError, Stored};
