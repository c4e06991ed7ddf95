//! Random bytes of WebCrypto.

use crate::Entropy;

/// `crypto.getRandomValues`.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebEntropy;

impl Entropy for WebEntropy {
    fn fill(&self, out: &mut [u8]) {
        if let Err(error) = getrandom::fill(out) {
            // Without entropy every key would be guessable: there is no safe way to go on.
            panic!("WebCrypto gives no random bytes: {error}");
        }
    }
}
