//! A folder of content to a folder of the disk. The names in it were chosen by a stranger: they are
//! all checked, everything is created new below one fresh folder, nothing is ever opened through a
//! link, and the result is moved to its place only when it is whole.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use craftec_api::{ApiError, Command, Entry, EntryKind, ErrorCode, Reply};
use craftec_core::{
    Cid,
    limits::{DAG_DEPTH, NAME_BYTES},
};
use futures::{StreamExt, TryStreamExt};

use super::{Target, get::copy, publish::blocking};
use crate::{
    console::{Console, Progress, printable},
    error::{RelayError, Result},
    session::{Session, unexpected},
};

/// Files under way at one time: hides the round trips to holders.
const FILES_IN_FLIGHT: usize = 8;
/// Entries of one folder with everything below it. Folders may share subfolders, so a few kilobytes
/// of content can describe more files than any disk holds.
const ENTRIES: u64 = 1 << 20;

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// A folder still to be read. Everything is read by its path from the root, whose holders have
/// the parts.
struct Pending {
    path: String,
    /// Below the fresh folder.
    place: PathBuf,
    depth: usize,
}

/// What became of an entry.
enum Fetched {
    File(u64),
    /// It turned out to be a folder.
    Folder(Pending),
}

/// Writes the folder at `target` to `out`, which must not exist or be an empty folder.
pub(crate) async fn fetch(
    session: &Session,
    target: &Target,
    out: &Path,
    console: &Console,
) -> Result<Written> {
    refuse_occupied(out)?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fresh = tempfile::Builder::new()
        .prefix(".craftec-")
        .tempdir_in(parent)
        .map_err(RelayError::file("write in", parent))?;
    let root = fresh.path().join("tree");
    fs::create_dir(&root).map_err(RelayError::file("create", &root))?;
    let mut progress = console.progress("Fetched", None);
    let first = Pending { path: target.path.clone(), place: root.clone(), depth: 0 };
    let written = fill(session, target.cid, first, &mut progress).await?;
    drop(progress);
    let (out, taken) = (out.to_owned(), root);
    blocking(move || {
        let moved = fs::rename(&taken, &out).map_err(RelayError::file("write", &out));
        drop(fresh);
        moved
    })
    .await??;
    Ok(written)
}

fn refuse_occupied(out: &Path) -> Result<()> {
    let occupied = match fs::symlink_metadata(out) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => {
            return Err(RelayError::File { action: "read", path: out.to_owned(), source });
        }
        Ok(meta) if meta.is_dir() => {
            let mut entries = fs::read_dir(out).map_err(RelayError::file("read", out))?;
            entries.next().is_some()
        }
        Ok(_) => true,
    };
    if !occupied {
        return Ok(());
    }
    Err(RelayError::usage(
        format!("{} exists already", out.display()),
        "Nothing was written. Name a folder that does not exist yet with -o DIR.",
    ))
}

/// Writes everything below `first`.
async fn fill(
    session: &Session,
    root: Cid,
    first: Pending,
    progress: &mut Progress,
) -> Result<Written> {
    let mut written = Written::default();
    let mut entries_seen = 0u64;
    let mut folders = VecDeque::from([first]);
    while let Some(folder) = folders.pop_front() {
        if folder.depth > DAG_DEPTH {
            return Err(hostile(format!("its folders are nested more than {DAG_DEPTH} deep")));
        }
        let entries = list(session, root, &folder.path).await?;
        entries_seen += entries.len() as u64;
        if entries_seen > ENTRIES {
            return Err(hostile(format!("it describes more than {ENTRIES} files")));
        }
        entries.iter().try_for_each(|entry| check_name(&entry.name, cfg!(windows)))?;
        let mut fetched = futures::stream::iter(entries)
            .map(|entry| fetch_entry(session, root, &folder, entry))
            .buffer_unordered(FILES_IN_FLIGHT);
        while let Some(done) = fetched.try_next().await? {
            match done {
                Fetched::File(bytes) => {
                    written.files += 1;
                    written.bytes += bytes;
                    progress.add_bytes(bytes);
                    progress.add_file();
                }
                Fetched::Folder(below) => {
                    create_folder(&below.place)?;
                    folders.push_back(below);
                }
            }
        }
    }
    Ok(written)
}

