//! What of a folder is published: every regular file below it, and a reason for everything that is
//! left out. It reads names and metadata; it never follows a link out of the folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use craftec_obj::unixfs::path;
use serde::Serialize;

use crate::error::{RelayError, Result};

/// What operating systems and tools leave in folders; the page leaves out the same, so that both
/// give one folder one CID.
const CLUTTER: [&str; 5] = [".DS_Store", ".git", "Thumbs.db", "__MACOSX", "desktop.ini"];

/// A file to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Path below the folder, `/` between names.
    pub(crate) path: String,
    /// Where to read it.
    pub(crate) source: PathBuf,
    /// Its length when it was found.
    pub(crate) bytes: u64,
}

/// What is not published, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    /// Path below the folder; bytes that are no UTF-8 appear as U+FFFD.
    pub(crate) path: String,
    /// A clause, for instance `a socket`.
    pub(crate) reason: String,
}

/// A folder as it will be published.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Files, by path.
    pub(crate) files: Vec<Found>,
    /// The rest, by path.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Walks the folder. Fails only if the folder itself can't be read.
pub(crate) fn walk(root: &Path, clutter_too: bool) -> Result<Walk> {
    let root = root.canonicalize().map_err(RelayError::file("read", root))?;
    if !root.is_dir() {
        return Err(RelayError::usage(
            format!("{} is not a folder", root.display()),
            "Name the folder that holds index.html; single files go with `craftec put`.",
        ));
    }
    let mut walker = Walker { root: root.clone(), clutter_too, walk: Walk::default() };
    let entries = fs::read_dir(&root).map_err(RelayError::file("read", &root))?;
    let mut folders = walker.folder("", entries);
    while let Some((path, source)) = folders.pop() {
        match fs::read_dir(&source) {
            Ok(entries) => folders.extend(walker.folder(&path, entries)),
            Err(error) => walker.leave(path, unreadable(&error)),
        }
    }
    let mut walk = walker.walk;
    walk.files.sort_by(|a, b| a.path.cmp(&b.path));
    walk.left_out.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk)
}

/// Why a file or folder could not be read.
pub(crate) fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

struct Walker {
    root: PathBuf,
    clutter_too: bool,
    walk: Walk,
}

impl Walker {
    fn leave(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.walk.left_out.push(LeftOut { path: path.into(), reason: reason.into() });
    }

    /// Takes one folder's files and returns its folders.
    fn folder(&mut self, path: &str, entries: fs::ReadDir) -> Vec<(String, PathBuf)> {
        let mut folders = Vec::new();
        let mut empty = true;
        for entry in entries {
            empty = false;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.leave(path, unreadable(&error));
                    continue;
                }
            };
            let name = entry.file_name();
            let below = |name: &str| {
                if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
            };
            let Some(text) = name.to_str() else {
                self.leave(below(&name.to_string_lossy()), "its name is not UTF-8");
                continue;
            };
            let path = below(text);
            if let Some(reason) = self.refuse_name(text, &path) {
                self.leave(path, reason);
            } else {
                folders.extend(self.entry(path, entry.path()));
            }
        }
        if empty && !path.is_empty() {
            self.leave(path, "an empty folder");
        }
        folders
    }

    fn refuse_name(&self, name: &str, path: &str) -> Option<String> {
        if !self.clutter_too && CLUTTER.contains(&name) {
            return Some("left out by default, `--all` publishes it".to_owned());
        }
        path::names(path).err().map(|error| error.to_string())
    }

    /// Takes a file, leaves out what is none, returns a folder.
    fn entry(&mut self, path: String, source: PathBuf) -> Option<(String, PathBuf)> {
        let kind = match fs::symlink_metadata(&source) {
            Ok(meta) => meta,
            Err(error) => {
                self.leave(path, unreadable(&error));
                return None;
            }
        };
        if kind.is_dir() {
            return Some((path, source));
        }
        if kind.is_symlink() {
            match self.linked(&source) {
                Ok(bytes) => self.walk.files.push(Found { path, source, bytes }),
                Err(reason) => self.leave(path, reason),
            }
        } else if kind.is_file() {
            self.walk.files.push(Found { path, source, bytes: kind.len() });
        } else {
            self.leave(path, special(&kind));
        }
        None
    }

    /// The length of the file inside the folder that a link leads to.
    fn linked(&self, source: &Path) -> Result<u64, String> {
        let target = match source.canonicalize() {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err("a symbolic link that leads nowhere".to_owned());
            }
            Err(error) => return Err(format!("a symbolic link that {}", unreadable(&error))),
        };
        if !target.starts_with(&self.root) {
            return Err("a symbolic link that leads out of the folder".to_owned());
        }
        match fs::metadata(&target) {
            Ok(meta) if meta.is_file() => Ok(meta.len()),
            Ok(meta) if meta.is_dir() => Err("a symbolic link to a folder".to_owned()),
            Ok(meta) => Err(format!("a symbolic link to {}", special(&meta))),
            Err(error) => Err(format!("a symbolic link that {}", unreadable(&error))),
        }
    }
}

fn special(meta: &fs::Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = meta.file_type();
    if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a named pipe"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    };

    #[test]
    fn everything_is_published_or_named() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("site");
        fs::create_dir_all(root.join("日本/ünï")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::create_dir_all(root.join("empty")).unwrap();
        fs::write(outer.path().join("secret"), "s").unwrap();
        fs::write(root.join("index.html"), "hello").unwrap();
        fs::write(root.join("日本/ünï/שלום.txt"), "x").unwrap();
        fs::write(root.join(".DS_Store"), "x").unwrap();
        symlink("index.html", root.join("home.html")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("../secret", root.join("leak")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("日本", root.join("folder-link")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let _socket = UnixListener::bind(root.join("sock")).unwrap();
        fs::write(root.join("line\nfeed"), "x").unwrap();
        let odd = fs::write(root.join(OsStr::from_bytes(b"caf\xe9")), "x");

        let found = walk(&root, false).unwrap();
        let paths: Vec<_> = found.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["home.html", "index.html", "日本/ünï/שלום.txt"]);
        assert_eq!(found.files[0].bytes, 5);
        let why = |path: &str| {
            let left = found.left_out.iter().find(|left| left.path == path);
            left.unwrap_or_else(|| panic!("{path} is not named")).reason.clone()
        };
        assert!(why(".DS_Store").contains("--all"));
        assert!(why(".git").contains("--all"));
        assert_eq!(why("dangling"), "a symbolic link that leads nowhere");
        assert_eq!(why("leak"), "a symbolic link that leads out of the folder");
        assert_eq!(why("up"), "a symbolic link that leads out of the folder");
        assert_eq!(why("folder-link"), "a symbolic link to a folder");
        assert!(why("loop").contains("cannot be read"));
        assert_eq!(why("sock"), "a socket");
        assert_eq!(why("empty"), "an empty folder");
        assert!(why("line\nfeed").contains("control character"));
        if odd.is_ok() {
            assert_eq!(why("caf\u{fffd}"), "its name is not UTF-8");
        }
        let all = walk(&root, true).unwrap();
        assert!(all.files.iter().any(|file| file.path == ".DS_Store"));
    }

    #[test]
    fn a_missing_folder_is_not_found_and_a_file_is_no_folder() {
        let outer = tempfile::tempdir().unwrap();
        let file = outer.path().join("f");
        fs::write(&file, "x").unwrap();
        assert_eq!(walk(&outer.path().join("no"), false).unwrap_err().exit_code(), 3);
        assert_eq!(walk(&file, false).unwrap_err().exit_code(), 2);
    }
}
