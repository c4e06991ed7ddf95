//! The kernel that every processor runs: eight bytes in one integer, multiplied bit by bit. It looks
//! nothing up, so that its time does not depend on what it multiplies. The measure of all others.

use super::{Lines, TILE_BYTES};
use crate::field::REDUCTION;

/// Integers that are worked on at once; compilers make vectors of them where there are any.
const WORDS: usize = 4;
const STEP_BYTES: usize = WORDS * 8;
const _: () = assert!(TILE_BYTES.is_multiple_of(STEP_BYTES));

/// See [`super::Kernel::group`]; coefficients are elements.
pub(super) fn group<const ROWS: usize, L: Lines>(
    coefficients: &[u64],
    mut lines: L,
    outputs: &mut [&mut [u8]],
    add: bool,
) {
    let bytes = outputs[0].len();
    for at in (0..bytes).step_by(STEP_BYTES) {
        let (tile, part) = (at / TILE_BYTES, at % TILE_BYTES / STEP_BYTES);
        if part == 0 {
            lines.begin();
        }
        let mut sums = [[0; WORDS]; ROWS];
        if add {
            for (sum, output) in sums.iter_mut().zip(outputs.iter()) {
                if let Some(start) = output[at..].first_chunk() {
                    *sum = load(start);
                }
            }
        }
        for (source, row) in coefficients.chunks_exact(ROWS).enumerate() {
            accumulate(&mut sums, load(lines.part(tile, source, part)), row);
        }
        for (sum, output) in sums.iter().zip(outputs.iter_mut()) {
            for (word, out) in sum.iter().zip(output[at..].chunks_exact_mut(8)) {
                out.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// Adds `coefficient · x` to each row; the doublings of `x` are shared by all rows.
fn accumulate<const ROWS: usize>(
    sums: &mut [[u64; WORDS]; ROWS],
    mut x: [u64; WORDS],
    row: &[u64],
) {
    for bit in 0..8 {
        for (sum, coefficient) in sums.iter_mut().zip(row) {
            let mask = (coefficient >> bit & 1).wrapping_neg();
            for (sum, x) in sum.iter_mut().zip(&x) {
                *sum ^= x & mask;
            }
        }
        for x in &mut x {
            *x = double(*x);
        }
    }
}

/// Doubles each of eight elements.
fn double(x: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let overflow = x >> 7 & ONES;
    // `overflow * REDUCTION`, as shifts, which every vector unit has.
    const { assert!(REDUCTION == 0b11011) };
    let reduced = overflow ^ overflow << 1 ^ overflow << 3 ^ overflow << 4;
    (x & !(ONES << 7)) << 1 ^ reduced
}

fn load(bytes: &[u8; STEP_BYTES]) -> [u64; WORDS] {
    let (words, _) = bytes.as_chunks();
    core::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

/// The sum of `a[i] · b[i]` over both, element by element; the shorter one decides.
pub(crate) fn dot(a: &[u8], b: &[u8]) -> u8 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut sums = 0;
    let (a, b) = (a.chunks(8), b.chunks(8));
    for (a, b) in a.zip(b) {
        let bytes = a.len().min(b.len());
        let (mut x, y) = (word(&a[..bytes]), word(&b[..bytes]));
        for bit in 0..8 {
            let chosen = y >> bit & ONES;
            // A byte of ones where the bit is set; no borrow leaves a byte.
            sums ^= x & ((chosen << 8).wrapping_sub(chosen));
            x = double(x);
        }
    }
    u64::to_le_bytes(sums).iter().fold(0, |sum, byte| sum ^ byte)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::field::slow_mul;

    #[test]
    fn eight_elements_double_as_one_does() {
        for a in 0..=255u8 {
            let word = u64::from_le_bytes([a, 0, 255, a, 1, 128, a, a]);
            let doubled = double(word).to_le_bytes();
            assert_eq!(doubled, word.to_le_bytes().map(|byte| slow_mul(byte, 2)));
        }
    }

    #[test]
    fn a_dot_product_is_the_sum_of_products() {
        let a: Vec<u8> = (0..259u32).map(|i| (i * 7 + 3) as u8).collect();
        let b: Vec<u8> = (0..259u32).map(|i| (i * 31 + 1) as u8).collect();
        for bytes in [0, 1, 7, 8, 9, 64, 259] {
            let sum = a[..bytes].iter().zip(&b).fold(0, |sum, (a, b)| sum ^ slow_mul(*a, *b));
            assert_eq!(dot(&a[..bytes], &b), sum);
        }
    }
}
