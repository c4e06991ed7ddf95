#![cfg_attr(not(feature = "std"), no_std)]
//! Random linear network coding over GF(2^8). See README
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

extern crate alloc;

pub use decoder::Decoder;
pub use echelon::{Echelon, Innovation};
pub use encoder::Encoder;
pub use error::Error;
pub use generation::{Generation, MAX_PIECE_BYTES, MAX_SOURCES};
pub use kernel::Kernel;
pub use matrix::Matrix;
pub use recoder::Recoder;
