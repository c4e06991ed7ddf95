//! AVX2: a byte's product with a fixed element is the sum of the products of its two nibbles, and
//! `vpshufb` looks 32 of them up at once ("Screaming fast Galois field arithmetic using Intel SIMD
//! instructions", Plank, Greenan, Miller, FAST 2013).
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64,
    _mm256_storeu_si256, _mm256_xor_si256,
};

use super::{Lines, TILE_BYTES};
use crate::field::NIBBLES;

/// Bytes of each row that are in registers at once: two registers.
const STEP_BYTES: usize = 64;
const _: () = assert!(TILE_BYTES.is_multiple_of(STEP_BYTES));

type Step = [u8; STEP_BYTES];

/// See [`super::Kernel::group`]; coefficients are elements.
#[target_feature(enable = "avx2")]
pub(super) fn group<const ROWS: usize, L: Lines>(
    coefficients: &[u64],
    mut lines: L,
    outputs: &mut [&mut [u8]],
    add: bool,
) {
    let low = _mm256_set1_epi8(15);
    let bytes = outputs[0].len();
    for at in (0..bytes).step_by(STEP_BYTES) {
        let (tile, part) = (at / TILE_BYTES, at % TILE_BYTES / STEP_BYTES);
        if part == 0 {
            lines.begin();
        }
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        if add {
            for (sum, output) in sums.iter_mut().zip(outputs.iter()) {
                if let Some(start) = output[at..].first_chunk() {
                    *sum = load(start);
                }
            }
        }
        for (source, row) in coefficients.chunks_exact(ROWS).enumerate() {
            let x = load(lines.part(tile, source, part));
            let lows = [_mm256_and_si256(x[0], low), _mm256_and_si256(x[1], low)];
            let highs = [high_nibbles(x[0], low), high_nibbles(x[1], low)];
            for (sum, coefficient) in sums.iter_mut().zip(row) {
                let (of_low, of_high) = tables(*coefficient as u8);
                for half in 0..2 {
                    let a = _mm256_shuffle_epi8(of_low, lows[half]);
                    let b = _mm256_shuffle_epi8(of_high, highs[half]);
                    sum[half] = _mm256_xor_si256(sum[half], _mm256_xor_si256(a, b));
                }
            }
        }
        for (sum, output) in sums.iter().zip(outputs.iter_mut()) {
            if let Some(out) = output[at..].first_chunk_mut() {
                store(out, sum);
            }
        }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn high_nibbles(x: __m256i, low: __m256i) -> __m256i {
    _mm256_and_si256(_mm256_srli_epi64::<4>(x), low)
}

/// The products of a coefficient with low and with high nibbles, each in both lanes.
#[target_feature(enable = "avx2")]
#[inline]
fn tables(coefficient: u8) -> (__m256i, __m256i) {
    let (halves, _) = NIBBLES[usize::from(coefficient)].as_chunks::<16>();
    let [low, high] = [halves[0].as_ptr(), halves[1].as_ptr()];
    // SAFETY: each pointer is to 16 bytes of a static; no alignment is asked for.
    let (low, high) = unsafe { (_mm_loadu_si128(low.cast()), _mm_loadu_si128(high.cast())) };
    (_mm256_broadcastsi128_si256(low), _mm256_broadcastsi128_si256(high))
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(step: &Step) -> [__m256i; 2] {
    let (halves, _) = step.as_chunks::<32>();
    let [a, b] = [halves[0].as_ptr(), halves[1].as_ptr()];
    // SAFETY: each pointer is to 32 bytes that are borrowed; no alignment is asked for.
    unsafe { [_mm256_loadu_si256(a.cast()), _mm256_loadu_si256(b.cast())] }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(step: &mut Step, sum: &[__m256i; 2]) {
    let (halves, _) = step.as_chunks_mut::<32>();
    for (half, sum) in halves.iter_mut().zip(sum) {
        // SAFETY: the pointer is to 32 bytes that are borrowed mutably; no alignment is asked for.
        unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), *sum) }
    }
}
