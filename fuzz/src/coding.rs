//! What strangers send to who decodes: coefficients and payloads.
#![allow(unreachable_pub, reason = "tests of the main workspace include this file as a module")]

use craftec_rlnc::{Decoder, Encoder, Generation, Recoder};

/// Pieces of any lengths, into a decoder and a recoder of a shape that the first bytes say: wrong
/// lengths are refused and change nothing, rank grows by at most one, both agree about it, and what
/// is decoded makes every piece that was taken.
pub fn pieces(bytes: &[u8]) {
    let Some(([sources, piece_bytes, wrong], mut rest)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let Ok(generation) = Generation::new(usize::from(*sources), usize::from(*piece_bytes)) else {
        return;
    };
    let (k, length) = (generation.sources(), generation.piece_bytes());
    let (mut decoder, mut recoder) = (Decoder::new(generation), Recoder::new(generation));
    let mut taken = Vec::new();
    // `wrong` says how often a length is one byte off.
    for turn in 1u16.. {
        let off = usize::from(*wrong > 0 && turn % u16::from(*wrong) == 0);
        let Some((coefficients, after)) = rest.split_at_checked(k + off) else { break };
        let Some((payload, after)) = after.split_at_checked(length) else { break };
        rest = after;
        let before = decoder.rank();
        let pushed = decoder.push(coefficients, payload);
        assert_eq!(pushed, recoder.push(coefficients, payload));
        match pushed {
            Ok(innovation) => {
                assert_eq!(off, 0);
                assert_eq!(innovation.rank(), before + usize::from(innovation.is_new()));
                if innovation.is_new() {
                    taken.push((coefficients, payload));
                }
            }
            Err(error) => {
                assert_eq!(off, 1);
                drop(error.to_string());
            }
        }
        assert_eq!((decoder.rank(), recoder.rank()), (taken.len(), taken.len()));
        assert!(taken.len() <= k);
    }
    check_decoded(&decoder, generation, &taken);
    check_recoded(&recoder, generation, &decoder);
}

fn check_decoded(decoder: &Decoder<&[u8]>, generation: Generation, taken: &[(&[u8], &[u8])]) {
    let mut sources = vec![vec![0; generation.piece_bytes()]; generation.sources()];
    let mut views: Vec<&mut [u8]> = sources.iter_mut().map(Vec::as_mut_slice).collect();
    let restored = decoder.restore_all(&mut views);
    assert_eq!(restored.is_ok(), taken.len() == generation.sources());
    assert_eq!(restored.is_ok(), decoder.is_complete());
    if restored.is_ok() {
        let encoder = Encoder::new(generation, sources).expect("the shape is its own");
        assert_eq!(encoder.polluted(taken), Ok(vec![]));
    }
}

/// A recoded piece teaches who has the same pieces nothing.
fn check_recoded(recoder: &Recoder<&[u8]>, generation: Generation, decoder: &Decoder<&[u8]>) {
    let weights: Vec<u8> = (1..).take(recoder.rank()).collect();
    let mut coefficients = vec![0; generation.sources()];
    let mut payload = vec![0; generation.piece_bytes()];
    let recoded = recoder.recode(&weights, &mut coefficients, &mut payload);
    assert_eq!(recoded.is_ok(), recoder.rank() > 0);
    let mut decoder = decoder.clone();
    assert!(decoder.push(&coefficients, &payload).is_ok_and(|innovation| !innovation.is_new()));
}
