//! Files as a block store needs them: random access, explicit durability, nothing else.

use std::{fmt::Debug, io, sync::Arc};

use futures::future::LocalBoxFuture;

/// An open file. Offsets and lengths are in bytes.
///
/// Synchronous on purpose: OPFS sync access handles, `pread` and memory all are, and the store
/// above (redb) wants it so. A write is durable only after [`File::sync`] returned.
pub trait File: Debug + Send + Sync {
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `buf` from `offset`; `UnexpectedEof` when the file ends before that.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, growing the file where needed. `StorageFull` when the
    /// disk or the browser's quota is exhausted.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file or grows it with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Makes everything written so far survive a crash.
    fn sync(&self) -> io::Result<()>;
}

/// A flat folder of files. Opening is asynchronous because a browser's is.
pub trait Folder {
    /// Opens `name`, creating an empty file if there is none. A file is open at most once at a
    /// time; a second open fails with `ResourceBusy`.
    fn open(&self, name: &str) -> LocalBoxFuture<'_, io::Result<Arc<dyn File>>>;
    /// Removes `name`; nothing happens if it does not exist.
    fn remove(&self, name: &str) -> LocalBoxFuture<'_, io::Result<()>>;
    /// Names of all files, sorted.
    fn list(&self) -> LocalBoxFuture<'_, io::Result<Vec<String>>>;
    /// Bytes that may still be written before the disk or quota is full, where the platform says.
    fn free_bytes(&self) -> LocalBoxFuture<'_, io::Result<Option<u64>>>;
}

/// Refuses what is not a plain file name, so that no name leaves the folder on any platform.
pub(crate) fn check_name(name: &str) -> io::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let reason = format!("`{name}` is not a plain file name (letters, digits, `.`, `-`, `_`)");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(())
}
