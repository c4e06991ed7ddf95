//! What must hold of coding whatever the shape, the losses and the order: checked on generated cases
//! against arithmetic that is written here a second time, the slow way.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Bytes, combined, naive_rank, sources};
use craftec_rlnc::{
    Decoder, Echelon, Encoder, Error, Generation, Innovation, Kernel, Matrix, Recoder, sample,
};
use proptest::prelude::*;

/// Lengths around every step of the kernels, and odd ones.
fn piece_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![
        1usize..300,
        Just(127usize),
        Just(128),
        Just(129),
        Just(1023),
        Just(1024),
        Just(1025),
        1000usize..3000
    ]
}

/// Vectors of few different elements, so that many depend on each other.
fn vectors() -> impl Strategy<Value = (usize, Vec<Vec<u8>>)> {
    (1usize..=64).prop_flat_map(|columns| {
        let element = prop_oneof![Just(0u8), Just(0), Just(1), 2u8..5, any::<u8>()];
        let vector = prop::collection::vec(element, columns);
        (Just(columns), prop::collection::vec(vector, 0..80))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_kernel_multiplies_like_the_definition(
        seed in any::<u64>(), inputs in 0usize..150, rows in 0usize..11, bytes in piece_bytes(),
        zeros in 0u8..=255,
    ) {
        let mut random = Bytes::new(seed);
        let pieces: Vec<Vec<u8>> = (0..inputs).map(|_| random.take(bytes)).collect();
        let mut coefficients = random.take(inputs * rows);
        // Up to all of them are zero: what no row uses is left out.
        let keep = random.take(inputs);
        for (i, c) in coefficients.iter_mut().enumerate() {
            *c *= u8::from(keep[i % inputs] >= zeros);
        }
        let views: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let expected: Vec<Vec<u8>> = (0..rows)
            .map(|r| combined(&coefficients[r * inputs..][..inputs], &pieces, bytes))
            .collect();
        for kernel in Kernel::available() {
            // What the outputs held before does not matter.
            let mut outputs = vec![vec![0xA5; bytes]; rows];
            let mut places: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            kernel.product(&coefficients, &views, &mut places).unwrap();
            prop_assert!(outputs == expected, "{}", kernel.name());
        }
    }

    #[test]
    fn rank_is_the_true_rank((columns, vectors) in vectors()) {
        for kernel in Kernel::available() {
            let mut echelon = Echelon::with_kernel(columns, kernel).unwrap();
            let mut taken: Vec<Vec<u8>> = Vec::new();
            for (count, vector) in vectors.iter().enumerate() {
                let before = echelon.rank();
                let combination = echelon.combination(vector).unwrap();
                if let Some(factors) = &combination {
                    prop_assert_eq!(&combined(factors, &taken, columns), vector);
                }
                let innovation = echelon.push(vector).unwrap();
                prop_assert_eq!(innovation.is_new(), combination.is_none());
                prop_assert_eq!(innovation.rank(), naive_rank(&vectors[..=count]));
                prop_assert_eq!(innovation.rank(), echelon.rank());
                prop_assert_eq!(echelon.rank() - before, usize::from(innovation.is_new()));
                if innovation.is_new() {
                    taken.push(vector.clone());
                }
                prop_assert!(echelon.contains(vector).unwrap());
            }
        }
    }

    #[test]
    fn any_losses_are_made_good(
        seed in any::<u64>(), k in 1usize..=64, bytes in piece_bytes(), lost in any::<u64>(),
    ) {
        let mut random = Bytes::new(seed);
        let generation = Generation::new(k, bytes).unwrap();
        let sources = sources(&mut random, k, bytes);
        let encoder = Encoder::new(generation, sources.clone()).unwrap();
        let mut decoder = Decoder::new(generation);
        // Sources and coded pieces in turn, so that neither comes first always.
        for (index, source) in sources.iter().enumerate() {
            if lost >> index & 1 == 0 {
                let _ = decoder.push_source(index, source.clone()).unwrap();
            } else {
                let coefficients = random.take(k);
                let mut coded = vec![0; bytes];
                encoder.encode(&coefficients, &mut coded).unwrap();
                let _ = decoder.push(&coefficients, coded).unwrap();
            }
        }
        for _ in 0..8 {
            let coefficients = random.take(k);
            let coded = combined(&coefficients, &sources, bytes);
            let _ = decoder.push(&coefficients, coded).unwrap();
        }
        prop_assert!(decoder.is_complete());
        let mut all = vec![vec![0; bytes]; k];
        let mut views: Vec<&mut [u8]> = all.iter_mut().map(Vec::as_mut_slice).collect();
        decoder.restore_all(&mut views).unwrap();
        prop_assert_eq!(&all, &sources);
        let missing: Vec<usize> = decoder.missing().collect();
        let mut some = vec![vec![0; bytes]; missing.len()];
        let mut views: Vec<&mut [u8]> = some.iter_mut().map(Vec::as_mut_slice).collect();
        decoder.restore_missing(&mut views).unwrap();
        for (index, source) in sources.iter().enumerate() {
            let found = match missing.iter().position(|m| *m == index) {
                Some(place) => &some[place][..],
                None => decoder.received(index).unwrap(),
            };
            prop_assert_eq!(found, &source[..]);
        }
    }

    #[test]
    fn recoding_keeps_what_its_rank_says(
        seed in any::<u64>(), k in 1usize..=24, bytes in 1usize..200, generations in 1usize..6,
        sparse in any::<bool>(),
    ) {
        let mut random = Bytes::new(seed);
        let generation = Generation::new(k, bytes).unwrap();
        let sources = sources(&mut random, k, bytes);
        let encoder = Encoder::new(generation, sources.clone()).unwrap();
        let mut pieces: Vec<(Vec<u8>, Vec<u8>)> = (0..k + 2)
            .map(|_| {
                let coefficients = random.take(k);
                let coded = combined(&coefficients, &sources, bytes);
                (coefficients, coded)
            })
            .collect();
        for _ in 0..generations {
            let mut recoder = Recoder::new(generation);
            for (coefficients, payload) in &pieces {
                let _ = recoder.push(coefficients, payload.clone()).unwrap();
            }
            let vectors: Vec<Vec<u8>> = pieces.iter().map(|(c, _)| c.clone()).collect();
            prop_assert_eq!(recoder.rank(), naive_rank(&vectors));
            pieces = (0..k + 2)
                .map(|_| {
                    let mut weights = vec![0; recoder.rank()];
                    let fill = |bytes: &mut [u8]| random.fill(bytes);
                    if sparse {
                        sample::sparse(&mut weights, recoder.rank().min(4), fill).unwrap();
                    } else {
                        sample::dense(&mut weights, fill).unwrap();
                    }
                    let (mut coefficients, mut payload) = (vec![0; k], vec![0; bytes]);
                    recoder.recode(&weights, &mut coefficients, &mut payload).unwrap();
                    (coefficients, payload)
                })
                .collect();
        }
        // However it was recoded: a piece is what its coefficients say, and rank is enough.
        let views: Vec<(&[u8], &[u8])> = pieces.iter().map(|(c, p)| (&c[..], &p[..])).collect();
        prop_assert_eq!(encoder.polluted(&views).unwrap(), Vec::<usize>::new());
        let mut decoder = Decoder::new(generation);
        for (coefficients, payload) in &pieces {
            let _ = decoder.push(coefficients, payload).unwrap();
        }
        let vectors: Vec<Vec<u8>> = pieces.iter().map(|(c, _)| c.clone()).collect();
        prop_assert_eq!(decoder.is_complete(), naive_rank(&vectors) == k);
        for (index, source) in sources.iter().enumerate() {
            let mut output = vec![0; bytes];
            match decoder.restore(index, &mut output) {
                Ok(()) => prop_assert_eq!(&output, source),
                Err(error) => {
                    prop_assert_eq!(error, Error::Rank { rank: decoder.rank(), sources: k });
                    prop_assert!(!decoder.is_complete());
                }
            }
        }
    }

    #[test]
    fn a_polluter_is_named(seed in any::<u64>(), count in 1usize..30, wrong in any::<u32>()) {
        let mut random = Bytes::new(seed);
        let generation = Generation::new(5, 333).unwrap();
        let sources = sources(&mut random, 5, 333);
        let encoder = Encoder::new(generation, sources.clone()).unwrap();
        let mut pieces = Vec::new();
        for index in 0..count {
            let coefficients = random.take(5);
            let mut payload = combined(&coefficients, &sources, 333);
            payload[index * 11] ^= (wrong >> index & 1) as u8;
            pieces.push((coefficients, payload));
        }
        let views: Vec<(&[u8], &[u8])> = pieces.iter().map(|(c, p)| (&c[..], &p[..])).collect();
        let expected: Vec<usize> = (0..count).filter(|index| wrong >> index & 1 == 1).collect();
        prop_assert_eq!(encoder.polluted(&views).unwrap(), expected);
    }

    #[test]
    fn a_matrix_times_its_inverse_changes_nothing(seed in any::<u64>(), n in 1usize..=64) {
        let mut random = Bytes::new(seed);
        let matrix = Matrix::new(n, random.take(n * n)).unwrap();
        let rows: Vec<Vec<u8>> = matrix.rows().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(matrix.rank(), naive_rank(&rows));
        let identity = Matrix::identity(n).unwrap();
        match matrix.inverse() {
            Ok(inverse) => {
                prop_assert_eq!(matrix.multiply(&inverse).unwrap(), identity.clone());
                prop_assert_eq!(inverse.multiply(&matrix).unwrap(), identity);
                let x = random.take(n);
                let right: Vec<u8> = rows.iter().map(|row| common::dot(row, &x)).collect();
                prop_assert_eq!(matrix.solve(&right).unwrap(), x);
            }
            Err(error) => {
                prop_assert_eq!(error, Error::Singular);
                prop_assert!(matrix.rank() < n);
            }
        }
    }
}

/// `k` uniform vectors are independent with probability `Π (1 - 256^-i)`, about 1 - 1/255; with two
/// more, all but about 6 in 10^8 generations decode.
#[test]
fn random_pieces_decode_as_often_as_theory_says() {
    const TRIALS: usize = 6000;
    const K: usize = 8;
    let mut random = Bytes::new(20);
    let (mut short_of_k, mut short_of_k_and_two) = (0, 0);
    for _ in 0..TRIALS {
        let mut echelon = Echelon::new(K).unwrap();
        for _ in 0..K {
            let _ = echelon.push(&random.take(K)).unwrap();
        }
        short_of_k += usize::from(!echelon.is_complete());
        for _ in 0..2 {
            let _ = echelon.push(&random.take(K)).unwrap();
        }
        short_of_k_and_two += usize::from(!echelon.is_complete());
    }
    // 23.5 are expected, with a standard deviation of 4.8; five of them on each side are allowed.
    assert!((1..48).contains(&short_of_k), "{short_of_k} of {TRIALS} with k pieces");
    assert_eq!(short_of_k_and_two, 0);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    assert_eq!(Generation::new(0, 1), Err(Error::SourceCount { count: 0 }));
    assert_eq!(Generation::new(65, 1), Err(Error::SourceCount { count: 65 }));
    assert_eq!(Generation::new(1, 0), Err(Error::PieceBytes { bytes: 0 }));
    assert_eq!(Generation::new(1, usize::MAX), Err(Error::PieceBytes { bytes: usize::MAX }));
    let generation = Generation::new(2, 4).unwrap();
    let mut decoder: Decoder<&[u8]> = Decoder::new(generation);
    assert_eq!(decoder.push(&[1], &[0; 4]), Err(Error::Count { expected: 2, found: 1 }));
    assert_eq!(decoder.push(&[1, 1], &[0; 5]), Err(Error::Length { expected: 4, found: 5 }));
    let unknown = Error::SourceIndex { index: 2, sources: 2 };
    assert_eq!(decoder.push_source(2, &[0; 4]), Err(unknown));
    assert_eq!(decoder.restore(2, &mut [0; 4]), Err(unknown));
    assert_eq!(decoder.push(&[0, 0], &[9; 4]), Ok(Innovation::Redundant { rank: 0 }));
    let rank = Error::Rank { rank: 0, sources: 2 };
    assert_eq!(decoder.restore_all(&mut [&mut [0; 4], &mut [0; 4]]), Err(rank));
    assert_eq!(decoder.restore_missing(&mut []), Err(rank));
    assert_eq!(decoder.push(&[3, 0], &[3, 6, 9, 12]), Ok(Innovation::New { rank: 1 }));
    // Known, but not received as it is.
    assert_eq!(decoder.received(0), None);
    assert_eq!(decoder.restore(0, &mut [0; 3]), Err(Error::Length { expected: 4, found: 3 }));
    let mut first = [0; 4];
    decoder.restore(0, &mut first).unwrap();
    assert_eq!(first[0], 1);
    assert_eq!(decoder.restore(1, &mut first), Err(Error::Rank { rank: 1, sources: 2 }));

    let recoder: Recoder<Vec<u8>> = Recoder::new(generation);
    let nothing = recoder.recode(&[], &mut [0; 2], &mut [0; 4]);
    assert_eq!(nothing, Err(Error::Nothing));
    let mut output = [7; 4];
    let kernel = Kernel::SCALAR;
    let short = kernel.product(&[1, 1], &[&[1; 4], &[1; 3]], &mut [&mut output]);
    assert_eq!((short, output), (Err(Error::Length { expected: 4, found: 3 }), [7; 4]));
    assert!(Matrix::new(3, vec![0; 4]).is_err());
    assert!(Matrix::identity(usize::MAX).is_err());
    assert_eq!(Matrix::new(2, vec![1, 2]).unwrap().inverse(), Err(Error::Singular));
}
