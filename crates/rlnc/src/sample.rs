//! Coefficients from random bytes that the caller brings: from the system, or from a seed expanded by
//! a hash, which gives the same coefficients wherever it is done.
//!
//! `fill` is asked for bytes as for an endless stream; how it is asked is part of what a seed means
//! and stays as it is (`tests/vectors/rlnc.json`).

use crate::error::Error;

/// Bytes that are asked for at once.
const BATCH: usize = 64;
/// Coefficients of a vector, at most: places are single bytes.
const MAX_LENGTH: usize = 256;
/// Bytes after which the stream counts as broken. An honest one uses a few thousand at the very most
/// (256 places out of 256), and this many with a probability below 2^-300.
const MAX_BYTES: usize = 1 << 16;

/// Fills a vector with independent random coefficients, not all zero: 64 bytes are asked for at a
/// time, and used in order; a vector of zeros is drawn again.
///
/// ```
/// use craftec_rlnc::sample;
///
/// let mut counter = 0;
/// let mut coefficients = [0; 3];
/// sample::dense(&mut coefficients, |bytes| bytes.fill_with(|| { counter += 1; counter }))?;
/// assert_eq!(coefficients, [1, 2, 3]);
/// # Ok::<(), craftec_rlnc::Error>(())
/// ```
///
/// # Errors
/// [`Error::Count`] when the vector is empty or longer than 256; [`Error::Randomness`] when `fill`
/// gives zeros only.
pub fn dense(coefficients: &mut [u8], fill: impl FnMut(&mut [u8])) -> Result<(), Error> {
    check_length(coefficients)?;
    coefficients.fill(0);
    let mut stream = Stream::new(fill);
    while coefficients.iter().all(|c| *c == 0) {
        for coefficient in coefficients.iter_mut() {
            *coefficient = stream.byte()?;
        }
    }
    Ok(())
}

/// Makes a vector with `nonzero` coefficients that are not zero, at random places; each of them and
/// each choice of places is equally likely.
///
/// A place is a byte modulo the length, drawn again when the byte is beyond the last multiple of the
/// length or the place is taken; then its value is a byte, drawn again while it is zero.
///
/// # Errors
/// [`Error::Count`] when the vector is empty, longer than 256, or `nonzero` is 0 or more than its
/// length; [`Error::Randomness`] when `fill` gives nothing that can be used.
pub fn sparse(
    coefficients: &mut [u8],
    nonzero: usize,
    fill: impl FnMut(&mut [u8]),
) -> Result<(), Error> {
    check_length(coefficients)?;
    let length = coefficients.len();
    if nonzero == 0 || nonzero > length {
        return Err(Error::Count { expected: nonzero.clamp(1, length), found: nonzero });
    }
    coefficients.fill(0);
    let mut stream = Stream::new(fill);
    let fair = MAX_LENGTH - MAX_LENGTH % length;
    for _ in 0..nonzero {
        let place = loop {
            let byte = usize::from(stream.byte()?);
            if byte < fair && coefficients[byte % length] == 0 {
                break byte % length;
            }
        };
        while coefficients[place] == 0 {
            coefficients[place] = stream.byte()?;
        }
    }
    Ok(())
}

fn check_length(coefficients: &[u8]) -> Result<(), Error> {
    let found = coefficients.len();
    let fits = (1..=MAX_LENGTH).contains(&found);
    if fits { Ok(()) } else { Err(Error::Count { expected: found.clamp(1, MAX_LENGTH), found }) }
}

/// Bytes of the caller's, one at a time.
struct Stream<F> {
    fill: F,
    batch: [u8; BATCH],
    taken: usize,
}

impl<F: FnMut(&mut [u8])> Stream<F> {
    fn new(fill: F) -> Self {
        Self { fill, batch: [0; BATCH], taken: 0 }
    }

    fn byte(&mut self) -> Result<u8, Error> {
        if self.taken >= MAX_BYTES {
            return Err(Error::Randomness);
        }
        if self.taken.is_multiple_of(BATCH) {
            (self.fill)(&mut self.batch);
        }
        let byte = self.batch[self.taken % BATCH];
        self.taken += 1;
        Ok(byte)
    }
}
