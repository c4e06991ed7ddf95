//! Small files of sites that were served lately, whole and in memory: a page that many people open
//! does not cost the node's one thread anything. What a root and a path name never changes, so the
//! shelf is never wrong about content; whether the operator still serves it is asked by whoever
//! takes from here. It holds nothing that was not sent to somebody, and no part of a file.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use craftec_api::Opened;
use craftec_core::Cid;
use quick_cache::{Weighter, sync::Cache};

/// Longest file that is shelved: most of what pages consist of, and few enough to hold many.
pub(crate) const LARGEST_BYTES: u64 = 1 << 20;
/// Bytes of all: several busy sites, and little beside what a relay needs for its connections.
const BYTES: u64 = 32 << 20;
/// What an entry costs besides its content.
const ENTRY_BYTES: u64 = 512;
/// How long a file is served without asking the node again, which counts uses, notices what its
/// owner removed, and checks what it reads.
const AGE: Duration = Duration::from_secs(60);

/// A file below a root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) root: Cid,
    /// As it was asked for: a folder's path names its `index.html` too.
    pub(crate) path: String,
}

/// A shelved file.
#[derive(Debug)]
pub(crate) struct Volume {
    /// What the node said when it was opened; its handle is closed.
    pub(crate) opened: Opened,
    pub(crate) bytes: Bytes,
    at: Instant,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Place, Arc<Volume>> for Weight {
    fn weight(&self, place: &Place, volume: &Arc<Volume>) -> u64 {
        ENTRY_BYTES + place.path.len() as u64 + volume.bytes.len() as u64
    }
}

/// The shelf. What is asked for often stays, what was asked for once goes first.
#[derive(Debug)]
pub(crate) struct Shelf(Cache<Place, Arc<Volume>, Weight>);

impl Default for Shelf {
    fn default() -> Self {
        let files = (BYTES / (16 << 10)) as usize;
        Self(Cache::with_weighter(files, BYTES, Weight))
    }
}

impl Shelf {
    /// A file, if it is here and was read a short while ago.
    pub(crate) fn take(&self, place: &Place) -> Option<Arc<Volume>> {
        self.0.get(place).filter(|volume| volume.at.elapsed() < AGE)
    }

    /// Keeps a file; what is not whole or too long is left out.
    pub(crate) fn keep(&self, place: Place, opened: Opened, bytes: Bytes) {
        let len = bytes.len() as u64;
        if len == opened.size && len <= LARGEST_BYTES {
            self.0.insert(place, Arc::new(Volume { opened, bytes, at: Instant::now() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_api::EntryKind;
    use craftec_core::Codec;

    fn place(path: &str) -> Place {
        Place { root: Cid::of(Codec::Raw, b"root"), path: path.to_owned() }
    }

    fn keep(shelf: &Shelf, path: &str, size: u64, bytes: usize) {
        let cid = Cid::of(Codec::Raw, path.as_bytes());
        let (path, mime) = (path.to_owned(), "text/plain".to_owned());
        let opened =
            Opened { handle: 1, cid, size, kind: EntryKind::File, path: path.clone(), mime };
        shelf.keep(place(&path), opened, vec![7; bytes].into());
    }

    #[test]
    fn whole_small_files_are_kept_and_nothing_else() {
        let shelf = Shelf::default();
        keep(&shelf, "whole", 4096, 4096);
        keep(&shelf, "broken off", 4096, 4095);
        keep(&shelf, "long", LARGEST_BYTES + 1, LARGEST_BYTES as usize + 1);
        assert_eq!(shelf.take(&place("whole")).unwrap().bytes.len(), 4096);
        assert!(shelf.take(&place("broken off")).is_none());
        assert!(shelf.take(&place("long")).is_none());
        let elsewhere = Place { root: Cid::of(Codec::Raw, b"other"), path: "whole".to_owned() };
        assert!(shelf.take(&elsewhere).is_none());
    }

    #[test]
    fn the_shelf_is_bounded_in_bytes() {
        let shelf = Shelf::default();
        (0..200).for_each(|n| keep(&shelf, &n.to_string(), 1 << 20, 1 << 20));
        (0..200_000).for_each(|n| keep(&shelf, &format!("empty {n}"), 0, 0));
        assert!(shelf.0.weight() <= BYTES, "{}", shelf.0.weight());
        assert!(shelf.0.len() > 1000, "{}", shelf.0.len());
    }
}
