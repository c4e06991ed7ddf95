//! Random linear network coding over GF(2^8). It decides and computes; it never does I/O, never reads a
//! clock and never draws a random number.
//!
#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod checksum;
mod decoder;
mod echelon;
mod encoder;
mod error;
pub mod field;
mod generation;
mod kernel;
mod matrix;
mod product;
mod recoder;
pub mod sample;

pub use decoder::Decoder;
pub use echelon::{Echelon, Innovation};
pub use encoder::Encoder;
pub use error::Error;
pub use generation::{Generation, MAX_PIECE_BYTES, MAX_SOURCES};
pub use kernel::Kernel;
pub use matrix::Matrix;
pub use recoder::Recoder;
