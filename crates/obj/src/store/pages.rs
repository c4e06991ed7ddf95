//! What the index's pages should be, kept in memory: a digest of each, taken when it was written, or
//! read while redb checked it.
//!
//! redb believes a page once the file is open, and may panic over one that rotted meanwhile. So what
//! it reads is compared here first. 8 bytes for every 4 KiB of the index.

use std::{
    io,
    num::NonZeroU64,
    sync::{Mutex, MutexGuard, PoisonError},
};

use craftec_platform::File;

/// redb's page, and the unit of checking.
const PAGE: usize = 4096;

/// A digest of every page that is known.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<Vec<Option<NonZeroU64>>>);

impl Pages {
    /// How many pages there may be something known about.
    pub(super) fn len(&self) -> usize {
        self.known().len()
    }

    /// `bytes` were written at `offset`: whole pages are known from now on, others no longer.
    pub(super) fn written(&self, offset: u64, bytes: &[u8]) {
        let mut known = self.known();
        for (page, content) in parts(offset, bytes) {
            let digest = (content.len() == PAGE).then(|| digest(content));
            if page >= known.len() {
                known.resize(page + 1, None);
            }
            known[page] = digest;
        }
    }

    /// Something may have been written to `bytes` bytes at `offset`: what is there is not known.
    pub(super) fn forget(&self, offset: u64, bytes: usize) {
        let mut known = self.known();
        let first = (offset / PAGE as u64) as usize;
        let end = (offset + bytes as u64).div_ceil(PAGE as u64) as usize;
        known.iter_mut().take(end).skip(first).for_each(|digest| *digest = None);
    }

    /// The file was cut or grown.
    pub(super) fn resized(&self, bytes: u64) {
        let mut known = self.known();
        let whole = (bytes / PAGE as u64) as usize;
        known.truncate(whole);
    }

    /// Whether what was read at `offset` is what should be there. Pages seen for the first time are
    /// taken for what they are.
    pub(super) fn agree(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut known = self.known();
        for (page, content) in parts(offset, bytes) {
            if content.len() != PAGE {
                continue;
            }
            let found = digest(content);
            if page >= known.len() {
                known.resize(page + 1, None);
            }
            match known[page] {
                Some(digest) if digest != found => return false,
                Some(_) => {}
                None => known[page] = Some(found),
            }
        }
        true
    }

    /// Reads `count` pages from `first` on and compares those that are known: the number of bytes
    /// read, and of pages that are not what they should be.
    pub(super) fn compare(
        &self,
        file: &dyn File,
        first: usize,
        count: usize,
    ) -> io::Result<(u64, u64)> {
        let known: Vec<(usize, NonZeroU64)> = {
            let known = self.known();
            let part = known.iter().enumerate().skip(first).take(count);
            part.filter_map(|(page, digest)| Some((page, (*digest)?))).collect()
        };
        let (mut read, mut wrong) = (0, 0);
        let mut content = [0; PAGE];
        for (page, expected) in known {
            // Once more before it counts: the first answer may have been a passing fault.
            let mut right = false;
            for _ in 0..2 {
                file.read_at(page as u64 * PAGE as u64, &mut content)?;
                read += PAGE as u64;
                right = digest(&content) == expected;
                if right {
                    break;
                }
            }
            wrong += u64::from(!right);
        }
        Ok((read, wrong))
    }

    fn known(&self) -> MutexGuard<'_, Vec<Option<NonZeroU64>>> {
        // Changed in single steps: a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `bytes` at `offset`, page by page.
fn parts(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let position = offset + at as u64;
        let inside = (position % PAGE as u64) as usize;
        let part = &rest[..rest.len().min(PAGE - inside)];
        at += part.len();
        Some(((position / PAGE as u64) as usize, part))
    })
}

fn digest(page: &[u8]) -> NonZeroU64 {
    let mut short = [0; 8];
    short.copy_from_slice(&blake3::hash(page).as_bytes()[..8]);
    NonZeroU64::new(u64::from_le_bytes(short)).unwrap_or(NonZeroU64::MIN)
}
