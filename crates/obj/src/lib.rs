//! The object store: blocks, UnixFS objects, placement and exchange.

pub mod block;
pub mod store;

pub use block::{Block, BlockError};
pub use store::{Store, StoreError};
