//! Small matrices over the field: rank, inverse, product. They hold coefficients; pieces are
//! multiplied by [`Kernel::product`].

use alloc::{vec, vec::Vec};

use crate::{echelon::Echelon, error::Error, field, generation::MAX_SOURCES, kernel::Kernel};

/// A matrix of coefficients, row by row, of at most [`MAX_SOURCES`] columns.
///
/// ```
/// use craftec_rlnc::Matrix;
///
/// let matrix = Matrix::new(2, vec![1, 2, 3, 4])?;
/// let inverse = matrix.inverse()?;
/// assert_eq!(matrix.multiply(&inverse)?, Matrix::identity(2)?);
/// # Ok::<(), craftec_rlnc::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    columns: usize,
    coefficients: Vec<u8>,
}

impl Matrix {
    /// A matrix of `columns` columns and as many rows as the coefficients fill.
    ///
    /// # Errors
    /// When there are no or too many columns, or a row is not full.
    pub fn new(columns: usize, coefficients: Vec<u8>) -> Result<Self, Error> {
        if columns == 0 || columns > MAX_SOURCES {
            return Err(Error::SourceCount { count: columns });
        }
        let full = coefficients.len().next_multiple_of(columns);
        Error::check_count(full, coefficients.len())?;
        Ok(Self { columns, coefficients })
    }

    /// The matrix that changes nothing.
    ///
    /// # Errors
    /// When there are no or too many columns.
    pub fn identity(columns: usize) -> Result<Self, Error> {
        let mut coefficients = vec![0; columns.min(MAX_SOURCES) * columns.min(MAX_SOURCES)];
        coefficients.iter_mut().step_by(columns.saturating_add(1)).for_each(|c| *c = 1);
        Self::new(columns, coefficients)
    }

    /// How many columns there are.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.coefficients.chunks_exact(self.columns)
    }

    /// All coefficients, row by row, as [`Kernel::product`] takes them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.coefficients
    }

    /// How many rows are independent.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.echelon().map_or(0, |echelon| echelon.rank())
    }

    /// The matrix that undoes this one.
    ///
    /// # Errors
    /// [`Error::Singular`] when there is none.
    pub fn inverse(&self) -> Result<Self, Error> {
        let echelon = self.echelon()?;
        if !echelon.is_complete() || self.rows().len() != self.columns {
            return Err(Error::Singular);
        }
        let rows = (0..self.columns).map(|column| echelon.unit(column).ok_or(Error::Singular));
        let rows: Vec<&[u8]> = rows.collect::<Result<_, _>>()?;
        Self::new(self.columns, rows.concat())
    }

    /// `self · other`.
    ///
    /// # Errors
    /// When `other` does not have as many rows as this has columns.
    pub fn multiply(&self, other: &Self) -> Result<Self, Error> {
        Error::check_count(self.columns, other.rows().len())?;
        let mut coefficients = vec![0; self.rows().len() * other.columns];
        let sources: Vec<&[u8]> = other.rows().collect();
        let mut outputs: Vec<&mut [u8]> = coefficients.chunks_exact_mut(other.columns).collect();
        Kernel::best().product(&self.coefficients, &sources, &mut outputs)?;
        Self::new(other.columns, coefficients)
    }

    /// The vector `x` with `self · x = right`, for a matrix with an inverse.
    ///
    /// # Errors
    /// [`Error::Singular`] when there is no inverse, and when `right` has not as many elements as
    /// there are rows.
    pub fn solve(&self, right: &[u8]) -> Result<Vec<u8>, Error> {
        Error::check_count(self.rows().len(), right.len())?;
        let dot =
            |row: &[u8]| row.iter().zip(right).fold(0, |sum, (a, b)| sum ^ field::mul(*a, *b));
        Ok(self.inverse()?.rows().map(dot).collect())
    }

    fn echelon(&self) -> Result<Echelon, Error> {
        let mut echelon = Echelon::new(self.columns)?;
        for row in self.rows() {
            let _ = echelon.push(row)?;
        }
        Ok(echelon)
    }
}
