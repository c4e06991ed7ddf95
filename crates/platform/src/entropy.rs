//! Randomness, as a port: the operating system's, WebCrypto's, or a seed's.

/// A source of random bytes fit for keys (except in the simulator, where it is seeded).
pub trait Entropy {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);

    /// A random number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
