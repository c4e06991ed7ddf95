//! The code of one generation: a systematic Cauchy code over GF(2^8), so that any k of its pieces
//! give the sources back, for certain.
//!
//! The coefficient of coded piece j (k ≤ j < 256) for source i (i < k) is 1 / (j + i), where + is
//! addition in GF(2^8), that is XOR, and the field is that of [`craftec_rlnc::field`] (polynomial
//! 0x11B). Every square submatrix of such a Cauchy matrix is regular, which is what "any k" needs.
//! Source: J. Blömer et al., "An XOR-Based Erasure-Resilient Coding Scheme", ICSI TR-95-048, 1995.

use bytes::Bytes;
use craftec_core::Codec;
use craftec_rlnc::{Decoder, Encoder, Generation as Shape, field};

use super::CodedError;
use crate::block::Block;

/// The shape of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    sources: u8,
    piece_bytes: usize,
}

impl Generation {
    /// `sources` pieces (1 to 64) of `piece_bytes` each; the last piece of a file may be shorter, and
    /// is coded as if zeros followed it.
    pub const fn new(sources: u8, piece_bytes: usize) -> Self {
        Self { sources, piece_bytes }
    }

    fn shape(self) -> Result<Shape, CodedError> {
        Ok(Shape::new(self.sources.into(), self.piece_bytes)?)
    }

    /// The coefficients of piece `index`, one for each source.
    pub fn coefficients(self, index: u8) -> Vec<u8> {
        let of = |source: u8| match index < self.sources {
            true => u8::from(index == source),
            // Differs from every source, so the sum is not 0.
            false => field::inverse(index ^ source).unwrap_or_default(),
        };
        (0..self.sources).map(of).collect()
    }

    /// The pieces `indices`, as raw blocks, from all sources in their order.
    ///
    /// # Errors
    /// When there are more or fewer sources, or one is longer than a piece.
    pub fn encode(self, sources: &[Bytes], indices: &[u8]) -> Result<Vec<Block>, CodedError> {
        let padded = sources.iter().map(|source| self.padded(source));
        let encoder = Encoder::new(self.shape()?, padded.collect::<Result<Vec<_>, _>>()?)?;
        let coefficients: Vec<Vec<u8>> = indices.iter().map(|at| self.coefficients(*at)).collect();
        let coefficients: Vec<&[u8]> = coefficients.iter().map(Vec::as_slice).collect();
        let mut pieces = vec![vec![0; self.piece_bytes]; indices.len()];
        let mut outputs: Vec<&mut [u8]> = pieces.iter_mut().map(Vec::as_mut_slice).collect();
        encoder.encode_many(&coefficients, &mut outputs)?;
        pieces.into_iter().map(raw).collect()
    }

    /// All sources from any k pieces, each with its number. Sources come back as long as a piece:
    /// what follows a shorter one are zeros.
    ///
    /// # Errors
    /// [`CodedError::TooFew`] when there are fewer than k different ones.
    pub fn restore(self, pieces: &[(u8, Bytes)]) -> Result<Vec<Bytes>, CodedError> {
        let mut decoder = Decoder::new(self.shape()?);
        for (index, bytes) in pieces {
            if decoder.is_complete() {
                break;
            }
            // One that comes twice adds nothing.
            let _rank = decoder.push(&self.coefficients(*index), self.padded(bytes)?)?;
        }
        if !decoder.is_complete() {
            let (found, needed) = (decoder.rank(), usize::from(self.sources));
            return Err(CodedError::TooFew { found, needed });
        }
        let missing: Vec<usize> = decoder.missing().collect();
        let mut restored = vec![vec![0; self.piece_bytes]; missing.len()];
        let mut outputs: Vec<&mut [u8]> = restored.iter_mut().map(Vec::as_mut_slice).collect();
        decoder.restore_missing(&mut outputs)?;
        let mut restored: std::collections::BTreeMap<usize, Bytes> =
            missing.into_iter().zip(restored.into_iter().map(Bytes::from)).collect();
        let mut came: std::collections::BTreeMap<usize, &Bytes> =
            pieces.iter().map(|(index, bytes)| (usize::from(*index), bytes)).collect();
        let source = |at: usize| match (restored.remove(&at), came.remove(&at)) {
            (Some(bytes), _) => Ok(bytes),
            (None, Some(bytes)) => self.padded(bytes),
            // It came as a coded piece whose coefficients are its own: of one source, piece 1 is that.
            (None, None) => {
                let mut bytes = vec![0; self.piece_bytes];
                decoder.restore(at, &mut bytes)?;
                Ok(bytes.into())
            }
        };
        (0..usize::from(self.sources)).map(source).collect()
    }

