//! WebAssembly's simd128: nibbles looked up by `i8x16.swizzle`, sixteen at once. Built with
//! `relaxed-simd` it uses the relaxed swizzle, which is the processor's own shuffle without the
//! masking of indices; ours are below 16, for which both say the same.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

#[cfg(target_feature = "relaxed-simd")]
use core::arch::wasm32::i8x16_relaxed_swizzle as swizzle;
#[cfg(not(target_feature = "relaxed-simd"))]
use core::arch::wasm32::i8x16_swizzle as swizzle;
use core::arch::wasm32::{u8x16_shr, u8x16_splat, v128, v128_and, v128_load, v128_store, v128_xor};

use super::{Lines, TILE_BYTES};
use crate::field::NIBBLES;

/// Registers of each row that are held at once: 8 sums, 4 operands and 2 tables of 16 registers.
const REGISTERS: usize = 2;
const STEP_BYTES: usize = REGISTERS * 16;
const _: () = assert!(TILE_BYTES.is_multiple_of(STEP_BYTES));

type Step = [u8; STEP_BYTES];

/// See [`super::Kernel::group`]; coefficients are elements.
#[target_feature(enable = "simd128")]
pub(super) fn group<const ROWS: usize, L: Lines>(
    coefficients: &[u64],
    mut lines: L,
    outputs: &mut [&mut [u8]],
    add: bool,
) {
    let low = u8x16_splat(15);
    let bytes = outputs[0].len();
    for at in (0..bytes).step_by(STEP_BYTES) {
        let (tile, part) = (at / TILE_BYTES, at % TILE_BYTES / STEP_BYTES);
        if part == 0 {
            lines.begin();
        }
        let mut sums = [[u8x16_splat(0); REGISTERS]; ROWS];
        if add {
            for (sum, output) in sums.iter_mut().zip(outputs.iter()) {
                if let Some(start) = output[at..].first_chunk() {
                    *sum = load(start);
                }
            }
        }
        for (source, row) in coefficients.chunks_exact(ROWS).enumerate() {
            let x = load(lines.part(tile, source, part));
            let lows = [v128_and(x[0], low), v128_and(x[1], low)];
            let highs = [u8x16_shr(x[0], 4), u8x16_shr(x[1], 4)];
            for (sum, coefficient) in sums.iter_mut().zip(row) {
                let (of_low, of_high) = tables(*coefficient as u8);
                for i in 0..REGISTERS {
                    let (a, b) = (swizzle(of_low, lows[i]), swizzle(of_high, highs[i]));
                    sum[i] = v128_xor(sum[i], v128_xor(a, b));
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

/// The products of a coefficient with low and with high nibbles.
#[target_feature(enable = "simd128")]
#[inline]
fn tables(coefficient: u8) -> (v128, v128) {
    let (halves, _) = NIBBLES[usize::from(coefficient)].as_chunks::<16>();
    // SAFETY: each pointer is to 16 bytes of a static; no alignment is asked for.
    unsafe { (v128_load(halves[0].as_ptr().cast()), v128_load(halves[1].as_ptr().cast())) }
}

#[target_feature(enable = "simd128")]
#[inline]
fn load(step: &Step) -> [v128; REGISTERS] {
    let (parts, _) = step.as_chunks::<16>();
    // SAFETY: each pointer is to 16 bytes that are borrowed; no alignment is asked for.
    unsafe { [v128_load(parts[0].as_ptr().cast()), v128_load(parts[1].as_ptr().cast())] }
}

#[target_feature(enable = "simd128")]
#[inline]
fn store(step: &mut Step, sum: &[v128; REGISTERS]) {
    let (parts, _) = step.as_chunks_mut::<16>();
    for (part, sum) in parts.iter_mut().zip(sum) {
        // SAFETY: the pointer is to 16 bytes that are borrowed mutably; no alignment is asked for.
        unsafe { v128_store(part.as_mut_ptr().cast(), *sum) }
    }
}
