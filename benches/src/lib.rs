//! Benches beside other programs: each side of a comparison in a module of its own.

pub mod ours;
pub mod peer;
