//! A secret linear checksum: whether a coded piece belongs to known sources, without the sources.
//!
//! A holder that once had all sources (or was told their tags by several who did) keeps a 20-byte
//! [`Tag`] of each. The tag of a coded piece must be the same combination of the sources' tags as
//! the piece is of the sources. No public function of this kind can be safe, because anyone can
//! compute its kernel over GF(2^8) and add an element of it to a piece (which is why homomorphic
//! hashes work in large prime fields, thousands of times slower); this one is safe because its key
//! is secret. (Gkantsidis, Rodriguez, "Cooperative security for network coding file distribution",
//! INFOCOM 2006; Kehdi, Li, "Null keys", INFOCOM 2009.)
//!
//! # The function
//!
//! A piece is a matrix `P` of rows of [`ROW_BYTES`] bytes, the last one filled with zeros. The key is
//! [`FORMS`] pairs of vectors `(a, b)`, drawn independently and uniformly: `a` has an element for each
//! row, `b` for each column. Byte `l` of the tag is `aₗᵀ · P · bₗ` over GF(2^8). It is linear in `P`.
//! For a piece of 256 KiB the key is 20 × (512 + 512) bytes.
//!
//! # What it is worth
//!
//! Whoever sends a wrong piece chooses an error `E ≠ 0` (the difference from the right piece) without
//! knowing the key. The piece passes when `aₗᵀ E bₗ = 0` for all `l`. For one pair:
//! `E` has a column that is not zero, so the row vector `aᵀE` is zero with probability at most 2^-8;
//! when it is not zero, `(aᵀE) b` is zero with probability exactly 2^-8, because `b` is independent
//! of `a`. Together at most `2^-8 + (1 - 2^-8) · 2^-8 = 2^-7 - 2^-16`, with equality when `E` has
//! rank 1, such as one wrong byte: two levels cost nearly a bit per form. The pairs are independent,
//! so all 20 pass with probability at most `(2^-7 - 2^-16)^20`, which is below **2^-140**. 16 forms
//! would have given 2^-112 only; 19 are the fewest below 2^-128, and cost the same, since the
//! kernels work on four rows at a time.
//!
//! One level, with a secret element for every byte of a piece and form, would be worth 2^-128 with 16
//! forms, but its key has 4 MiB instead of 20 KiB, and reading it costs more than the check.
//!
//! Being told "refused" teaches a sender nearly nothing: `q` attempts, each chosen after the answers
//! to those before, pass once with probability at most `q · 2^-140`, so that 2^12 attempts are still
//! below 2^-128. All of this holds as long as the key and the tags stay secret: a key that is shown,
//! a tag that is sent to anyone who might pollute (a few tags of pieces of one's choice reveal the
//! key), or a key that is used for anything else, end it.
//!
//! Time does not depend on the piece. With kernels that look products up (AVX2, NEON, simd128) or
//! multiply by matrices (GFNI), it may depend on the key through the cache: code that shares the core
//! with the holder is outside of what this defends against.

use alloc::{vec, vec::Vec};
use core::fmt;

use zeroize::Zeroize;

use crate::{
    error::Error,
    generation::MAX_PIECE_BYTES,
    kernel::{Kernel, dot},
};

/// Bytes of a row of a piece.
pub const ROW_BYTES: usize = 512;
/// Pairs of secret vectors, and bytes of a tag.
pub const FORMS: usize = 20;

/// What identifies a piece to who holds the key. As secret as the key.
#[derive(Clone, Copy)]
pub struct Tag([u8; FORMS]);

/// The secret. It is overwritten when it is dropped, and shows itself to nobody.
///
/// ```
/// use craftec_rlnc::checksum::Key;
///
/// // Bytes of a generator of the caller's: the output of a keyed hash, never this.
/// let secret: Vec<u8> = (0..Key::secret_bytes(5)).map(|i| (i * i / 3) as u8).collect();
/// let key = Key::new(5, &secret)?;
/// let tags = [key.tag(b"hello")?, key.tag(b"world")?];
/// let coded: Vec<u8> = b"hello".iter().zip(b"world").map(|(a, b)| a ^ b).collect();
/// assert!(key.accepts(&[1, 1], &coded, &tags)?);
/// assert!(!key.accepts(&[1, 2], &coded, &tags)?);
/// # Ok::<(), craftec_rlnc::Error>(())
/// ```
pub struct Key {
    kernel: Kernel,
    piece_bytes: usize,
    /// `FORMS` rows of an element for each row of a piece.
    left: Vec<u8>,
    /// `FORMS` rows of an element for each column.
    right: Vec<u8>,
}

