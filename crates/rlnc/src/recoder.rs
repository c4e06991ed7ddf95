//! From coded pieces to other coded pieces, without decoding: what a holder gives to one who repairs.
//!
//! A recoded piece lies in the span of the pieces it is made of. Whoever recodes from too few of them
//! narrows the generation, however many pieces there are: ask for the rank, never for the count.

use alloc::vec::Vec;

use crate::{
    echelon::{Echelon, Innovation},
    error::Error,
    generation::Generation,
    kernel::Kernel,
};

/// Coded pieces that new ones are made of: at most as many as the generation has sources, since more
/// would be redundant.
///
/// ```
/// use craftec_rlnc::{Encoder, Generation, Recoder};
///
/// let generation = Generation::new(2, 5)?;
/// let encoder = Encoder::new(generation, vec![b"hello", b"world"])?;
/// let mut recoder = Recoder::new(generation);
/// for coefficients in [[1, 2], [3, 5]] {
///     let mut coded = vec![0; 5];
///     encoder.encode(&coefficients, &mut coded)?;
///     assert!(recoder.push(&coefficients, coded)?.is_new());
/// }
/// let (mut coefficients, mut payload) = ([0; 2], [0; 5]);
/// recoder.recode(&[10, 20], &mut coefficients, &mut payload)?;
/// assert!(encoder.polluted(&[(&coefficients, &payload)])?.is_empty());
/// # Ok::<(), craftec_rlnc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recoder<P> {
    kernel: Kernel,
    generation: Generation,
    span: Echelon,
    coefficients: Vec<Vec<u8>>,
    payloads: Vec<P>,
}

impl<P: AsRef<[u8]>> Recoder<P> {
    /// No pieces yet.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        Self {
            kernel: Kernel::best(),
            generation,
            span: generation.echelon(),
            coefficients: Vec::new(),
            payloads: Vec::new(),
        }
    }

    /// The shape.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How many pieces are held, all independent.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.payloads.len()
    }

    /// Takes a coded piece, unless those before it can make it.
    ///
    /// # Errors
    /// When a length does not fit.
    pub fn push(&mut self, coefficients: &[u8], payload: P) -> Result<Innovation, Error> {
        self.generation.check(coefficients, payload.as_ref())?;
        let innovation = self.span.push(coefficients)?;
        if innovation.is_new() {
            self.coefficients.push(coefficients.to_vec());
            self.payloads.push(payload);
        }
        Ok(innovation)
    }

    /// Makes a piece: the sum of those held, each times its weight. Weights may be sparse; what has
    /// weight zero is not read.
    ///
    /// # Errors
    /// When a number or a length does not fit, and [`Error::Nothing`] when all weights are zero.
    pub fn recode(
        &self,
        weights: &[u8],
        coefficients: &mut [u8],
        payload: &mut [u8],
    ) -> Result<(), Error> {
        self.recode_many(&[weights], &mut [coefficients], &mut [payload])
    }

    /// Makes many pieces at once, which reads those held fewer times.
    ///
    /// # Errors
    /// As of [`Recoder::recode`].
    pub fn recode_many(
        &self,
        weights: &[&[u8]],
        coefficients: &mut [&mut [u8]],
        payloads: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        Error::check_count(weights.len(), coefficients.len())?;
        Error::check_count(weights.len(), payloads.len())?;
        for ((weights, coefficients), payload) in
            weights.iter().zip(coefficients.iter()).zip(payloads.iter())
        {
            Error::check_count(self.rank(), weights.len())?;
            self.generation.check(coefficients, payload)?;
            if weights.iter().all(|weight| *weight == 0) {
                return Err(Error::Nothing);
            }
        }
        let weights = weights.concat();
        let vectors: Vec<&[u8]> = self.coefficients.iter().map(AsRef::as_ref).collect();
        let pieces: Vec<&[u8]> = self.payloads.iter().map(AsRef::as_ref).collect();
        self.kernel.product(&weights, &pieces, payloads)?;
        self.kernel.product(&weights, &vectors, coefficients)
    }
}
