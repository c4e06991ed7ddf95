//! The operating system behind the ports: a locked data folder, tokio's clock, the OS's entropy.

mod clock;
mod entropy;
mod file;

pub use clock::NativeClock;
pub use entropy::OsEntropy;
pub use file::{LOCK_FILE, NativeFolder};
