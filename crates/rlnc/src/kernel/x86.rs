//! What the x86 kernels share: multiplication as a matrix of bits, and prefetching.
#![allow(unsafe_code, reason = "a prefetch takes a pointer")]

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use crate::field::slow_mul;

/// For every element the 8 × 8 matrix over GF(2) that multiplies by it, as `gf2p8affineqb` wants it.
/// Unlike `gf2p8mulb` that takes any polynomial, and the matrix is eight bytes that repeat, so that
/// four rows of 64 coefficients are 2 KiB, not 16.
static MATRICES: [u64; 256] = matrices();

/// The matrix of a coefficient.
pub(super) fn matrix(coefficient: u8) -> u64 {
    MATRICES[usize::from(coefficient)]
}

/// Asks for the cache line of a byte.
#[inline(always)]
pub(super) fn prefetch(byte: &u8) {
    // SAFETY: a hint: it reads nothing that the program could see, and every x86-64 has it.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(byte).cast()) }
}

/// Row `i` of a matrix, in byte `7 - i`, tells which bits of the operand add up to bit `i` of the
/// product (Intel, "Galois Field New Instructions", 2018).
const fn matrices() -> [u64; 256] {
    let mut table = [0; 256];
    let mut a = 0;
    while a < 256 {
        let mut bit = 0;
        while bit < 8 {
            let product = slow_mul(a as u8, 1 << bit);
            let mut row = 0;
            while row < 8 {
                table[a] |= ((product >> row & 1) as u64) << (8 * (7 - row) + bit);
                row += 1;
            }
            bit += 1;
        }
        a += 1;
    }
    table
}