impl Key {
    /// Bytes of secret that a key for pieces of this length is made of: for each of [`FORMS`] pairs
    /// an element for each begun row of a piece, then for each an element for each column.
    #[must_use]
    pub const fn secret_bytes(piece_bytes: usize) -> usize {
        FORMS * (piece_bytes.div_ceil(ROW_BYTES) + ROW_BYTES)
    }

    /// A key for pieces of `piece_bytes` bytes, from as many independent uniform bytes as
    /// [`Key::secret_bytes`] says: first all left vectors, then all right ones. They are copied; the
    /// caller overwrites its own.
    ///
    /// # Errors
    /// When the length of a piece is out of bounds, or that of the secret is another.
    pub fn new(piece_bytes: usize, secret: &[u8]) -> Result<Self, Error> {
        if piece_bytes == 0 || piece_bytes > MAX_PIECE_BYTES {
            return Err(Error::PieceBytes { bytes: piece_bytes });
        }
        Error::check_bytes(Self::secret_bytes(piece_bytes), secret.len())?;
        let (left, right) = secret.split_at(FORMS * piece_bytes.div_ceil(ROW_BYTES));
        let (left, right) = (left.to_vec(), right.to_vec());
        Ok(Self { kernel: Kernel::best(), piece_bytes, left, right })
    }

    /// The same key, worked with by a kernel of the caller's choice.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// The tag of a piece.
    ///
    /// # Errors
    /// When the piece does not have the key's length.
    pub fn tag(&self, piece: &[u8]) -> Result<Tag, Error> {
        Error::check_bytes(self.piece_bytes, piece.len())?;
        let (rows, rest) = piece.as_chunks::<ROW_BYTES>();
        let mut last = [0; ROW_BYTES];
        last[..rest.len()].copy_from_slice(rest);
        let mut rows: Vec<&[u8]> = rows.iter().map(<[u8; ROW_BYTES]>::as_slice).collect();
        if !rest.is_empty() {
            rows.push(&last);
        }
        let mut sums = vec![0; FORMS * ROW_BYTES];
        let mut outputs: Vec<&mut [u8]> = sums.chunks_exact_mut(ROW_BYTES).collect();
        self.kernel.product(&self.left, &rows, &mut outputs)?;
        let pairs = sums.chunks_exact(ROW_BYTES).zip(self.right.chunks_exact(ROW_BYTES));
        let mut tag = [0; FORMS];
        for (byte, (sum, right)) in tag.iter_mut().zip(pairs) {
            *byte = dot(sum, right);
        }
        // Sums of known pieces tell of the key what tags do.
        sums.zeroize();
        Ok(Tag(tag))
    }

    /// Whether a piece is the combination of the sources that its coefficients say; `tags` are those
    /// of the sources, in their order. A wrong piece is accepted with a probability below 2^-140.
    ///
    /// # Errors
    /// When a number or a length does not fit.
    pub fn accepts(&self, coefficients: &[u8], piece: &[u8], tags: &[Tag]) -> Result<bool, Error> {
        let expected = Tag::combine(coefficients, tags)?;
        let found = self.tag(piece)?;
        // All bytes are compared whatever they are: the time tells nothing of where they differ.
        let differ = expected.0.iter().zip(&found.0).fold(0, |all, (a, b)| all | (a ^ b));
        Ok(differ == 0)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.left.zeroize();
        self.right.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(secret, for pieces of {} bytes)", self.piece_bytes)
    }
}

impl Tag {
    /// A tag that was kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; FORMS]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be kept where the key is, and sent to nobody but over a confidential channel to
    /// who holds the same key.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; FORMS] {
        self.0
    }

    /// The tag that the combination of the tagged pieces has.
    ///
    /// # Errors
    /// When there are not as many tags as coefficients.
    pub fn combine(coefficients: &[u8], tags: &[Self]) -> Result<Self, Error> {
        let mut sum = [0; FORMS];
        let tags: Vec<&[u8]> = tags.iter().map(|tag| tag.0.as_slice()).collect();
        Kernel::best().product(coefficients, &tags, &mut [&mut sum])?;
        Ok(Self(sum))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(secret)")
    }
}
