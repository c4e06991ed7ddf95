//! The peers, each as its documentation says it is used.

use anyhow::Context;
use rand::{SeedableRng, rngs::SmallRng};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use rlnc::full::{Decoder, Encoder};

use crate::PIECE;

/// `reed-solomon-simd` with as many recovery pieces as sources.
pub struct ReedSolomon<'a> {
    sources: Vec<&'a [u8]>,
    recovery: Vec<Vec<u8>>,
    encoder: ReedSolomonEncoder,
    decoder: ReedSolomonDecoder,
    right: bool,
}

impl<'a> ReedSolomon<'a> {
    pub fn new(sources: usize, content: &'a [u8]) -> anyhow::Result<Self> {
        let mut peer = Self {
            sources: content.chunks_exact(PIECE).collect(),
            recovery: Vec::new(),
            encoder: ReedSolomonEncoder::new(sources, sources, PIECE)?,
            decoder: ReedSolomonDecoder::new(sources, sources, PIECE)?,
            right: true,
        };
        for source in &peer.sources {
            peer.encoder.add_original_shard(source)?;
        }
        peer.recovery = peer.encoder.encode()?.recovery_iter().map(<[u8]>::to_vec).collect();
        Ok(peer)
    }

    /// The recovery pieces stay in the encoder's own memory.
    pub fn encode(&mut self) -> anyhow::Result<usize> {
        for source in &self.sources {
            self.encoder.add_original_shard(source)?;
        }
        Ok(self.encoder.encode()?.recovery_iter().map(<[u8]>::len).sum())
    }

    /// All sources are lost; they stay in the decoder's own memory.
    pub fn decode(&mut self) -> anyhow::Result<()> {
        for (index, piece) in self.recovery.iter().enumerate() {
            self.decoder.add_recovery_shard(index, piece)?;
        }
        let decoded = self.decoder.decode()?;
        // One byte of each piece: comparing all of them is not decoding.
        for (index, piece) in decoded.restored_original_iter() {
            self.right &= piece[PIECE - 1] == self.sources[index][PIECE - 1];
        }
        Ok(())
    }

    pub fn is_right(&self) -> bool {
        self.right
    }
}

/// `rlnc`, whose coded pieces carry their coefficients in front.
pub struct Rlnc {
    sources: usize,
    encoder: Encoder,
    rng: SmallRng,
    buffer: Vec<u8>,
    coded: Vec<Vec<u8>>,
}

impl Rlnc {
    pub fn new(sources: usize, content: &[u8]) -> anyhow::Result<Self> {
        let encoder = Encoder::new(content.to_vec(), sources).ok().context("rlnc refuses")?;
        let mut rng = SmallRng::seed_from_u64(3);
        // A few more than needed: two random vectors may depend on each other.
        let coded = (0..sources + 4).map(|_| encoder.code(&mut rng)).collect();
        let buffer = vec![0; encoder.get_full_coded_piece_byte_len()];
        Ok(Self { sources, encoder, rng, buffer, coded })
    }

    pub fn encode_one(&mut self) -> anyhow::Result<()> {
        self.encoder.code_with_buf(&mut self.rng, &mut self.buffer).ok().context("rlnc refuses")
    }

    pub fn decode(&mut self) -> anyhow::Result<Vec<u8>> {
        let bytes = self.encoder.get_piece_byte_len();
        let mut decoder = Decoder::new(bytes, self.sources).ok().context("rlnc refuses")?;
        for piece in &self.coded {
            if decoder.is_already_decoded() {
                break;
            }
            // A redundant piece is an error there, and no failure.
            let _ = decoder.decode(piece);
        }
        decoder.get_decoded_data().ok().context("rlnc did not decode")
    }
}
