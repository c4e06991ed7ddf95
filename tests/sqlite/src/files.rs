//! Which path is which mounted database.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::CString,
    fs, io,
    os::{
        raw::c_int,
        unix::fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use craftec_platform::{File, Folder};
use craftec_sql::{
    SqlError,
    foreign::Named,
    log::{LogError, file_name},
};
use futures::{executor::block_on, future::LocalBoxFuture};
use rusqlite::ffi;

/// What every log calls its database, so that a copy of its file is one too.
const NAME: &str = "db";

/// A database that is mounted, and the file that it was mounted from: a path may have another one later.
struct Open {
    inode: u64,
    named: Named,
}

thread_local! {
    static OPEN: RefCell<HashMap<PathBuf, Open>> = RefCell::default();
}

/// The name by which SQLite opens the database at `path`, or SQLite's code for why there is none.
pub(crate) fn mounted(path: &Path, create: bool) -> Result<CString, c_int> {
    OPEN.with_borrow_mut(|all| {
        // What nobody has open may have been copied over meanwhile.
        all.retain(|_, open| open.named.is_open());
        let there = fs::metadata(path);
        match &there {
            Ok(there) if !there.is_file() => return Err(ffi::SQLITE_CANTOPEN),
            Err(_) if !create => return Err(ffi::SQLITE_CANTOPEN),
            _ => {}
        }
        if let (Ok(there), Some(open)) = (&there, all.get(path))
            && there.ino() == open.inode
        {
            return CString::new(open.named.name()).map_err(|_| ffi::SQLITE_CANTOPEN);
        }
        let named = block_on(Named::open(&OneFile(path.to_owned()), NAME)).map_err(code)?;
        let name = CString::new(named.name()).map_err(|_| ffi::SQLITE_CANTOPEN)?;
        let inode = fs::metadata(path).map_err(|_| ffi::SQLITE_CANTOPEN)?.ino();
        all.insert(path.to_owned(), Open { inode, named });
        Ok(name)
    })
}

fn code(error: SqlError) -> c_int {
    match error {
        SqlError::Log(LogError::Corrupt { .. }) => ffi::SQLITE_NOTADB,
        _ => ffi::SQLITE_CANTOPEN,
    }
}

/// A folder with one file in it, the log of [`NAME`], which others know by this path.
struct OneFile(PathBuf);

impl Folder for OneFile {
    fn open(&self, name: &str) -> LocalBoxFuture<'_, io::Result<Arc<dyn File>>> {
        let mut options = fs::OpenOptions::new();
        let file = if name == file_name(NAME, 0) {
            options.create(true).truncate(false).read(true).write(true).open(&self.0)
        } else {
            Err(io::Error::other("one file has no second generation"))
        };
        Box::pin(async move { Ok(Arc::new(Plain(file?)) as Arc<dyn File>) })
    }

    fn remove(&self, _name: &str) -> LocalBoxFuture<'_, io::Result<()>> {
        let removed = fs::remove_file(&self.0);
        Box::pin(async move { removed })
    }

    fn list(&self) -> LocalBoxFuture<'_, io::Result<Vec<String>>> {
        let names = if self.0.exists() { vec![file_name(NAME, 0)] } else { vec![] };
        Box::pin(async move { Ok(names) })
    }

    fn free_bytes(&self) -> LocalBoxFuture<'_, io::Result<Option<u64>>> {
        Box::pin(async { Ok(None) })
    }
}

#[derive(Debug)]
struct Plain(fs::File);

impl File for Plain {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
