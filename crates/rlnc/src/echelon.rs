//! Which coefficient vectors are independent, and how any vector is made of them; found out one
//! vector at a time, without the pieces that belong to them.
//!
//! The vectors are kept in reduced echelon form, each row beside the combination that it is of the
//! vectors that were taken. 64 coefficients and 64 of the combination are one tile of a kernel, so
//! that eliminating is a matrix product too. When all is known the rows are unit vectors, and the
//! combinations are the inverse of the matrix of the vectors taken.

use alloc::vec::Vec;

use crate::{
    error::Error,
    field,
    generation::MAX_SOURCES,
    kernel::{Ahead, GROUP_ROWS, Kernel, Line, Packed, TILE_BYTES},
};

// A line is a vector, and behind it the combination of taken vectors that it is.
const _: () = assert!(TILE_BYTES == 2 * MAX_SOURCES);

/// What a vector or a piece added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Innovation {
    /// It was independent of those before it, and was taken.
    New {
        /// How many independent ones there are now.
        rank: usize,
    },
    /// Those before it can make it; nothing of it is kept.
    Redundant {
        /// How many independent ones there are, as before.
        rank: usize,
    },
}

impl Innovation {
    /// How many independent ones there are now.
    #[must_use]
    pub const fn rank(self) -> usize {
        match self {
            Self::New { rank } | Self::Redundant { rank } => rank,
        }
    }

    /// Whether it was independent.
    #[must_use]
    pub const fn is_new(self) -> bool {
        matches!(self, Self::New { .. })
    }
}

/// The span of coefficient vectors.
///
/// ```
/// use craftec_rlnc::Echelon;
///
/// let mut span = Echelon::new(3)?;
/// assert!(span.push(&[1, 2, 3])?.is_new());
/// assert!(!span.push(&[2, 4, 6])?.is_new());
/// assert!(span.push(&[0, 0, 1])?.is_new());
/// assert_eq!(span.rank(), 2);
/// // The two that were taken, in their order: (1, 2, 0) = 1·(1, 2, 3) + 3·(0, 0, 1).
/// assert_eq!(span.combination(&[1, 2, 0])?, Some(vec![1, 3]));
/// assert_eq!(span.combination(&[1, 0, 0])?, None);
/// # Ok::<(), craftec_rlnc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Echelon {
    kernel: Kernel,
    columns: usize,
    /// `pivots[i]`: where row `i` has its 1, and every other row a 0.
    pivots: Vec<usize>,
    rows: Vec<Line>,
}

impl Echelon {
    /// No vectors yet, of `columns` coefficients each.
    ///
    /// # Errors
    /// When `columns` is 0 or more than [`MAX_SOURCES`].
    pub fn new(columns: usize) -> Result<Self, Error> {
        Self::with_kernel(columns, Kernel::best())
    }

    /// The same with a kernel of the caller's choice.
    ///
    /// # Errors
    /// As of [`Echelon::new`].
    pub fn with_kernel(columns: usize, kernel: Kernel) -> Result<Self, Error> {
        if columns == 0 || columns > MAX_SOURCES {
            return Err(Error::SourceCount { count: columns });
        }
        Ok(Self::of_checked(columns, kernel))
    }

    /// For a number of columns that is within the limits.
    pub(crate) fn of_checked(columns: usize, kernel: Kernel) -> Self {
        Self { kernel, columns, pivots: Vec::new(), rows: Vec::new() }
    }

    /// Coefficients of each vector.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many vectors were taken: the rank of all that were pushed.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rows.len()
    }

    /// Whether every vector can be made.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.rank() == self.columns
    }

    /// Takes a vector, if it is independent of those before it.
    ///
    /// # Errors
    /// When it does not have as many coefficients as there are columns.
    pub fn push(&mut self, vector: &[u8]) -> Result<Innovation, Error> {
        let mut line = self.line(vector)?;
        let rank = self.rank();
        if self.is_complete() {
            return Ok(Innovation::Redundant { rank });
        }
        line[MAX_SOURCES + rank] = 1;
        line = self.reduced(line);
        let Some(pivot) = line[..self.columns].iter().position(|c| *c != 0) else {
            return Ok(Innovation::Redundant { rank });
        };
        let scale = field::inverse(line[pivot]).unwrap_or(1);
        let mut row = [0; TILE_BYTES];
        self.kernel.group(
            &[self.kernel.prepare(scale)],
            Packed::few(&[line], &mut Ahead::default()),
            &mut [&mut row],
            false,
        );
        self.clear_column(pivot, &row);
        self.pivots.push(pivot);
        self.rows.push(row);
        Ok(Innovation::New { rank: rank + 1 })
    }

    /// Whether a vector can be made of those that were taken.
    ///
    /// # Errors
    /// When it does not have as many coefficients as there are columns.
    pub fn contains(&self, vector: &[u8]) -> Result<bool, Error> {
        Ok(self.combination(vector)?.is_some())
    }

    /// The factors of the vectors that were taken, in their order, that sum up to `vector`; `None`
    /// when there are none.
    ///
    /// # Errors
    /// When it does not have as many coefficients as there are columns.
    pub fn combination(&self, vector: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let line = self.reduced(self.line(vector)?);
        let made = line[..self.columns].iter().all(|c| *c == 0);
        Ok(made.then(|| line[MAX_SOURCES..][..self.rank()].to_vec()))
    }

    /// The factors that make the unit vector of `column`; `None` when it can't be made yet.
    pub(crate) fn unit(&self, column: usize) -> Option<&[u8]> {
        let row = &self.rows[self.pivots.iter().position(|pivot| *pivot == column)?];
        let others = row[..self.columns].iter().enumerate().any(|(i, c)| i != column && *c != 0);
        (!others).then(|| &row[MAX_SOURCES..][..self.rank()])
    }

    fn line(&self, vector: &[u8]) -> Result<Line, Error> {
        Error::check_count(self.columns, vector.len())?;
        let mut line = [0; TILE_BYTES];
        line[..vector.len()].copy_from_slice(vector);
        Ok(line)
    }

    /// The line with every row taken from it as often as it holds the row's pivot. A row has zeros at
    /// the pivots of the others, so that all factors can be read before any row is taken away.
    fn reduced(&self, mut line: Line) -> Line {
        if self.rows.is_empty() {
            return line;
        }
        let mut factors = [0; MAX_SOURCES];
        for (factor, pivot) in factors.iter_mut().zip(&self.pivots) {
            *factor = self.kernel.prepare(line[*pivot]);
        }
        let ahead = &mut Ahead::default();
        let lines = Packed::few(&self.rows, ahead);
        self.kernel.group(&factors[..self.rank()], lines, &mut [&mut line], true);
        line
    }

    /// Takes `row` from all rows as often as they hold its pivot.
    fn clear_column(&mut self, pivot: usize, row: &Line) {
        for rows in self.rows.chunks_mut(GROUP_ROWS) {
            let count = rows.len();
            let mut factors = [0; GROUP_ROWS];
            for (factor, row) in factors.iter_mut().zip(rows.iter()) {
                *factor = self.kernel.prepare(row[pivot]);
            }
            let mut rows = rows.iter_mut();
            let mut views: [&mut [u8]; GROUP_ROWS] = core::array::from_fn(|_| {
                rows.next().map(|row| row.as_mut_slice()).unwrap_or_default()
            });
            self.kernel.group(
                &factors[..count],
                Packed::few(core::slice::from_ref(row), &mut Ahead::default()),
                &mut views[..count],
                true,
            );
        }
    }
}
