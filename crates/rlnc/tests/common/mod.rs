//! Arithmetic the slow way, and bytes from a seed.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

/// A seeded generator (splitmix64).
pub struct Bytes(u64);

impl Bytes {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *byte = (z ^ (z >> 31)) as u8;
        }
    }

    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut taken = vec![0; bytes];
        self.fill(&mut taken);
        taken
    }
}

/// A product in GF(2^8) of 0x11B, bit by bit.
pub fn mul(a: u8, b: u8) -> u8 {
    let bit_of = |bit: u32| (u16::from(a) << bit) * u16::from((b >> bit) & 1);
    let mut wide = (0..8).fold(0, |sum, bit| sum ^ bit_of(bit));
    for bit in (8..15).rev() {
        wide ^= (0x11B << (bit - 8)) * ((wide >> bit) & 1);
    }
    wide as u8
}

pub fn dot(a: &[u8], b: &[u8]) -> u8 {
    a.iter().zip(b).fold(0, |sum, (a, b)| sum ^ mul(*a, *b))
}

pub fn combined(coefficients: &[u8], pieces: &[Vec<u8>], bytes: usize) -> Vec<u8> {
    let mut sum = vec![0; bytes];
    for (coefficient, piece) in coefficients.iter().zip(pieces) {
        // One multiplication for each value that a byte can have.
        let products: Vec<u8> = (0..=255).map(|byte| mul(*coefficient, byte)).collect();
        sum.iter_mut().zip(piece).for_each(|(s, p)| *s ^= products[usize::from(*p)]);
    }
    sum
}

pub fn sources(random: &mut Bytes, count: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| random.take(bytes)).collect()
}

/// The rank of vectors, by elimination on a copy.
pub fn naive_rank(vectors: &[Vec<u8>]) -> usize {
    let mut rows = vectors.to_vec();
    let columns = rows.first().map_or(0, Vec::len);
    let mut rank = 0;
    for column in 0..columns {
        let Some(pivot) = (rank..rows.len()).find(|r| rows[*r][column] != 0) else { continue };
        rows.swap(rank, pivot);
        let row = rows[rank].clone();
        let inverse = (1..=255).find(|i| mul(*i, row[column]) == 1).unwrap_or(0);
        for other in &mut rows[rank + 1..] {
            let factor = mul(other[column], inverse);
            if factor != 0 {
                other.iter_mut().zip(&row).for_each(|(a, b)| *a ^= mul(factor, *b));
            }
        }
        rank += 1;
    }
    rank
}
