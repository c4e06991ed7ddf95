//! redb over a [`File`] of ours, with every page that is in use checked when it opens.
//!
//! redb checks pages only after an unclean end; after a clean one it believes the file, and a
//! rotten page makes it panic, which in a tab would end the node at every start. So the file always
//! looks unclean to it: the header's flags are changed on the way in (never on disk), and redb walks
//! its trees and compares every page's checksum. The index is small next to the blocks: this costs
//! some 10 ms per 100,000 blocks. What rots later is noticed by [`Pages`] when it is read again.
//!
//! The flags also say when the last commit is known to be whole. redb must then neither go back to
//! the one before, which is right for a commit that a crash tore and silent loss for one that
//! rotted, nor on to a newer one whose slot is written and whose pages may not be. So the other slot
//! is hidden from it too.
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
const FLAGS: usize = 9;
/// The last writer did not shut down: check and repair.
const RECOVERY_REQUIRED: u8 = 2;
/// The last commit is known to be whole, so a page of it that fails its checksum has rotted.
const TWO_PHASE_COMMIT: u8 = 4;
/// Which of the two commit slots is the last.
const PRIMARY: u8 = 1;
/// Where the checksums of both slots end.
const SLOT_ENDS: [usize; 2] = [64 + 128, 64 + 2 * 128];
/// Indexes beyond this (some millions of blocks) are checked only after an unclean end.
const CHECKED_BYTES: u64 = 512 << 20;
/// Bytes written again at one time.
const REWRITE_BYTES: usize = 1 << 20;

/// Opens the index, checked, and says what its pages should be.
pub(super) fn open(
    file: &Arc<dyn File>,
    cache_bytes: usize,
    unflushed: &Arc<AtomicBool>,
) -> Result<(Database, Arc<Pages>), StoreError> {
    let doing = "opening the index";
    let exists = exists(file).map_err(|e| StoreError::io(doing, e))?;
    let length = file.len().map_err(|e| StoreError::io(doing, e))?;
    let opening = Arc::new(AtomicBool::new(exists && length <= CHECKED_BYTES));
    let pages = Arc::new(Pages::default());
    let backend = Backend {
        file: file.clone(),
        opening: opening.clone(),
        pages: pages.clone(),
        unflushed: unflushed.clone(),
        whole: Arc::default(),
    };
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    let whole = backend.whole.clone();
    builder.set_repair_callback(move |repair| {
        // Past the beginning redb reports only when it is about to give the last commit up.
        let gives_up = repair.progress() > 0.0 && repair.progress() < 0.5;
        if gives_up && whole.load(Ordering::Acquire) {
            repair.abort();
        }
    });
    let database = builder.create_with_backend(backend).map_err(|error| match error {
        redb::DatabaseError::RepairAborted => {
            StoreError::damaged("pages of the last commit fail their checksums")
        }
        error => StoreError::index(doing, error),
    });
    opening.store(false, Ordering::Release);
    Ok((database?, pages))
}

/// Whether there is an index. One whose creation was cut short is emptied: without the magic number
/// nothing was ever acknowledged. (A rotten one is not all zeros and is left to redb.)
fn exists(file: &Arc<dyn File>) -> io::Result<bool> {
    let mut magic = [0; MAGIC_BYTES];
    if file.len()? > MAGIC_BYTES as u64 {
        file.read_at(0, &mut magic)?;
        if magic.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    file.set_len(0)?;
    Ok(false)
}

/// Writes all of `file` again and flushes it. After a flush that failed the system may believe that
/// what it could not write is written, and would never write it.
pub(super) fn rewrite(file: &Arc<dyn File>) -> io::Result<()> {
    let length = file.len()?;
    let mut bytes = vec![0; REWRITE_BYTES];
    let mut at = 0;
    while at < length {
        let part = &mut bytes[..REWRITE_BYTES.min((length - at) as usize)];
        file.read_at(at, part)?;
        file.write_at(at, part)?;
        at += part.len() as u64;
    }
    file.set_len(length)?;
    file.sync()
}

/// A [`File`] as redb wants it.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn File>,
    /// Whether the header is to look unclean.
    opening: Arc<AtomicBool>,
    pages: Arc<Pages>,
    /// A flush failed: what it should have flushed may never be.
    unflushed: Arc<AtomicBool>,
    /// The last commit is known to be whole.
    whole: Arc<AtomicBool>,
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
        if offset == 0 && self.opening.load(Ordering::Acquire) && out.len() > FLAGS {
            let flags = out[FLAGS];
            out[FLAGS] = (flags | RECOVERY_REQUIRED) & !TWO_PHASE_COMMIT;
            let other = SLOT_ENDS[usize::from(flags & PRIMARY == 0)];
            if flags & TWO_PHASE_COMMIT != 0
                && let Some(checksum) = out.get_mut(other - 1)
            {
                *checksum ^= 0xff;
                self.whole.store(true, Ordering::Release);
            }
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
        let flushed = self.file.sync();
        if flushed.is_err() {
            self.unflushed.store(true, Ordering::Release);
        }
        flushed
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
