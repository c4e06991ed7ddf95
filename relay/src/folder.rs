//! The data folder: made private to its owner, and owned by one process at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::error::{RelayError, Result};

/// The file that the owning process keeps locked.
const LOCK: &str = "craftec.lock";
/// What the running gateway tells local commands.
const GATEWAY: &str = "gateway.json";

/// Owns a data folder until dropped. The operating system lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

/// Creates the folder where there is none, for its owner only.
pub(crate) fn create(data: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(RelayError::file("create the data folder", data))
}

/// Takes the folder, unless another process has it (`None`). The owner writes its process id into
/// the file, so that whoever comes second can say who is first.
pub(crate) fn try_lock(data: &Path) -> Result<Option<FolderLock>> {
    let path = data.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(RelayError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(source)) => {
            return Err(RelayError::File { action: "lock", path, source });
        }
    }
    // The lock is what counts: on a full disk the folder is owned all the same.
    let named = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = named {
        tracing::debug!(%error, "the lock file does not name this process");
    }
    Ok(Some(FolderLock { _file: file }))
}

/// The process that owns the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// None does.
    Nobody,
    /// A process, by its id where it left one.
    Process(Option<u32>),
}

/// Who owns the folder, without creating anything in it. The lock is taken and let go of within
/// microseconds; a process that starts just then tries again.
pub(crate) fn owner(data: &Path) -> io::Result<Owner> {
    let file = match File::open(data.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Owner::Nobody),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Owner::Nobody),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A process id has at most ten digits.
            file.take(16).read_to_string(&mut text)?;
            Ok(Owner::Process(text.trim().parse().ok()))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The error of a folder that another process owns.
pub(crate) fn in_use(data: &Path) -> RelayError {
    let pid = match owner(data) {
        Ok(Owner::Process(pid)) => pid,
        Ok(Owner::Nobody) | Err(_) => None,
    };
    RelayError::InUse { folder: data.to_owned(), pid }
}

/// Writes a file that only its owner reads, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = || {
        // A temporary file of this kind has mode 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    written().map(drop).map_err(RelayError::file("write", path))
}

/// Where the running gateway is reached, for the links that commands print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gateway {
    /// Domain of app and sites.
    pub(crate) domain: String,
    /// Its HTTP port.
    pub(crate) port: u16,
}

impl Gateway {
    /// The address of a site: a CID or a name's label.
    pub(crate) fn site_url(&self, label: &str) -> String {
        format!("http://{label}.{}{}/", self.domain, self.port_suffix())
    }

    /// The app's address, without the final slash.
    pub(crate) fn app_origin(&self) -> String {
        format!("http://app.{}{}", self.domain, self.port_suffix())
    }

    /// `:4080`, or nothing for the default port of `http`.
    pub(crate) fn port_suffix(&self) -> String {
        if self.port == 80 { String::new() } else { format!(":{}", self.port) }
    }

    /// Leaves word for local commands.
    pub(crate) fn save(&self, data: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|error| {
            RelayError::Start(format!("the gateway's address can't be written: {error}"))
        })?;
        write_private(&data.join(GATEWAY), &text)
    }

    /// Takes the word back.
    pub(crate) fn forget(&self, data: &Path) {
        if let Err(error) = fs::remove_file(data.join(GATEWAY)) {
            tracing::debug!(%error, "the gateway's address was gone already");
        }
    }

    /// What a gateway left; `None` where there was never one, or it can't be read.
    pub(crate) fn load(data: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(data.join(GATEWAY)).ok()?).ok()
    }
}

/// A path below the data folder for the node's store.
pub(crate) fn store(data: &Path) -> PathBuf {
    data.join("store")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_owner_at_a_time_and_private_files() {
        let outer = tempfile::tempdir().unwrap();
        let data = outer.path().join("a/b");
        create(&data).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        let lock = try_lock(&data).unwrap().unwrap();
        assert!(try_lock(&data).unwrap().is_none());
        assert_eq!(owner(&data).unwrap(), Owner::Process(Some(std::process::id())));
        let pid = format!("(id {})", std::process::id());
        assert!(in_use(&data).to_string().contains(&pid));
        drop(lock);
        assert_eq!(owner(&data).unwrap(), Owner::Nobody, "though the file names its last owner");
        assert!(try_lock(&data).unwrap().is_some());
        let gateway = Gateway { domain: "craftec.localhost".into(), port: 4080 };
        gateway.save(&data).unwrap();
        assert_eq!(mode(&data.join(GATEWAY)), 0o600);
        assert_eq!(Gateway::load(&data), Some(gateway.clone()));
        assert_eq!(gateway.site_url("x"), "http://x.craftec.localhost:4080/");
    }
}