    /// The bytes with zeros up to a piece's length; not copied where none are missing.
    fn padded(self, bytes: &Bytes) -> Result<Bytes, CodedError> {
        match bytes.len().cmp(&self.piece_bytes) {
            std::cmp::Ordering::Equal => Ok(bytes.clone()),
            std::cmp::Ordering::Less => {
                let mut padded = bytes.to_vec();
                padded.resize(self.piece_bytes, 0);
                Ok(padded.into())
            }
            std::cmp::Ordering::Greater => {
                Err(CodedError::Shape { reason: "a piece is longer than those of its file" })
            }
        }
    }
}

fn raw(bytes: Vec<u8>) -> Result<Block, CodedError> {
    let too_long = |_| CodedError::Shape { reason: "a piece is longer than a block" };
    Block::of(Codec::Raw, bytes).map_err(too_long)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sources(k: u8, bytes: usize, seed: u8) -> Vec<Bytes> {
        let byte = |at: usize| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed;
        (0..k).map(|i| (0..bytes).map(|at| byte(at + usize::from(i) * 7)).collect()).collect()
    }

    proptest! {
        #[test]
        fn any_k_of_all_pieces_give_the_sources_back(
            k in 1_u8..=64, last in 0_usize..=48, order in any::<u64>(),
        ) {
            let generation = Generation::new(k, 48);
            let mut sources = sources(k, 48, order as u8);
            let short = sources.len() - 1;
            sources[short].truncate(last);
            let coded: Vec<u8> = (k..=255).collect();
            let blocks = generation.encode(&sources, &coded).unwrap();
            let mut all: Vec<(u8, Bytes)> = (0_u8..).zip(sources.iter().cloned()).collect();
            all.extend(coded.iter().copied().zip(blocks.into_iter().map(Block::into_bytes)));
            all.sort_by_key(|(i, _)| (order ^ u64::from(*i)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let restored = generation.restore(&all[..usize::from(k)]).unwrap();
            for (found, source) in restored.iter().zip(&sources) {
                prop_assert_eq!(&found[..source.len()], &source[..]);
                prop_assert!(found[source.len()..].iter().all(|byte| *byte == 0));
            }
            if k > 1 {
                let mut few = all[..usize::from(k) - 1].to_vec();
                few.push(few[0].clone());
                let needed = usize::from(k);
                let found = needed - 1;
                let too_few = Err(CodedError::TooFew { found, needed });
                prop_assert_eq!(generation.restore(&few), too_few);
            }
        }
    }

    /// The last generation of a file may have one source; piece 1 is then the same bytes under another
    /// number.
    #[test]
    fn each_coded_piece_of_one_source_gives_it_back() {
        let generation = Generation::new(1, 48);
        let sources = sources(1, 48, 9);
        let indices: Vec<u8> = (1..=255).collect();
        let blocks = generation.encode(&sources, &indices).unwrap();
        assert_eq!(blocks[0].bytes(), &sources[0]);
        for (index, block) in indices.into_iter().zip(blocks) {
            let restored = generation.restore(&[(index, block.into_bytes())]).unwrap();
            assert_eq!(restored, sources, "piece {index}");
        }
    }

    #[test]
    fn wrong_shapes_are_told() {
        let generation = Generation::new(2, 4);
        let long = [Bytes::from_static(b"12345"), Bytes::from_static(b"1234")];
        assert!(matches!(generation.encode(&long, &[2]), Err(CodedError::Shape { .. })));
        assert!(matches!(generation.encode(&long[1..], &[2]), Err(CodedError::Shape { .. })));
        let pieces = [(0, long[0].clone())];
        assert!(matches!(generation.restore(&pieces), Err(CodedError::Shape { .. })));
    }
}
