//! Matrix products of byte strings: what encoding, recoding and decoding come down to.
//!
//! Columns are gone through in blocks. The first four outputs of a block are made from the sources
//! where they are, and on the way a panel is filled with them, which is near, aligned, and lies as
//! it is read: pieces that lie a power of two apart would evict each other from the cache. The
//! other outputs are made from the panel, and meanwhile the next block is called into the cache.

use alloc::{vec, vec::Vec};
use core::ops::Range;

use crate::{
    error::Error,
    kernel::{Ahead, Direct, GROUP_ROWS, Kernel, Line, Packed, Packing, TILE_BYTES},
};

/// How a product is cut.
#[derive(Clone, Copy)]
struct Cut {
    /// Sources that are multiplied at once; more are added in several passes over a block.
    sources: usize,
    /// Columns of a block.
    bytes: usize,
}

/// With a panel: it has 128 KiB at most, a part of what a second cache holds.
const PANEL: Cut = Cut { sources: 64, bytes: 2 << 10 };
/// With four outputs or fewer, where memory is what is waited for: a few sources at a time, each read
/// for so long that the processor sees it coming, and outputs that stay near meanwhile.
const STREAM: Cut = Cut { sources: 8, bytes: 16 << 10 };
/// A cache line, and the largest vector.
const LINE_BYTES: usize = 64;

impl Kernel {
    /// `outputs[r] = Σ coefficients[r · sources + s] · sources[s]` for all `r`: the product of a
    /// matrix (row by row) and the sources. All sources and outputs have one length, of any number
    /// of bytes.
    ///
    /// ```
    /// use craftec_rlnc::{Kernel, field::mul};
    ///
    /// let mut sum = [0; 3];
    /// Kernel::best().product(&[2, 3], &[&[1, 2, 3], &[4, 5, 6]], &mut [&mut sum])?;
    /// assert_eq!(sum[0], mul(2, 1) ^ mul(3, 4));
    /// # Ok::<(), craftec_rlnc::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the lengths or counts don't fit each other; the outputs are then as they were.
    pub fn product(
        self,
        coefficients: &[u8],
        sources: &[&[u8]],
        outputs: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        Error::check_count(sources.len().saturating_mul(outputs.len()), coefficients.len())?;
        let Some(bytes) = outputs.first().map(|output| output.len()) else { return Ok(()) };
        sources.iter().try_for_each(|source| Error::check_bytes(bytes, source.len()))?;
        outputs.iter().try_for_each(|output| Error::check_bytes(bytes, output.len()))?;
        Plan::new(self, coefficients, sources, outputs.len()).run(outputs);
        Ok(())
    }
}

/// A product whose lengths fit, ready to run.
struct Plan<'a> {
    kernel: Kernel,
    /// Those that any row uses, in passes.
    sources: Vec<&'a [u8]>,
    /// For each pass, for each group of rows: a row of coefficients for each source.
    coefficients: Vec<u64>,
    rows: usize,
    cut: Cut,
}

