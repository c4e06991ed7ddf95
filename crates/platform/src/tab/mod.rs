//! A browser's dedicated worker behind the ports: OPFS, the page's clock, WebCrypto.

mod clock;
mod entropy;
pub(crate) mod fiber;
mod file;

pub use clock::TabClock;
pub use entropy::WebEntropy;
pub use file::OpfsFolder;
