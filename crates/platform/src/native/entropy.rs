//! Random bytes of the operating system.

use crate::Entropy;

/// The operating system's random number generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) {
        if let Err(error) = getrandom::fill(out) {
            // Without entropy every key would be guessable: there is no safe way to go on.
            panic!("the operating system gives no random bytes: {error}");
        }
    }
}
