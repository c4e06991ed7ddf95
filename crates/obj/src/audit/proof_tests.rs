//! Proofs of honest holders, and of every kind of liar.

use std::io::{Cursor, Read};

use craftec_core::Codec;
use proptest::prelude::*;

use super::*;

/// Lengths around every change of the tree's shape.
const LENGTHS: [usize; 16] = [
    0,
    1,
    1023,
    1024,
    1025,
    2048,
    2049,
    3 * 1024,
    4 * 1024,
    4 * 1024 + 1,
    5 * 1024 + 7,
    8 * 1024,
    31 * 1024 + 5,
    256 * 1024,
    256 * 1024 + 1,
    limits::BLOCK_BYTES,
];

fn block(seed: u64, len: usize) -> Block {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    Block::of(Codec::Raw, bytes).unwrap()
}

#[test]
fn every_chunk_of_every_shape_is_proved_and_is_the_right_one() {
    for len in LENGTHS {
        let block = block(1, len);
        let count = chunks(len as u32);
        let some = [0, 1, 2, count / 2, count.saturating_sub(2), count - 1];
        for at in some.into_iter().filter(|at| *at < count) {
            let proof = Proof::make(&block, at);
            let start = at as usize * CHUNK_BYTES;
            assert_eq!(proof.chunk, block.bytes()[start..(start + CHUNK_BYTES).min(len)]);
            let end = (at == count - 1).then_some(len as u32);
            assert_eq!(proof.verify(block.cid(), at), Ok(Shown { chunk: at, len: end }), "{len}");
            // The neighbour asked for is not what was shown; past the end, the last chunk is.
            let next = proof.verify(block.cid(), at + 1);
            match end {
                Some(_) => assert_eq!(next, Ok(Shown { chunk: at, len: end })),
                None => assert!(next.is_err(), "chunk {at} of {len} passed as the next one"),
            }
        }
        for past in [count, count + 1, CHUNKS, u32::MAX] {
            let shown = Proof::make(&block, past).verify(block.cid(), past);
            assert_eq!(shown, Ok(Shown { chunk: count - 1, len: Some(len as u32) }));
        }
    }
}

/// The same tree as the `bao` crate's: its slice of one chunk has the hashes of both children of each
/// node on the way, root first, and then the chunk.
#[test]
fn ways_are_those_of_the_bao_format() {
    for len in LENGTHS {
        let block = block(2, len);
        let (outboard, root) = bao::encode::outboard(block.bytes());
        assert_eq!(root, *block.cid().hash());
        for at in [0, chunks(len as u32) / 3, chunks(len as u32) - 1] {
            let start = at as usize * CHUNK_BYTES;
            let mut slice = Vec::new();
            bao::encode::SliceExtractor::new_outboard(
                Cursor::new(block.bytes()),
                Cursor::new(&outboard),
                start as u64,
                CHUNK_BYTES as u64,
            )
            .read_to_end(&mut slice)
            .unwrap();
            let proof = Proof::make(&block, at);
            let mut theirs = &slice[8..];
            let mut node = Subtree { first: 0, count: chunks(len as u32) };
            for beside in proof.path.chunks(HASH_BYTES) {
                let (next, _, left) = node.split(at).unwrap();
                let both = theirs.split_off(..2 * HASH_BYTES).unwrap();
                assert_eq!(if left { &both[HASH_BYTES..] } else { &both[..HASH_BYTES] }, beside);
                node = next;
            }
            assert_eq!(theirs, &proof.chunk, "chunk {at} of {len}");
        }
    }
}

/// A liar that knows every hash of the tree, kept one chunk, and claims any length: the way is the
/// best that the true tree has for its claim.
#[test]
fn no_claimed_length_turns_a_kept_chunk_into_another() {
    let mut passed = 0;
    for real in 1..=17_u32 {
        let block = block(3, (real as usize - 1) * CHUNK_BYTES + 9);
        for (claimed, wanted) in (1..=20).flat_map(|claimed| (0..20).map(move |at| (claimed, at))) {
            let len = (claimed - 1) * CHUNK_BYTES as u32 + 9;
            let mut path = Vec::new();
            let mut node = Subtree { first: 0, count: claimed };
            while let Some((next, beside, _)) = node.split(wanted.min(claimed - 1)) {
                let known = beside.first < real;
                path.extend(if known { beside.hash(block.bytes()) } else { [0; HASH_BYTES] });
                node = next;
            }
            for kept in 0..real {
                let chunk = Proof::make(&block, kept).chunk;
                let lie = Proof { len, path: path.clone().into(), chunk };
                let Ok(shown) = lie.verify(block.cid(), wanted) else { continue };
                passed += 1;
                // What passes is the chunk asked for, or the true end.
                assert_eq!(shown.chunk, kept);
                assert!(wanted == kept || (kept == real - 1 && wanted >= real));
                assert!(shown.len.is_none_or(|len| len as usize == block.len()));
            }
        }
    }
    assert!(passed > 17 * 18 / 2, "honest ones pass too: {passed}");
}

