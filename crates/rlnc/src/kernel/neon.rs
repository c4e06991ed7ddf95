//! NEON, which every AArch64 processor has: nibbles looked up by `tbl`, sixteen at once.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use core::arch::aarch64::{
    uint8x16_t, vandq_u8, vdupq_n_u8, veorq_u8, vld1q_u8, vqtbl1q_u8, vshrq_n_u8, vst1q_u8,
};

use super::{Lines, TILE_BYTES};
use crate::field::NIBBLES;

/// Registers of each row that are held at once: 16 sums, 8 operands and 2 tables of 32 registers.
const REGISTERS: usize = 4;
const STEP_BYTES: usize = REGISTERS * 16;
const _: () = assert!(TILE_BYTES.is_multiple_of(STEP_BYTES));

type Step = [u8; STEP_BYTES];

/// See [`super::Kernel::group`]; coefficients are elements.
#[target_feature(enable = "neon")]
pub(super) fn group<const ROWS: usize, L: Lines>(
    coefficients: &[u64],
    mut lines: L,
    outputs: &mut [&mut [u8]],
    add: bool,
) {
    let low = vdupq_n_u8(15);
    let bytes = outputs[0].len();
    for at in (0..bytes).step_by(STEP_BYTES) {
        let (tile, part) = (at / TILE_BYTES, at % TILE_BYTES / STEP_BYTES);
        if part == 0 {
            lines.begin();
        }
        let mut sums = [[vdupq_n_u8(0); REGISTERS]; ROWS];
        if add {
            for (sum, output) in sums.iter_mut().zip(outputs.iter()) {
                if let Some(start) = output[at..].first_chunk() {
                    *sum = load(start);
                }
            }
        }
        for (source, row) in coefficients.chunks_exact(ROWS).enumerate() {
            let x = load(lines.part(tile, source, part));
            let lows = x.map(|x| vandq_u8(x, low));
            let highs = x.map(|x| vshrq_n_u8::<4>(x));
            for (sum, coefficient) in sums.iter_mut().zip(row) {
                let (of_low, of_high) = tables(*coefficient as u8);
                for i in 0..REGISTERS {
                    let (a, b) = (vqtbl1q_u8(of_low, lows[i]), vqtbl1q_u8(of_high, highs[i]));
                    sum[i] = veorq_u8(sum[i], veorq_u8(a, b));
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
#[target_feature(enable = "neon")]
#[inline]
fn tables(coefficient: u8) -> (uint8x16_t, uint8x16_t) {
    let (halves, _) = NIBBLES[usize::from(coefficient)].as_chunks::<16>();
    // SAFETY: each pointer is to 16 bytes of a static.
    unsafe { (vld1q_u8(halves[0].as_ptr()), vld1q_u8(halves[1].as_ptr())) }
}

#[target_feature(enable = "neon")]
#[inline]
fn load(step: &Step) -> [uint8x16_t; REGISTERS] {
    let (parts, _) = step.as_chunks::<16>();
    core::array::from_fn(|i| {
        // SAFETY: the pointer is to 16 bytes that are borrowed.
        unsafe { vld1q_u8(parts[i].as_ptr()) }
    })
}

#[target_feature(enable = "neon")]
#[inline]
fn store(step: &mut Step, sum: &[uint8x16_t; REGISTERS]) {
    let (parts, _) = step.as_chunks_mut::<16>();
    for (part, sum) in parts.iter_mut().zip(sum) {
        // SAFETY: the pointer is to 16 bytes that are borrowed mutably.
        unsafe { vst1q_u8(part.as_mut_ptr(), *sum) }
    }
}
