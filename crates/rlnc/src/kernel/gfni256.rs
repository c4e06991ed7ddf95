//! GFNI on registers of 32 bytes, for processors without AVX-512 (Alder Lake and later). The same
//! maps of bits as with 64 bytes; a tile is done in two halves, because there are 16 registers only.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use core::arch::x86_64::{
    __m256i, _mm256_gf2p8affine_epi64_epi8, _mm256_loadu_si256, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::{Lines, TILE_BYTES};

/// Bytes of each row that are in registers at once: two registers.
const STEP_BYTES: usize = 64;
const _: () = assert!(TILE_BYTES.is_multiple_of(STEP_BYTES));

type Step = [u8; STEP_BYTES];

/// See [`super::Kernel::group`]; coefficients are matrices of [`super::x86::matrix`].
#[target_feature(enable = "avx2,gfni")]
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
            for (sum, coefficient) in sums.iter_mut().zip(row) {
                let matrix = _mm256_set1_epi64x(coefficient.cast_signed());
                for (sum, x) in sum.iter_mut().zip(x) {
                    *sum = _mm256_xor_si256(*sum, _mm256_gf2p8affine_epi64_epi8::<0>(x, matrix));
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
