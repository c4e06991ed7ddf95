//! Ours, and the limit of what its kernel can do.

use std::hint::black_box;

use craftec_rlnc::{Decoder, Echelon, Encoder, Error, Generation, Kernel, checksum::Key, sample};

use crate::{PIECE, random};

/// Encodes and decodes one generation with buffers that are kept.
pub struct Coder<'a> {
    generation: Generation,
    encoder: Encoder<&'a [u8]>,
    coefficients: Vec<Vec<u8>>,
    coded: Vec<Vec<u8>>,
    decoded: Vec<Vec<u8>>,
}

impl<'a> Coder<'a> {
    pub fn new(sources: usize, content: &'a [u8]) -> Result<Self, Error> {
        let generation = Generation::new(sources, PIECE)?;
        let encoder = Encoder::new(generation, content.chunks_exact(PIECE).collect())?;
        let mut state = 7;
        let (mut span, mut coefficients) = (Echelon::new(sources)?, Vec::new());
        while !span.is_complete() {
            let mut vector = vec![0; sources];
            sample::dense(&mut vector, |bytes| random(&mut state, bytes))?;
            if span.push(&vector)?.is_new() {
                coefficients.push(vector);
            }
        }
        let buffers = || vec![vec![0; PIECE]; sources];
        Ok(Self { generation, encoder, coefficients, coded: buffers(), decoded: buffers() })
    }

    pub fn encode(&mut self) -> Result<(), Error> {
        let coefficients: Vec<&[u8]> = self.coefficients.iter().map(Vec::as_slice).collect();
        let mut coded: Vec<&mut [u8]> = self.coded.iter_mut().map(Vec::as_mut_slice).collect();
        self.encoder.encode_many(&coefficients, &mut coded)
    }

    pub fn encode_one(&mut self) -> Result<(), Error> {
        self.encoder.encode(&self.coefficients[0], &mut self.coded[0])
    }

    pub fn decode(&mut self) -> Result<(), Error> {
        let decoder = decoder(self.generation, &self.coefficients, &self.coded)?;
        let mut decoded: Vec<&mut [u8]> = self.decoded.iter_mut().map(Vec::as_mut_slice).collect();
        decoder.restore_missing(&mut decoded)
    }

    pub fn decode_allocating(&mut self) -> Result<Vec<u8>, Error> {
        let decoder = decoder(self.generation, &self.coefficients, &self.coded)?;
        let mut decoded = vec![0; self.generation.sources() * PIECE];
        decoder.restore_missing(&mut decoded.chunks_exact_mut(PIECE).collect::<Vec<_>>())?;
        Ok(decoded)
    }

    pub fn is_right(&self) -> bool {
        self.decoded.iter().zip(self.encoder.sources()).all(|(a, b)| a == b)
    }
}

fn decoder<'a>(
    generation: Generation,
    coefficients: &[Vec<u8>],
    coded: &'a [Vec<u8>],
) -> Result<Decoder<&'a [u8]>, Error> {
    let mut decoder: Decoder<&[u8]> = Decoder::new(generation);
    for (coefficients, coded) in coefficients.iter().zip(coded) {
        let _ = decoder.push(coefficients, coded)?;
    }
    Ok(decoder)
}

/// The two things that bound a product of `sources` by `sources` pieces.
pub struct Limit {
    sources: usize,
    coefficients: Vec<u8>,
    row: Vec<u8>,
    outputs: Vec<u8>,
    from: Vec<u8>,
    to: Vec<u8>,
}

/// Columns of one call: enough that what the call itself costs is little, and few enough that all
/// outputs stay in the second cache.
const COLUMNS: usize = 8192;

impl Limit {
    pub fn new(sources: usize) -> Self {
        let mut coefficients = vec![0; sources * sources];
        random(&mut 3, &mut coefficients);
        Self {
            sources,
            coefficients,
            row: vec![1; COLUMNS],
            outputs: vec![0; sources * COLUMNS],
            from: vec![1; sources * PIECE],
            to: vec![2; sources * PIECE],
        }
    }

    /// The same arithmetic as encoding, with all it touches in the cache.
    pub fn in_cache(&mut self) -> Result<(), Error> {
        let sources: Vec<&[u8]> = vec![&self.row; self.sources];
        for _ in 0..PIECE / COLUMNS {
            let mut views: Vec<&mut [u8]> = self.outputs.chunks_exact_mut(COLUMNS).collect();
            Kernel::best().product(&self.coefficients, &sources, &mut views)?;
            black_box(&mut self.outputs);
        }
        Ok(())
    }

    /// Reads and writes as many bytes as the sources and the coded pieces have.
    pub fn memory(&mut self) -> Result<(), Error> {
        self.to.copy_from_slice(black_box(&self.from));
        black_box(&mut self.to);
        Ok(())
    }
}

/// A key for pieces of the bench's length.
pub fn checksum_key() -> Result<Key, Error> {
    let mut secret = vec![0; Key::secret_bytes(PIECE)];
    random(&mut 11, &mut secret);
    Key::new(PIECE, &secret)
}
