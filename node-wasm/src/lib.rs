//! The node in a tab: one dedicated worker that holds store, network and node, and serves one
//! session per MessagePort.
//!
//! It decides nothing that the node below decides; it carries frames, and keeps a site to what the
//! site may read. The crate runs in a browser only; natively it is those decisions alone, so that
//! they are tested like any other code.

mod frames;
mod rights;
mod room;
#[cfg(target_family = "wasm")]
mod shell;

pub use frames::{Asked, answer, ask, event};
pub use rights::{Refusal, SiteRights};
pub use room::{SiteSession, evicted};
#[cfg(target_family = "wasm")]
pub use shell::TabNode;
