//! GFNI on registers of 64 bytes (Ice Lake, Zen 4 and later). A product with a fixed element is a
//! linear map of bits, which `vgf2p8affineqb` applies to 64 bytes in one instruction; it takes the
//! map straight from memory, repeated for every eight bytes.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use core::arch::x86_64::{
    __m512i, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

use super::{Lines, TILE_BYTES};

/// The truth table of `a ^ b ^ c`.
const XOR3: i32 = 0x96;
const _: () = assert!(TILE_BYTES == 128);

/// See [`super::Kernel::group`]; coefficients are matrices of [`super::x86::matrix`].
#[target_feature(enable = "avx512f,avx512bw,gfni")]
pub(super) fn group<const ROWS: usize, L: Lines>(
    coefficients: &[u64],
    mut lines: L,
    outputs: &mut [&mut [u8]],
    add: bool,
) {
    let bytes = outputs[0].len();
    for at in (0..bytes).step_by(TILE_BYTES) {
        let tile = at / TILE_BYTES;
        lines.begin();
        let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
        if add {
            for (sum, output) in sums.iter_mut().zip(outputs.iter()) {
                if let Some(start) = output[at..].first_chunk() {
                    *sum = load(start);
                }
            }
        }
        let pairs = coefficients.chunks_exact(2 * ROWS);
        let (last, odd) = (coefficients.len() / ROWS - 1, pairs.remainder());
        for (pair, row) in pairs.enumerate() {
            let x = load(lines.part(tile, 2 * pair, 0));
            let y = load(lines.part(tile, 2 * pair + 1, 0));
            for r in 0..ROWS {
                let a = _mm512_set1_epi64(row[r].cast_signed());
                let b = _mm512_set1_epi64(row[ROWS + r].cast_signed());
                for half in 0..2 {
                    let first = _mm512_gf2p8affine_epi64_epi8::<0>(x[half], a);
                    let second = _mm512_gf2p8affine_epi64_epi8::<0>(y[half], b);
                    sums[r][half] = _mm512_ternarylogic_epi64::<XOR3>(sums[r][half], first, second);
                }
            }
        }
        if !odd.is_empty() {
            let x = load(lines.part(tile, last, 0));
            for (sum, coefficient) in sums.iter_mut().zip(odd) {
                let a = _mm512_set1_epi64(coefficient.cast_signed());
                for (sum, x) in sum.iter_mut().zip(x) {
                    *sum = _mm512_xor_si512(*sum, _mm512_gf2p8affine_epi64_epi8::<0>(x, a));
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

#[target_feature(enable = "avx512f")]
#[inline]
fn load(tile: &[u8; TILE_BYTES]) -> [__m512i; 2] {
    let (halves, _) = tile.as_chunks::<64>();
    let [a, b] = [halves[0].as_ptr(), halves[1].as_ptr()];
    // SAFETY: each pointer is to 64 bytes that are borrowed; no alignment is asked for.
    unsafe { [_mm512_loadu_si512(a.cast()), _mm512_loadu_si512(b.cast())] }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(tile: &mut [u8; TILE_BYTES], sum: &[__m512i; 2]) {
    let (halves, _) = tile.as_chunks_mut::<64>();
    for (half, sum) in halves.iter_mut().zip(sum) {
        // SAFETY: the pointer is to 64 bytes that are borrowed mutably; no alignment is asked for.
        unsafe { _mm512_storeu_si512(half.as_mut_ptr().cast(), *sum) }
    }
}
