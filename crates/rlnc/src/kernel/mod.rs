//! The inner loops, one file for each kind of processor, and the choice between them.
//!
//! A kernel does one thing: up to four rows of a matrix product, for columns whose number is a
//! multiple of [`TILE_BYTES`]. It holds a tile of 4 rows × 64 or 128 bytes in registers while it
//! goes through all sources, so that every byte of a source is loaded once for four outputs and
//! no output is loaded at all. Whatever surrounds that (blocks, tails, checks) is
//! [`crate::product`]'s. All kernels give the same bytes as the scalar one.
//!
//! This folder is the only place of the crate with `unsafe` and with `cfg`s of processors: loads and
//! stores of vectors, from arrays that are borrowed, and the calls into functions that need a
//! processor's feature.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod gfni256;
#[cfg(target_arch = "x86_64")]
mod gfni512;
mod lines;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod scalar;
#[cfg(all(target_arch = "wasm32", any(target_feature = "simd128", feature = "wasm32_simd")))]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use lines::{Ahead, Direct, Lines, Packed, Packing};
pub(crate) use scalar::dot;

/// A kernel's columns are a multiple of this.
pub(crate) const TILE_BYTES: usize = 128;
/// One source's columns of a tile.
pub(crate) type Line = [u8; TILE_BYTES];
/// Rows of a register tile.
pub(crate) const GROUP_ROWS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Gfni256,
    #[cfg(target_arch = "x86_64")]
    Gfni512,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon,
    #[cfg(all(target_arch = "wasm32", any(target_feature = "simd128", feature = "wasm32_simd")))]
    Simd128,
}

/// The kinds, worst first.
const KINDS: &[Kind] = &[
    Kind::Scalar,
    #[cfg(target_arch = "x86_64")]
    Kind::Avx2,
    #[cfg(target_arch = "x86_64")]
    Kind::Gfni256,
    #[cfg(target_arch = "x86_64")]
    Kind::Gfni512,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Kind::Neon,
    #[cfg(all(target_arch = "wasm32", any(target_feature = "simd128", feature = "wasm32_simd")))]
    Kind::Simd128,
];

/// A set of inner loops that this processor can run. There is no way to have one that it can't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Kind);

/// Whether the processor has a feature: asked at run time with `std`, of the build without it.
#[cfg(target_arch = "x86_64")]
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let has = $(std::arch::is_x86_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let has = $(cfg!(target_feature = $feature))&&+;
        has
    }};
}

impl Kernel {
    /// The portable kernel, which looks nothing up.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// The fastest kernel of this processor.
    #[must_use]
    pub fn best() -> Self {
        let fit = KINDS.iter().rev().find(|kind| kind.fits());
        Self(fit.copied().unwrap_or(Kind::Scalar))
    }

    /// All kernels of this processor, the slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        KINDS.iter().filter(|kind| kind.fits()).map(|kind| Self(*kind))
    }

    /// The kernel's name, for logs and benches.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Gfni256 => "gfni-256",
            #[cfg(target_arch = "x86_64")]
            Kind::Gfni512 => "gfni-512",
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Kind::Neon => "neon",
            #[cfg(all(
                target_arch = "wasm32",
                any(target_feature = "simd128", feature = "wasm32_simd")
            ))]
            Kind::Simd128 if cfg!(target_feature = "relaxed-simd") => "relaxed-simd",
            #[cfg(all(
                target_arch = "wasm32",
                any(target_feature = "simd128", feature = "wasm32_simd")
            ))]
            Kind::Simd128 => "simd128",
        }
    }

    /// A coefficient as this kernel wants it.
    #[inline]
    pub(crate) fn prepare(self, coefficient: u8) -> u64 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Gfni256 | Kind::Gfni512 => x86::matrix(coefficient),
            _ => u64::from(coefficient),
        }
    }

    /// `outputs[r] = Σ coefficients[s · rows + r] · lines[s]`, or that added to what `outputs` hold.
    /// There are 1 to 4 outputs of one length, a multiple of [`TILE_BYTES`].
    #[inline]
    pub(crate) fn group(
        self,
        coefficients: &[u64],
        lines: impl Lines,
        outputs: &mut [&mut [u8]],
        add: bool,
    ) {
        let bytes = outputs.first().map_or(0, |output| output.len());
        // A mistake of this crate, never of what it is given; checked because it would be silent.
        assert!(!coefficients.is_empty() && coefficients.len().is_multiple_of(outputs.len()));
        assert!(bytes.is_multiple_of(TILE_BYTES));
        assert!(outputs.iter().all(|output| output.len() == bytes));
        match outputs.len() {
            1 => self.rows::<1>(coefficients, lines, outputs, add),
            2 => self.rows::<2>(coefficients, lines, outputs, add),
            3 => self.rows::<3>(coefficients, lines, outputs, add),
            4 => self.rows::<GROUP_ROWS>(coefficients, lines, outputs, add),
            rows => unreachable!("{rows} rows in a group"),
        }
    }

    #[inline]
    #[allow(unsafe_code, reason = "the callees need features of the processor")]
    fn rows<const ROWS: usize>(
        self,
        coefficients: &[u64],
        lines: impl Lines,
        outputs: &mut [&mut [u8]],
        add: bool,
    ) {
        match self.0 {
            Kind::Scalar => scalar::group::<ROWS, _>(coefficients, lines, outputs, add),
            // SAFETY, of these and of those below: a `Kernel` is only made of a kind that `fits`,
            // which asks for exactly the features that the function is compiled with.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::group::<ROWS, _>(coefficients, lines, outputs, add) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Gfni256 => unsafe {
                gfni256::group::<ROWS, _>(coefficients, lines, outputs, add)
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Gfni512 => unsafe {
                gfni512::group::<ROWS, _>(coefficients, lines, outputs, add)
            },
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            // SAFETY: as above.
            Kind::Neon => unsafe { neon::group::<ROWS, _>(coefficients, lines, outputs, add) },
            #[cfg(all(
                target_arch = "wasm32",
                any(target_feature = "simd128", feature = "wasm32_simd")
            ))]
            // A module with these instructions was checked as a whole before any of it ran.
            Kind::Simd128 => simd128::group::<ROWS, _>(coefficients, lines, outputs, add),
        }
    }
}

impl Kind {
    fn fits(self) -> bool {
        match self {
            Self::Scalar => true,
            // An interpreter that checks pointers knows few vector instructions.
            #[cfg(not(target_arch = "wasm32"))]
            _ if cfg!(miri) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => has!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni256 => has!("avx2", "gfni"),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni512 => has!("avx512f", "avx512bw", "gfni"),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => true,
            #[cfg(all(
                target_arch = "wasm32",
                any(target_feature = "simd128", feature = "wasm32_simd")
            ))]
            Self::Simd128 => true,
        }
    }
}