async fn list(session: &Session, cid: Cid, path: &str) -> Result<Vec<Entry>> {
    match session.call(Command::List { cid, path: path.to_owned() }).await? {
        Reply::Entries { entries } => Ok(entries),
        other => Err(unexpected("entries", &other)),
    }
}

async fn fetch_entry(
    session: &Session,
    root: Cid,
    folder: &Pending,
    entry: Entry,
) -> Result<Fetched> {
    let place = folder.place.join(&entry.name);
    let path = match folder.path.as_str() {
        "" => entry.name,
        above => format!("{above}/{}", entry.name),
    };
    let below = |path, place| Pending { path, place, depth: folder.depth + 1 };
    if entry.kind == EntryKind::Folder {
        return Ok(Fetched::Folder(below(path, place)));
    }
    let open = Command::GetOpen { cid: root, path: path.clone(), range: None };
    let opened = session.open(open).await?;
    if opened.kind == EntryKind::Folder || opened.path != path {
        session.done(Command::Close { handle: opened.handle }).await?;
        return Ok(Fetched::Folder(below(path, place)));
    }
    // `create_new` refuses what exists, a second entry of the same name for instance.
    let mut file = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&place)
        .await
        .map_err(RelayError::file("create", &place))?;
    copy(session, opened.handle, opened.size, &mut file, &place, |_| {}).await?;
    // A session has a limited number of handles.
    session.done(Command::Close { handle: opened.handle }).await?;
    tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(RelayError::file("write", &place))?;
    Ok(Fetched::File(opened.size))
}

fn create_folder(place: &Path) -> Result<()> {
    fs::create_dir(place).map_err(RelayError::file("create", place))
}

fn hostile(reason: String) -> RelayError {
    RelayError::Api(
        ApiError::new(ErrorCode::Refused, format!("the folder cannot be written: {reason}"))
            .hint("Nothing was written. Whoever made this folder meant harm or made a mistake."),
    )
}

/// Refuses a name that would be anything but one new entry of its folder.
fn check_name(name: &str, windows: bool) -> Result<()> {
    let bad = |reason: &str| Err(hostile(format!("the name `{}` {reason}", printable(name))));
    match name {
        "" => return Err(hostile("an entry has an empty name".to_owned())),
        "." | ".." => return bad("leads to another folder"),
        _ => {}
    }
    if name.contains('/') || (windows && name.contains('\\')) {
        return bad("has a path separator in it");
    }
    if name.contains('\0') {
        return bad("has a NUL in it");
    }
    if name.len() > NAME_BYTES {
        return bad("is too long");
    }
    if windows && reserved_on_windows(name) {
        return bad("has a meaning of its own on Windows");
    }
    Ok(())
}

/// Names that Windows takes for a device, a drive, a stream or another name. Elsewhere they are
/// ordinary names (`aux.rs`), so they are refused only there.
fn reserved_on_windows(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            matches!(rest, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
        || name.ends_with(['.', ' '])
        || name.contains(|c: char| c.is_control() || "<>:\"|?*".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_folder() {
        let long = "x".repeat(256);
        for bad in ["", ".", "..", "a/b", "/etc", "../x", "a\0b", long.as_str()] {
            assert!(check_name(bad, false).is_err(), "{bad:?}");
            assert!(check_name(bad, true).is_err(), "{bad:?}");
        }
        for bad in [
            "...", "..\\x", "C:\\x", "CON", "aux.rs", "com1.txt", "LPT9", "C:", "a.", "b ", "a?b",
            "x\n",
        ] {
            assert!(check_name(bad, true).is_err(), "{bad:?}");
            assert!(check_name(bad, false).is_ok(), "{bad:?}");
        }
        for good in ["index.html", "..a", "日本", "console.js", "com.js", "a b", "-rf"] {
            assert!(check_name(good, true).is_ok() && check_name(good, false).is_ok(), "{good}");
        }
    }

    #[test]
    fn an_occupied_target_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        assert!(refuse_occupied(&outer.path().join("new")).is_ok());
        assert!(refuse_occupied(outer.path()).is_ok());
        fs::write(outer.path().join("x"), "x").unwrap();
        assert_eq!(refuse_occupied(outer.path()).unwrap_err().exit_code(), 2);
        let link = outer.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(refuse_occupied(&link).is_err());
    }
}
