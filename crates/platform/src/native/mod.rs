//! The operating system behind the ports: a locked data folder, tokio's clock, the OS's entropy; and
//! stacks for work that pauses.

mod clock;
mod entropy;
pub(crate) mod fiber;
mod file;

pub use clock::NativeClock;
pub use entropy::OsEntropy;
pub use file::{LOCK_FILE, NativeFolder};