impl<'a> Plan<'a> {
    fn new(kernel: Kernel, coefficients: &[u8], sources: &[&'a [u8]], rows: usize) -> Self {
        let row = |r: usize| &coefficients[r * sources.len()..(r + 1) * sources.len()];
        let used: Vec<usize> =
            (0..sources.len()).filter(|s| (0..rows).any(|r| row(r)[*s] != 0)).collect();
        let cut = if rows > GROUP_ROWS { PANEL } else { STREAM };
        let mut prepared = Vec::with_capacity(used.len() * rows);
        for pass in used.chunks(cut.sources) {
            for first in (0..rows).step_by(GROUP_ROWS) {
                let group = first..rows.min(first + GROUP_ROWS);
                for source in pass {
                    prepared.extend(group.clone().map(|r| kernel.prepare(row(r)[*source])));
                }
            }
        }
        let sources = used.into_iter().map(|s| sources[s]).collect();
        Self { kernel, sources, coefficients: prepared, rows, cut }
    }

    fn run(&self, outputs: &mut [&mut [u8]]) {
        let bytes = outputs[0].len();
        if self.sources.is_empty() {
            outputs.iter_mut().for_each(|output| output.fill(0));
            return;
        }
        let columns = if self.rows > GROUP_ROWS { bytes.min(PANEL.bytes) } else { TILE_BYTES };
        let mut panel = Panel::new(self.sources.len().min(PANEL.sources), columns);
        // Outputs that are written in whole cache lines cost a tenth less; most allocations of the
        // size of a piece begin at the same place of a line.
        let head = match outputs[0].as_ptr().align_offset(LINE_BYTES) {
            head if head < LINE_BYTES && bytes >= PANEL.bytes => head,
            _ => 0,
        };
        let end = bytes - (bytes - head) % TILE_BYTES;
        self.edge(&mut panel, outputs, 0..head);
        for at in (head..end).step_by(self.cut.bytes) {
            let columns = at..end.min(at + self.cut.bytes);
            for pass in 0..self.passes() {
                self.block(&mut panel, pass, outputs, columns.clone(), end);
            }
        }
        self.edge(&mut panel, outputs, end..bytes);
    }

    /// All rows of one pass, for a block of columns. The first rows read the sources.
    fn block(
        &self,
        panel: &mut Panel,
        pass: usize,
        outputs: &mut [&mut [u8]],
        columns: Range<usize>,
        end: usize,
    ) {
        let all = self.pass(pass);
        let sources = &views(all, columns.clone())[..all.len()];
        let add = pass > 0;
        let groups = outputs.len().div_ceil(GROUP_ROWS);
        let tiles = columns.len() / TILE_BYTES;
        let lines = panel.lines(if groups > 1 { tiles * sources.len() } else { 0 });
        let next = columns.end..end.min(columns.end + self.cut.bytes);
        let next = if self.passes() == 1 { views(all, next) } else { NOTHING };
        let mut ahead = Ahead::new(&next[..all.len()], tiles * (groups - 1));
        let mut coefficients = &self.coefficients[pass * self.cut.sources * self.rows..];
        for (number, group) in outputs.chunks_mut(GROUP_ROWS).enumerate() {
            let (these, rest) = coefficients.split_at(sources.len() * group.len());
            coefficients = rest;
            let rows = group.len();
            let mut parts = group.iter_mut().map(|output| &mut output[columns.clone()]);
            let mut parts: [&mut [u8]; GROUP_ROWS] =
                core::array::from_fn(|_| parts.next().unwrap_or_default());
            let parts = &mut parts[..rows];
            if groups == 1 {
                self.kernel.group(these, Direct(sources), parts, add);
            } else if number == 0 {
                self.kernel.group(these, Packing { sources, panel: &mut *lines }, parts, add);
            } else {
                let ahead = &mut ahead;
                let lines = Packed { panel: &*lines, sources: sources.len(), ahead };
                self.kernel.group(these, lines, parts, add);
            }
        }
    }

    /// Fewer columns than a tile has, in a tile that zeros fill.
    fn edge(&self, panel: &mut Panel, outputs: &mut [&mut [u8]], columns: Range<usize>) {
        if columns.is_empty() {
            return;
        }
        let mut tiles = vec![0; self.rows * TILE_BYTES];
        let mut coefficients = &self.coefficients[..];
        for pass in 0..self.passes() {
            let sources = self.pass(pass);
            let panel = panel.lines(sources.len());
            for (line, source) in panel.iter_mut().zip(sources) {
                line[..columns.len()].copy_from_slice(&source[columns.clone()]);
                line[columns.len()..].fill(0);
            }
            for rows in tiles.chunks_mut(GROUP_ROWS * TILE_BYTES) {
                let count = rows.len() / TILE_BYTES;
                let (these, rest) = coefficients.split_at(sources.len() * count);
                coefficients = rest;
                let mut rows = rows.chunks_exact_mut(TILE_BYTES);
                let mut rows: [&mut [u8]; GROUP_ROWS] =
                    core::array::from_fn(|_| rows.next().unwrap_or_default());
                let ahead = &mut Ahead::default();
                let lines = Packed { panel, sources: sources.len(), ahead };
                self.kernel.group(these, lines, &mut rows[..count], pass > 0);
            }
        }
        for (output, tile) in outputs.iter_mut().zip(tiles.chunks_exact(TILE_BYTES)) {
            output[columns.clone()].copy_from_slice(&tile[..columns.len()]);
        }
    }

    fn passes(&self) -> usize {
        self.sources.len().div_ceil(self.cut.sources)
    }

    fn pass(&self, pass: usize) -> &[&'a [u8]] {
        let from = pass * self.cut.sources;
        &self.sources[from..self.sources.len().min(from + self.cut.sources)]
    }
}

type Views<'a> = [&'a [u8]; PANEL.sources];
const NOTHING: Views<'static> = [&[]; PANEL.sources];

fn views<'a>(sources: &[&'a [u8]], columns: Range<usize>) -> Views<'a> {
    let mut parts = sources.iter().map(|source| &source[columns.clone()]);
    core::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Room for some columns of all sources of a pass, aligned.
struct Panel {
    bytes: Vec<u8>,
    /// Where the first aligned byte is.
    offset: usize,
}

impl Panel {
    fn new(sources: usize, columns: usize) -> Self {
        let bytes = vec![0; sources * columns.next_multiple_of(TILE_BYTES) + LINE_BYTES];
        // An interpreter may not know; then it is not aligned, which costs time only.
        let offset = bytes.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES);
        Self { bytes, offset }
    }

    fn lines(&mut self, count: usize) -> &mut [Line] {
        &mut self.bytes[self.offset..].as_chunks_mut().0[..count]
    }
}