#[test]
fn cut_longer_swapped_and_foreign_proofs_prove_nothing() {
    let (block, other) = (block(4, 20 * 1024 + 100), block(5, 20 * 1024 + 100));
    let (good, cid) = (Proof::make(&block, 7), *block.cid());
    let bad = |change: &dyn Fn(&mut Proof)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof.verify(&cid, 7).unwrap_err()
    };
    let shape = ProofError::Shape { chunk: 7, len: good.len };
    assert_eq!(bad(&|proof| proof.chunk = proof.chunk.slice(1..)), shape);
    assert_eq!(bad(&|proof| proof.chunk = Bytes::new()), shape);
    assert_eq!(bad(&|proof| proof.chunk = vec![0; CHUNK_BYTES + 1].into()), shape);
    assert_eq!(bad(&|proof| proof.path = proof.path.slice(32..)), shape);
    assert_eq!(bad(&|proof| proof.path = proof.path.slice(1..)), shape);
    assert_eq!(bad(&|proof| proof.path = [&proof.path[..], &[0; 32]].concat().into()), shape);
    let hash = ProofError::Hash { chunk: 7 };
    assert_eq!(bad(&|proof| *proof = Proof { len: proof.len, ..Proof::make(&block, 6) }), hash);
    assert_eq!(bad(&|proof| *proof = Proof::make(&other, 7)), hash);
    let swapped = |proof: &mut Proof| {
        let (a, rest) = proof.path.split_at(32);
        let (b, rest) = rest.split_at(32);
        proof.path = [b, a, rest].concat().into();
    };
    assert_eq!(bad(&swapped), hash);
    let long = ProofError::Length { len: limits::BLOCK_BYTES as u32 + 1 };
    assert_eq!(bad(&|proof| proof.len = limits::BLOCK_BYTES as u32 + 1), long);
    assert!(matches!(bad(&|proof| proof.len = u32::MAX), ProofError::Length { .. }));
    // A shorter block, of which this is said to be the last chunk: all turns must be to the right.
    assert!(matches!(bad(&|proof| proof.len = 8 * 1024), ProofError::Shape { .. }));
    assert!(matches!(bad(&|proof| proof.len = 0), ProofError::Shape { .. }));
}

#[test]
fn a_single_chunk_and_nothing_at_all_are_blocks_too() {
    for len in [0, 1, 1024] {
        let block = block(6, len);
        let proof = Proof::make(&block, 0);
        assert!(proof.path.is_empty());
        assert!(proof.verify(block.cid(), 0).is_ok());
        let (empty, one) = (Bytes::new(), Bytes::from_static(&[1]));
        assert_eq!(
            Proof { chunk: empty, ..proof.clone() }.verify(block.cid(), 0).is_ok(),
            len == 0
        );
        let longer = Proof { len: len as u32 + 1, chunk: one, path: Bytes::new() };
        assert!(longer.verify(block.cid(), 0).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn honest_proofs_verify(seed: u64, len in 0_usize..80_000, wanted in 0_u32..100) {
        let block = block(seed, len);
        let shown = Proof::make(&block, wanted).verify(block.cid(), wanted);
        let last = chunks(len as u32) - 1;
        let end = (wanted >= last).then_some(len as u32);
        prop_assert_eq!(shown, Ok(Shown { chunk: wanted.min(last), len: end }));
    }

    /// Whatever is changed, what passes is still the chunk that was asked for.
    #[test]
    fn what_passes_is_the_chunk(
        len in 0_usize..40_000,
        (kept, wanted) in (0_u32..40, 0_u32..40),
        claimed in prop::option::of(0_u32..60_000),
        (at, bit) in (any::<prop::sample::Index>(), 0_u32..8),
        change in 0..4,
    ) {
        let block = block(7, len);
        let mut proof = Proof::make(&block, kept);
        proof.len = claimed.unwrap_or(proof.len);
        let flip = |bytes: &Bytes| {
            let mut bytes = bytes.to_vec();
            if let Some(byte) = (!bytes.is_empty()).then(|| at.index(bytes.len())) {
                bytes[byte] ^= 1 << bit;
            }
            Bytes::from(bytes)
        };
        match change {
            0 => proof.chunk = flip(&proof.chunk),
            1 => proof.path = flip(&proof.path),
            2 => proof.path = proof.path.slice(..proof.path.len() / 64 * 32),
            _ => {}
        }
        if let Ok(shown) = proof.verify(block.cid(), wanted) {
            let start = shown.chunk as usize * CHUNK_BYTES;
            let end = (start + CHUNK_BYTES).min(len);
            prop_assert_eq!(&proof.chunk, &block.bytes()[start..end]);
            prop_assert!(shown.chunk == wanted || shown.len == Some(len as u32));
        }
    }
}
