//! From coded pieces back to the sources.
//!
//! A piece's coefficients are eliminated when it comes, so that its use is known at once; payloads
//! are kept as they came and are multiplied once, at the end, and for those sources only that did not
//! come themselves.

use alloc::vec::Vec;

use crate::{
    echelon::{Echelon, Innovation},
    error::Error,
    generation::Generation,
    kernel::Kernel,
};

/// Coded pieces on their way to being the sources. Payloads are owned or borrowed, at most as many as
/// there are sources.
///
/// The decoder can't tell a wrong payload from a right one; who asks strangers checks the sources'
/// hashes, or each piece by [`crate::checksum`].
///
/// ```
/// use craftec_rlnc::{Decoder, Encoder, Generation};
///
/// let generation = Generation::new(2, 5)?;
/// let mut coded = [0; 5];
/// Encoder::new(generation, vec![b"hello", b"world"])?.encode(&[7, 9], &mut coded)?;
///
/// let mut decoder: Decoder<&[u8]> = Decoder::new(generation);
/// decoder.push_source(0, b"hello")?;
/// assert_eq!(decoder.push(&[7, 9], &coded)?.rank(), 2);
/// assert_eq!(decoder.received(0), Some(&b"hello"[..]));
/// assert!(decoder.missing().eq([1]));
/// let mut world = [0; 5];
/// decoder.restore_missing(&mut [&mut world])?;
/// assert_eq!(&world, b"world");
/// # Ok::<(), craftec_rlnc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<P> {
    kernel: Kernel,
    generation: Generation,
    span: Echelon,
    payloads: Vec<P>,
}

impl<P: AsRef<[u8]>> Decoder<P> {
    /// No pieces yet.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        let (kernel, span) = (Kernel::best(), generation.echelon());
        Self { kernel, generation, span, payloads: Vec::new() }
    }

    /// The shape.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// How many independent pieces there are.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.span.rank()
    }

    /// Whether all sources are known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.span.is_complete()
    }

    /// Takes a coded piece, unless those before it can make it.
    ///
    /// # Errors
    /// When a length does not fit.
    pub fn push(&mut self, coefficients: &[u8], payload: P) -> Result<Innovation, Error> {
        self.generation.check(coefficients, payload.as_ref())?;
        let innovation = self.span.push(coefficients)?;
        if innovation.is_new() {
            self.payloads.push(payload);
        }
        Ok(innovation)
    }

    /// Takes a source piece as it is.
    ///
    /// # Errors
    /// When there is no such source, or its length does not fit.
    pub fn push_source(&mut self, index: usize, payload: P) -> Result<Innovation, Error> {
        self.check_index(index)?;
        let mut coefficients = [0; crate::MAX_SOURCES];
        coefficients[index] = 1;
        self.push(&coefficients[..self.generation.sources()], payload)
    }

    /// A source piece that needs no work, because it came as it is.
    #[must_use]
    pub fn received(&self, index: usize) -> Option<&[u8]> {
        let factors = self.span.unit(index)?;
        let mut used = factors.iter().enumerate().filter(|(_, factor)| **factor != 0);
        match (used.next(), used.next()) {
            (Some((piece, 1)), None) => self.payloads.get(piece).map(AsRef::as_ref),
            _ => None,
        }
    }

    /// The sources that did not come themselves.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        (0..self.generation.sources()).filter(|index| self.received(*index).is_none())
    }

    /// Writes one source piece, even before all are known.
    ///
    /// # Errors
    /// When a number does not fit, and [`Error::Rank`] when this source is not known yet.
    pub fn restore(&self, index: usize, output: &mut [u8]) -> Result<(), Error> {
        self.check_index(index)?;
        let received = self.received(index);
        if let Some(received) = received {
            return copy(received, output);
        }
        self.compute(&[index], &mut [output])
    }

    /// Writes the sources that are [`Decoder::missing`], in that order.
    ///
    /// # Errors
    /// When a number does not fit, and [`Error::Rank`] before all are known.
    pub fn restore_missing(&self, outputs: &mut [&mut [u8]]) -> Result<(), Error> {
        self.check_complete()?;
        let missing: Vec<usize> = self.missing().collect();
        self.compute(&missing, outputs)
    }

    /// Writes all sources, in their order.
    ///
    /// # Errors
    /// When a number does not fit, and [`Error::Rank`] before all are known.
    pub fn restore_all(&self, outputs: &mut [&mut [u8]]) -> Result<(), Error> {
        self.check_complete()?;
        Error::check_count(self.generation.sources(), outputs.len())?;
        let bytes = self.generation.piece_bytes();
        outputs.iter().try_for_each(|output| Error::check_bytes(bytes, output.len()))?;
        let mut missing = Vec::new();
        let mut computed: Vec<&mut [u8]> = Vec::new();
        for (index, output) in outputs.iter_mut().enumerate() {
            match self.received(index) {
                Some(received) => copy(received, output)?,
                None => {
                    missing.push(index);
                    computed.push(output);
                }
            }
        }
        self.compute(&missing, &mut computed)
    }

    /// Multiplies the payloads by the rows of the inverse that belong to these sources.
    fn compute(&self, sources: &[usize], outputs: &mut [&mut [u8]]) -> Result<(), Error> {
        Error::check_count(sources.len(), outputs.len())?;
        let bytes = self.generation.piece_bytes();
        outputs.iter().try_for_each(|output| Error::check_bytes(bytes, output.len()))?;
        let rows = sources.iter().map(|source| self.span.unit(*source).ok_or(self.short()));
        let rows: Vec<&[u8]> = rows.collect::<Result<_, _>>()?;
        let payloads: Vec<&[u8]> = self.payloads.iter().map(AsRef::as_ref).collect();
        self.kernel.product(&rows.concat(), &payloads, outputs)
    }

    fn check_complete(&self) -> Result<(), Error> {
        if self.is_complete() { Ok(()) } else { Err(self.short()) }
    }

    fn check_index(&self, index: usize) -> Result<(), Error> {
        let sources = self.generation.sources();
        if index < sources { Ok(()) } else { Err(Error::SourceIndex { index, sources }) }
    }

    fn short(&self) -> Error {
        Error::Rank { rank: self.rank(), sources: self.generation.sources() }
    }
}

fn copy(piece: &[u8], output: &mut [u8]) -> Result<(), Error> {
    Error::check_bytes(piece.len(), output.len())?;
    output.copy_from_slice(piece);
    Ok(())
}
