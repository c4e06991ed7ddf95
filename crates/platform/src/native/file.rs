//! Files of the operating system, in a folder that one process owns.
//!
//! The folder is locked through an advisory lock on [`LOCK_FILE`], which the system lets go when the
//! process ends, however it ends. New and removed names are made durable by flushing the folder.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::LocalBoxFuture;

use crate::{File, Folder, file::check_name};

/// The file whose lock owns the folder. Never deleted: a lock on a deleted file protects nothing.
pub const LOCK_FILE: &str = "lock";

type OpenNames = Arc<Mutex<BTreeSet<String>>>;

/// A folder on disk, locked for this process as long as it or a file in it is open.
#[derive(Debug)]
pub struct NativeFolder {
    path: PathBuf,
    lock: Arc<fs::File>,
    open: OpenNames,
}

impl NativeFolder {
    /// Opens `path`, creating it and its parents, and takes the lock. `ResourceBusy` if another
    /// process, or this one, has it.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(|e| named(path, &e))?;
        let lock = path.join(LOCK_FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
        let file = file.map_err(|e| named(&lock, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = format!("{} is in use by another craftec process", path.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, reason));
            }
            Err(TryLockError::Error(error)) => return Err(named(&lock, &error)),
        }
        Ok(Self { path: path.to_owned(), lock: Arc::new(file), open: OpenNames::default() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_file(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path_of(name)?;
        if !lock(&self.open).insert(name.to_owned()) {
            let reason = format!("{} is open already", path.display());
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, reason));
        }
        let slot = OpenName { name: name.to_owned(), open: self.open.clone() };
        let created = !path.exists();
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(|e| named(&path, &e))?;
        if created {
            self.sync_folder()?;
        }
        Ok(Arc::new(NativeFile { file, path, _slot: slot, _lock: self.lock.clone() }))
    }

    fn path_of(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name)?;
        if name == LOCK_FILE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "`lock` is the folder's own"));
        }
        Ok(self.path.join(name))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|e| named(&self.path, &e))? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Some(name) = entry.file_name().to_str()
                && name != LOCK_FILE
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    #[cfg(unix)]
    fn sync_folder(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_folder(&self) -> io::Result<()> {
        // Windows has no handle to flush a folder with; NTFS journals its names.
        Ok(())
    }

    #[cfg(unix)]
    fn space(&self) -> io::Result<Option<u64>> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    #[cfg(not(unix))]
    fn space(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

impl Folder for NativeFolder {
    fn open(&self, name: &str) -> LocalBoxFuture<'_, io::Result<Arc<dyn File>>> {
        let file = self.open_file(name);
        Box::pin(async move { file })
    }

    fn remove(&self, name: &str) -> LocalBoxFuture<'_, io::Result<()>> {
        let removed = self.path_of(name).and_then(|path| match fs::remove_file(&path) {
            Ok(()) => self.sync_folder(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(named(&path, &error)),
        });
        Box::pin(async move { removed })
    }

    fn list(&self) -> LocalBoxFuture<'_, io::Result<Vec<String>>> {
        let names = self.names();
        Box::pin(async move { names })
    }

    fn free_bytes(&self) -> LocalBoxFuture<'_, io::Result<Option<u64>>> {
        let space = self.space();
        Box::pin(async move { space })
    }
}

/// A name that is open; gives it free when dropped.
#[derive(Debug)]
struct OpenName {
    name: String,
    open: OpenNames,
}

impl Drop for OpenName {
    fn drop(&mut self) {
        lock(&self.open).remove(&self.name);
    }
}

#[derive(Debug)]
struct NativeFile {
    file: fs::File,
    path: PathBuf,
    _slot: OpenName,
    // Another process must not get the folder while a file of it is still being written.
    _lock: Arc<fs::File>,
}

impl File for NativeFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(|e| named(&self.path, &e))?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        read_exact_at(&self.file, buf, offset).map_err(|e| named(&self.path, &e))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.file, bytes, offset).map_err(|e| named(&self.path, &e))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes).map_err(|e| named(&self.path, &e))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data().map_err(|e| named(&self.path, &e))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
}

#[cfg(unix)]
fn write_all_at(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &fs::File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buf, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buf = &mut buf[read..];
        offset += read as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn write_all_at(file: &fs::File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// The same kind of error, naming the file.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // The sets and images behind these locks are changed in single steps: a panic elsewhere leaves
    // them whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
