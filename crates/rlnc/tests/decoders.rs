//! The decoder keeps its promises on anything: the body of the fuzz target, on generated pieces.
#![allow(clippy::expect_used, reason = "tests")]

#[path = "../../../fuzz/src/coding.rs"]
mod bodies;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        bodies::pieces(&bytes);
    }

    /// Shapes that fit, and few different coefficients: ranks of all kinds.
    #[test]
    fn dependent_pieces(
        sources in 1u8..=64, piece_bytes in 1u8..40, wrong in 0u8..9,
        bytes in prop::collection::vec(0u8..3, 0..6000),
    ) {
        bodies::pieces(&[&[sources, piece_bytes, wrong], &bytes[..]].concat());
    }
}
