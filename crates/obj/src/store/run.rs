//! Writes of neighbours in the pack, made as one.
//!
//! A write costs a browser's file system some 0.4 ms however short it is: pages of a database one by
//! one came slower than a link of 50 Mbit/s brings them.

use craftec_platform::File;

use super::{StoreError, space::rounded};

/// Bytes of one write: more is no faster, and they are copied.
const RUN_BYTES: usize = 1 << 20;
/// Blocks from here on are written by themselves, without a copy.
const LONG_BYTES: usize = 64 << 10;

/// Blocks that lie one behind the other, not yet written.
pub(super) struct Run<'a> {
    file: &'a dyn File,
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Run<'a> {
    pub(super) fn new(file: &'a dyn File) -> Self {
        Self { file, at: 0, bytes: Vec::new() }
    }

    /// Adds a block whose extent begins at `offset`; writes those before it unless it follows them.
    pub(super) fn push(&mut self, offset: u64, block: &[u8]) -> Result<(), StoreError> {
        // The rest of an extent is nobody's.
        let end = self.at + rounded(self.bytes.len() as u64);
        if offset != end || self.bytes.len() + block.len() > RUN_BYTES {
            self.write()?;
        }
        if block.len() >= LONG_BYTES {
            self.write()?;
            return written(self.file, offset, block);
        }
        if self.bytes.is_empty() {
            self.at = offset;
        }
        self.bytes.resize((offset - self.at) as usize, 0);
        self.bytes.extend_from_slice(block);
        Ok(())
    }

    /// Writes what was added.
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        written(self.file, self.at, &self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

fn written(file: &dyn File, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
    file.write_at(at, bytes).map_err(|e| StoreError::io("writing a block", e))
}

#[cfg(test)]
mod tests {
    use craftec_platform::{Folder, sim::SimDisk};
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn neighbours_are_one_write_and_lie_where_they_should() {
        let disk = SimDisk::new();
        let file = block_on(disk.open("pack")).unwrap();
        let at = disk.changes();
        let mut run = Run::new(&*file);
        // A page, one that leaves a rest, its neighbour, a long one, and two far away.
        let blocks: [(u64, usize); 6] =
            [(0, 4096), (4096, 700), (5120, 600), (6144, LONG_BYTES), (1 << 20, 9), (2 << 20, 9)];
        for (byte, (offset, length)) in (1..).zip(blocks) {
            run.push(offset, &vec![byte; length]).unwrap();
        }
        run.write().unwrap();
        run.write().unwrap();
        assert_eq!(disk.changes() - at, 4);
        for (byte, (offset, length)) in (1..).zip(blocks) {
            let mut read = vec![0; length];
            file.read_at(offset, &mut read).unwrap();
            assert_eq!(read, vec![byte; length], "at {offset}");
        }
    }

    #[test]
    fn a_write_has_a_limit() {
        let disk = SimDisk::new();
        let file = block_on(disk.open("pack")).unwrap();
        let at = disk.changes();
        let mut run = Run::new(&*file);
        for page in 0..600 {
            run.push(page * 4096, &[7; 4096]).unwrap();
        }
        run.write().unwrap();
        assert_eq!((disk.changes() - at, file.len().unwrap()), (3, 600 * 4096));
    }
}
