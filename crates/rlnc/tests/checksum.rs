//! The secret checksum: what is right is always accepted, what is wrong is not, and what the documents
//! say of its worth holds where it can be counted.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Bytes, combined, dot, sources};
use craftec_rlnc::{
    Error, Kernel,
    checksum::{FORMS, Key, ROW_BYTES, Tag},
};
use proptest::prelude::*;

fn key(random: &mut Bytes, piece_bytes: usize) -> Key {
    let secret = random.take(Key::secret_bytes(piece_bytes));
    Key::new(piece_bytes, &secret).unwrap()
}

/// The tag by its definition: `aᵀ · P · b`, byte by byte.
fn naive(secret: &[u8], piece: &[u8]) -> Vec<u8> {
    let rows = piece.len().div_ceil(ROW_BYTES);
    let mut whole = piece.to_vec();
    whole.resize(rows * ROW_BYTES, 0);
    let rows_of: Vec<Vec<u8>> = whole.chunks(ROW_BYTES).map(<[u8]>::to_vec).collect();
    (0..FORMS)
        .map(|form| {
            let left = &secret[form * rows..][..rows];
            let right = &secret[FORMS * rows + form * ROW_BYTES..][..ROW_BYTES];
            dot(&combined(left, &rows_of, ROW_BYTES), right)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_kernel_gives_the_tag_of_the_definition(
        seed in any::<u64>(), piece_bytes in prop_oneof![1usize..3000, Just(40_000usize)],
    ) {
        let mut random = Bytes::new(seed);
        let secret = random.take(Key::secret_bytes(piece_bytes));
        let piece = random.take(piece_bytes);
        let expected = naive(&secret, &piece);
        for kernel in Kernel::available() {
            let key = Key::new(piece_bytes, &secret).unwrap().with_kernel(kernel);
            let tag = key.tag(&piece).unwrap().to_bytes();
            prop_assert!(tag[..] == expected[..], "{}", kernel.name());
        }
    }

    #[test]
    fn combinations_are_accepted_and_any_change_is_not(
        seed in any::<u64>(), k in 1usize..40, piece_bytes in 1usize..3000,
        place in any::<prop::sample::Index>(), change in 1u8..,
    ) {
        let mut random = Bytes::new(seed);
        let key = key(&mut random, piece_bytes);
        let sources = sources(&mut random, k, piece_bytes);
        let tags: Vec<Tag> = sources.iter().map(|source| key.tag(source).unwrap()).collect();
        let coefficients = random.take(k);
        let mut piece = combined(&coefficients, &sources, piece_bytes);
        prop_assert!(key.accepts(&coefficients, &piece, &tags).unwrap());
        // The change of a single byte is what passes most easily.
        piece[place.index(piece_bytes)] ^= change;
        prop_assert!(!key.accepts(&coefficients, &piece, &tags).unwrap());
    }
}

/// One wrong byte passes a single form with probability 2^-7 - 2^-16, as the documents say: counted
/// over all forms of many keys.
#[test]
fn a_form_misses_as_often_as_is_written() {
    const KEYS: usize = 2000;
    let mut random = Bytes::new(9);
    let mut wrong = vec![0; 700];
    wrong[600] = 0x5A;
    let missed: usize = (0..KEYS)
        .map(|_| {
            let tag = key(&mut random, wrong.len()).tag(&wrong).unwrap().to_bytes();
            tag.iter().filter(|byte| **byte == 0).count()
        })
        .sum();
    // 312 of 40,000 are expected, with a standard deviation of 17.6; five of them are allowed.
    assert!((224..400).contains(&missed), "{missed} of {}", KEYS * FORMS);
}

#[test]
fn keys_of_another_length_are_refused_and_nothing_shows_a_secret() {
    assert_eq!(Key::secret_bytes(256 << 10), 20 * (512 + 512));
    assert_eq!(Key::new(0, &[]).unwrap_err(), Error::PieceBytes { bytes: 0 });
    let need = Key::secret_bytes(5);
    let short = vec![0xAB; need - 1];
    let refused = Error::Length { expected: need, found: need - 1 };
    assert_eq!(Key::new(5, &short).unwrap_err(), refused);
    let key = Key::new(5, &vec![0xAB; need]).unwrap();
    assert_eq!(key.tag(b"four").unwrap_err(), Error::Length { expected: 5, found: 4 });
    let tag = key.tag(b"hello").unwrap();
    let missing = Error::Count { expected: 1, found: 2 };
    assert_eq!(key.accepts(&[1, 1], b"hello", &[tag]).unwrap_err(), missing);
    assert_eq!(format!("{key:?} {tag:?}"), "Key(secret, for pieces of 5 bytes) Tag(secret)");
    assert_eq!(Tag::from_bytes(tag.to_bytes()).to_bytes(), tag.to_bytes());
}
