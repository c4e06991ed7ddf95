//! From source pieces to coded ones, and back to the question whether a coded piece is theirs.

use alloc::{vec, vec::Vec};

use crate::{error::Error, generation::Generation, kernel::Kernel};

/// Coded pieces that are made again at once to be compared: two groups of a kernel's rows. As many
/// pieces is what comparing needs of memory.
const COMPARED: usize = 8;

/// All source pieces of a generation.
///
/// ```
/// use craftec_rlnc::{Encoder, Generation};
///
/// let generation = Generation::new(2, 5)?;
/// let encoder = Encoder::new(generation, vec![b"hello", b"world"])?;
/// let mut coded = [0; 5];
/// encoder.encode(&[7, 9], &mut coded)?;
/// // Who holds the sources finds the piece that is not what it says.
/// let mut wrong = coded;
/// wrong[4] ^= 1;
/// assert_eq!(encoder.polluted(&[(&[7, 9], &coded), (&[7, 9], &wrong)])?, [1]);
/// # Ok::<(), craftec_rlnc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoder<P> {
    kernel: Kernel,
    generation: Generation,
    sources: Vec<P>,
}

impl<P: AsRef<[u8]>> Encoder<P> {
    /// Takes the source pieces, in their order, owned or borrowed.
    ///
    /// # Errors
    /// When their number or a length is not the generation's.
    pub fn new(generation: Generation, sources: Vec<P>) -> Result<Self, Error> {
        Error::check_count(generation.sources(), sources.len())?;
        let bytes = generation.piece_bytes();
        sources.iter().try_for_each(|p| Error::check_bytes(bytes, p.as_ref().len()))?;
        Ok(Self { kernel: Kernel::best(), generation, sources })
    }

    /// The shape.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The source pieces, which are coded pieces too: that is what systematic means.
    #[must_use]
    pub fn sources(&self) -> &[P] {
        &self.sources
    }

    /// Makes one coded piece: the sum of the sources, each times its coefficient.
    ///
    /// # Errors
    /// When a number or a length does not fit.
    pub fn encode(&self, coefficients: &[u8], piece: &mut [u8]) -> Result<(), Error> {
        self.encode_many(&[coefficients], &mut [piece])
    }

    /// Makes many coded pieces at once, which reads the sources fewer times: the faster way from two
    /// pieces on.
    ///
    /// # Errors
    /// When a number or a length does not fit.
    pub fn encode_many(
        &self,
        coefficients: &[&[u8]],
        pieces: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        Error::check_count(coefficients.len(), pieces.len())?;
        for (coefficients, piece) in coefficients.iter().zip(pieces.iter()) {
            self.generation.check(coefficients, piece)?;
        }
        let sources: Vec<&[u8]> = self.sources.iter().map(AsRef::as_ref).collect();
        self.kernel.product(&coefficients.concat(), &sources, pieces)
    }

    /// Makes each piece again from its coefficients and names those, by index, whose payload differs:
    /// whoever sent them polluted.
    ///
    /// # Errors
    /// When a number or a length does not fit.
    pub fn polluted(&self, pieces: &[(&[u8], &[u8])]) -> Result<Vec<usize>, Error> {
        for (coefficients, payload) in pieces {
            self.generation.check(coefficients, payload)?;
        }
        let bytes = self.generation.piece_bytes();
        let mut made = vec![0; bytes * pieces.len().min(COMPARED)];
        let mut wrong = Vec::new();
        for (batch, pieces) in pieces.chunks(COMPARED).enumerate() {
            let coefficients: Vec<&[u8]> = pieces.iter().map(|(c, _)| *c).collect();
            let mut views: Vec<&mut [u8]> =
                made.chunks_exact_mut(bytes).take(pieces.len()).collect();
            self.encode_many(&coefficients, &mut views)?;
            let differ = pieces.iter().zip(&views).enumerate();
            let differ = differ.filter(|(_, ((_, payload), made))| payload != *made);
            wrong.extend(differ.map(|(i, _)| batch * COMPARED + i));
        }
        Ok(wrong)
    }
}
