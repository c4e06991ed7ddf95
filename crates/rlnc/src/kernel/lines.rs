//! Where a kernel reads its sources from, one tile of columns at a time.

#[cfg(target_arch = "x86_64")]
use super::x86::prefetch;
use super::{Line, TILE_BYTES};

/// The sources of a matrix product, cut into lines of [`TILE_BYTES`] columns.
pub(crate) trait Lines {
    /// A kernel is about to work on another tile.
    #[inline(always)]
    fn begin(&mut self) {}

    /// Part `part` of `N` bytes, of tile `tile` of a source.
    fn part<const N: usize>(&mut self, tile: usize, source: usize, part: usize) -> &[u8; N];
}

/// The sources where they are.
pub(crate) struct Direct<'p, 'a>(pub(crate) &'p [&'a [u8]]);

impl Lines for Direct<'_, '_> {
    #[inline(always)]
    fn part<const N: usize>(&mut self, tile: usize, source: usize, part: usize) -> &[u8; N] {
        &self.0[source].as_chunks().0[tile * (TILE_BYTES / N) + part]
    }
}

/// The sources where they are, copied into a panel on the way: tile after tile, in each a line of
/// every source.
pub(crate) struct Packing<'a, 'b> {
    pub(crate) sources: &'b [&'a [u8]],
    pub(crate) panel: &'b mut [Line],
}

impl Lines for Packing<'_, '_> {
    #[inline(always)]
    fn part<const N: usize>(&mut self, tile: usize, source: usize, part: usize) -> &[u8; N] {
        let from = &self.sources[source].as_chunks().0[tile * (TILE_BYTES / N) + part];
        self.panel[tile * self.sources.len() + source].as_chunks_mut().0[part] = *from;
        from
    }
}

/// A panel, which lies as it is read. Meanwhile the columns that are packed next are called nearer.
pub(crate) struct Packed<'p, 'a> {
    pub(crate) panel: &'p [Line],
    pub(crate) sources: usize,
    pub(crate) ahead: &'p mut Ahead<'a>,
}

impl<'p, 'a> Packed<'p, 'a> {
    /// A panel of one tile.
    pub(crate) fn few(panel: &'p [Line], ahead: &'p mut Ahead<'a>) -> Self {
        Self { panel, sources: panel.len(), ahead }
    }
}

impl Lines for Packed<'_, '_> {
    #[inline(always)]
    fn begin(&mut self) {
        self.ahead.step();
    }

    #[inline(always)]
    fn part<const N: usize>(&mut self, tile: usize, source: usize, part: usize) -> &[u8; N] {
        &self.panel[tile * self.sources + source].as_chunks().0[part]
    }
}

/// Memory that will be read soon, called into the cache a little with every tile: all at once would
/// stall the processor, and it can't foresee as many streams by itself.
#[derive(Default)]
pub(crate) struct Ahead<'a> {
    sources: &'a [&'a [u8]],
    /// Cache lines for each tile.
    pace: usize,
    /// The next one: of which source, and where in it.
    source: usize,
    at: usize,
}

const CACHE_LINE: usize = 64;

impl<'a> Ahead<'a> {
    /// Calls `sources`, within as many tiles.
    pub(crate) fn new(sources: &'a [&'a [u8]], tiles: usize) -> Self {
        let lines: usize = sources.iter().map(|source| source.len().div_ceil(CACHE_LINE)).sum();
        Self { sources, pace: lines.div_ceil(tiles.max(1)), source: 0, at: 0 }
    }

    #[inline(always)]
    fn step(&mut self) {
        for _ in 0..self.pace {
            let Some(source) = self.sources.get(self.source) else { return };
            #[cfg(target_arch = "x86_64")]
            if let Some(byte) = source.get(self.at) {
                prefetch(byte);
            }
            self.at += CACHE_LINE;
            if self.at >= source.len() {
                (self.source, self.at) = (self.source + 1, 0);
            }
        }
    }
}
