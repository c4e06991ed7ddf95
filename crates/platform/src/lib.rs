//! The ports between what Craftec decides and the machine it runs on: [`File`] and [`Folder`],
//! [`Clock`], [`Entropy`].
//!
//! Each has three implementations: the operating system (`native`), a browser's dedicated worker
//! (`tab`) and a seeded simulation (`sim`). A node is single-threaded: its futures need not be
//! `Send`, which is what lets one source run in a tab, on a server and in the simulator.
//!
//! A [`Fiber`] is work that may pause in the middle of a call; in a tab, where there is one stack, it does
//! not.

mod clock;
mod entropy;
mod file;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod sim;
#[cfg(target_arch = "wasm32")]
pub mod tab;

pub use clock::{Clock, Elapsed, UnixMs, timeout};
pub use entropy::Entropy;
pub use file::{File, Folder};
#[cfg(not(target_arch = "wasm32"))]
pub use native::fiber::{Fiber, Pause};
#[cfg(target_arch = "wasm32")]
pub use tab::fiber::{Fiber, Pause};
