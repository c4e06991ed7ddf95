//! What samples show and what they cost. Arithmetic only.
//!
//! A holder that lacks a share f of its chunks answers m random ones with probability (1 − f)^m,
//! whatever it kept and however clever it is. So m = ln(1 − p) / ln(1 − f) samples catch it with
//! probability p; what it lacks altogether has no part in it, only the share.
//!
//! | lacks | caught with | samples | bytes, of blocks of 256 KiB |
//! |---|---|---|---|
//! | 1% | 99% | 459 | 0.63 MB |
//! | 1% | **99.9%** | **688** | 0.95 MB |
//! | 1% | 99.99% | 917 | 1.26 MB |
//! | 10% | 99.9% | 66 | 0.09 MB |
//! | 0.1% | 99.9% | 6905 | 9.52 MB |
//!
//! The bytes are those of messages, both ways, [`sample_bytes`] each: the chunk, its way, its name and
//! the envelope. They do not depend on how much is stored, so that 688 a day are less than 0.1% of it
//! only at a holder of more than 949 MB ([`least_stored`]); one that keeps 100 MB costs 1% a day, and
//! below 0.95 MB to fetch everything would cost less. The 768 a day of the
//! [schedule](super::schedule) are 1.06 MB, and 0.1% of 1.06 GB (0.99 GiB).
//!
//! The share is one of chunks, so blocks must be drawn by their length: where all were equally likely,
//! a holder would keep the small ones.

use super::{proof::CHUNK_BYTES, wire};

/// The share of its bytes that a holder may lack without being caught for sure.
pub const MISSING: f64 = 0.01;
/// How surely it is caught within a day.
pub const CAUGHT: f64 = 0.999;

/// Bytes of a challenge: CID (44 with its name), chunk index (11), map.
const CHALLENGE_BYTES: u64 = 57;
/// Bytes of a proof around its chunk and its way: names, lengths, maps.
const ENVELOPE_BYTES: u64 = 42;

/// Samples needed to catch a holder that lacks `missing` of its chunks with probability `caught`; both
/// between 0 and 1, and not at either end.
pub fn samples(missing: f64, caught: f64) -> u32 {
    ((-caught).ln_1p() / (-missing).ln_1p()).ceil() as u32
}

/// The probability that `samples` catch a holder that lacks `missing` of its chunks.
pub fn caught(missing: f64, samples: u32) -> f64 {
    -(f64::from(samples) * (-missing).ln_1p()).exp_m1()
}

/// The same of two failures at least, in `samples` until the first and `closer` after it.
pub fn caught_twice(missing: f64, samples: u32, closer: u32) -> f64 {
    caught(missing, samples) * caught(missing, closer)
}

/// Bytes of messages, both ways, of one sample of a block of `block_bytes`.
pub const fn sample_bytes(block_bytes: u64) -> u64 {
    let whole = CHUNK_BYTES as u64;
    let hashes = match block_bytes.div_ceil(whole) {
        0 => 0,
        chunks => chunks.next_power_of_two().ilog2() as u64,
    };
    let chunk = if block_bytes < whole { block_bytes } else { whole };
    CHALLENGE_BYTES + ENVELOPE_BYTES + hashes * 32 + chunk
}

/// How many bytes a holder must store for `bytes` to be no more than `share` of it.
pub fn least_stored(bytes: u64, share: f64) -> u64 {
    (bytes as f64 / share).ceil() as u64
}

/// A request of the most challenges has them and little more.
const _: () = assert!(wire::CHALLENGES as u64 * CHALLENGE_BYTES < wire::REQUEST_BYTES as u64);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Block,
        audit::{
            proof::Proof,
            schedule,
            wire::{Answer, Challenge, Item, Request},
        },
    };
    use craftec_core::Codec;

    const BLOCK: u64 = 256 << 10;

    /// The table above.
    #[test]
    fn samples_and_their_bytes_are_as_said() {
        let rows = [
            (0.01, 0.99, 459, 0.63),
            (0.01, 0.999, 688, 0.95),
            (0.01, 0.9999, 917, 1.26),
            (0.1, 0.999, 66, 0.09),
            (0.001, 0.999, 6905, 9.52),
        ];
        for (missing, caught, expected, megabytes) in rows {
            let needed = samples(missing, caught);
            assert_eq!(needed, expected, "{missing} {caught}");
            assert!(super::caught(missing, needed) >= caught);
            assert!(super::caught(missing, needed - 1) < caught);
            let bytes = u64::from(needed) * sample_bytes(BLOCK);
            assert!((bytes as f64 / 1e6 - megabytes).abs() < 0.006, "{bytes}");
        }
        let day = 688 * sample_bytes(BLOCK);
        let least = least_stored(day, 0.001);
        println!("688 samples of 256 KiB blocks: {day} bytes, 0.1% of {least}");
        assert_eq!(least / 1_000_000, 948);
        assert!((day as f64 / 100e6 - 0.01).abs() < 0.0006);
        let day = u64::from(schedule::DAY_SAMPLES) * sample_bytes(BLOCK);
        let least = least_stored(day, 0.001);
        println!("{} samples: {day} bytes, 0.1% of {least}", schedule::DAY_SAMPLES);
        assert!((day as f64 / 1e6 - 1.06).abs() < 0.005 && least < 1 << 30);
    }

    /// Encoded messages have the lengths that the arithmetic says.
    #[test]
    fn a_sample_costs_what_its_messages_cost() {
        for len in [0, 500, 1024, 70_000, BLOCK as usize, 1 << 20] {
            let block = Block::of(Codec::Raw, vec![3; len]).unwrap();
            let length = |count: u64| {
                let challenge = Challenge { cid: *block.cid(), chunk: 200 };
                let request = Request { challenges: vec![challenge; count as usize] };
                let item = Item::Proof(Proof::make(&block, 0));
                let answer = Answer::Proofs(vec![item; count as usize]);
                (request.encode().unwrap().len() + answer.encode().unwrap().len()) as u64
            };
            let (one, four) = (length(1), length(4));
            let (said, more) = (sample_bytes(len as u64), (four - one) / 3);
            assert!(more <= said && said - more < 20, "{len}: {more} and not {said}");
            assert!(four <= 4 * said, "{len}: envelopes are within the estimate");
        }
    }
}
