//! redb over a [`File`] of ours, with every page that is in use checked when it opens.
//!
//! redb checks pages only after an unclean end; after a clean one it believes the file, and a
//! rotten page makes it panic, which in a tab would end the node at every start. So the file always
//! looks unclean to it: the header's flags are changed on the way in (never on disk), and redb walks
//! its trees and compares every page's checksum. The index is small next to the blocks: this costs
//! some 10 ms per 100,000 blocks. What rots later is noticed by [`Pages`] when it is read again.
//!
//! Source of the header's layout: redb's `docs/design.md`, file format 3.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use craftec_platform::File;
use redb::{Database, StorageBackend};

use super::{StoreError, pages::Pages};

/// redb's magic number is at the beginning of the file and written last.
const MAGIC_BYTES: usize = 9;
/// Offset of the flags.
const FLAGS: u64 = 9;
/// The last writer did not shut down: check and repair.
const RECOVERY_REQUIRED: u8 = 2;
/// The last commit is known to be whole, so a page of it that fails its checksum has rotted.
const TWO_PHASE_COMMIT: u8 = 4;
/// Indexes beyond this (some millions of blocks) are checked only after an unclean end.
const CHECKED_BYTES: u64 = 512 << 20;

/// Opens the index, checked, and says what its pages should be.
pub(super) fn open(
    file: &Arc<dyn File>,
    cache_bytes: usize,
) -> Result<(Database, Arc<Pages>), StoreError> {
    let doing = "opening the index";
    let flags = flags(file).map_err(|e| StoreError::io(doing, e))?;
    let length = file.len().map_err(|e| StoreError::io(doing, e))?;
    let opening = Arc::new(AtomicBool::new(flags.is_some() && length <= CHECKED_BYTES));
    let pages = Arc::new(Pages::default());
    let backend = Backend { file: file.clone(), opening: opening.clone(), pages: pages.clone() };
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    if flags.is_some_and(|flags| flags & TWO_PHASE_COMMIT != 0) {
        // Past the beginning redb reports only when it is about to give the last commit up for the
        // one before, which is right for one that a crash tore and silent loss for one that rotted.
        builder.set_repair_callback(|repair| {
            if repair.progress() > 0.0 && repair.progress() < 0.5 {
                repair.abort();
            }
        });
    }
    let database = builder.create_with_backend(backend).map_err(|error| match error {
        redb::DatabaseError::RepairAborted => {
            StoreError::damaged("pages of the last commit fail their checksums")
        }
        error => StoreError::index(doing, error),
    });
    opening.store(false, Ordering::Release);
    Ok((database?, pages))
}

/// The flags of an existing index. An index whose creation was cut short is emptied: without the
/// magic number nothing was ever acknowledged. (A rotten one is not all zeros and is left to redb.)
fn flags(file: &Arc<dyn File>) -> io::Result<Option<u8>> {
    let mut head = [0; MAGIC_BYTES + 1];
    let length = file.len()?;
    if length < head.len() as u64 {
        file.set_len(0)?;
        return Ok(None);
    }
    file.read_at(0, &mut head)?;
    if head[..MAGIC_BYTES].iter().all(|byte| *byte == 0) {
        file.set_len(0)?;
        return Ok(None);
    }
    Ok(Some(head[MAGIC_BYTES]))
}

/// A [`File`] as redb wants it.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn File>,
    /// Whether the header is to look unclean.
    opening: Arc<AtomicBool>,
    pages: Arc<Pages>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)?;
        if !self.pages.agree(offset, out) {
            // Once more before giving up: the first answer may have been a passing fault.
            self.file.read_at(offset, out)?;
            if !self.pages.agree(offset, out) {
                let reason = format!("what was written at {offset} has changed on the disk");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
        if offset <= FLAGS
            && self.opening.load(Ordering::Acquire)
            && let Some(flags) = out.get_mut((FLAGS - offset) as usize)
        {
            *flags = (*flags | RECOVERY_REQUIRED) & !TWO_PHASE_COMMIT;
            self.opening.store(false, Ordering::Release);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.pages.resized(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let written = self.file.write_at(offset, data);
        match written {
            Ok(()) => self.pages.written(offset, data),
            Err(_) => self.pages.forget(offset, data.len()),
        }
        written
    }
}
