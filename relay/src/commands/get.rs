//! `craftec get`: a file, part of one, or a folder. A target appears whole or not at all.

use std::{
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use craftec_api::{Command, EntryKind, Opened, Range};
use craftec_core::Cid;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Target, publish::blocking, tree};
use crate::{
    access::Access,
    cli::Get,
    console::Console,
    error::{RelayError, Result},
    session::Session,
    units::{bytes_text, files_text, parse_range},
};

#[derive(Serialize)]
struct Got {
    cid: Cid,
    path: String,
    out: String,
    files: u64,
    bytes: u64,
}

/// Fetches and says what was written where.
pub(crate) async fn run(get: Get, access: &Access, console: &Console) -> Result<()> {
    let target = Target::parse(&get.target)?;
    let range = range(&get)?;
    let session = &access.session;
    let open = Command::GetOpen { cid: target.cid, path: target.path.clone(), range };
    let opened = session.open(open).await?;
    let to_stdout = get.out.as_deref() == Some(Path::new("-"));
    if to_stdout && console.is_json() {
        return Err(RelayError::usage(
            "`--json` and `-o -` both want standard output",
            "Write to a file with -o FILE, or leave out --json.",
        ));
    }
    // A folder with an index opens as that index; the path tells.
    let is_folder = opened.kind == EntryKind::Folder || opened.path != target.path;
    let (out, files, bytes) = if is_folder {
        session.done(Command::Close { handle: opened.handle }).await?;
        if to_stdout || range.is_some() {
            return Err(RelayError::usage(
                format!("{} is a folder, which has no bytes of its own", get.target),
                "Name a file in it (`craftec ls` shows them), or write the folder with -o DIR.",
            ));
        }
        let out = get.out.unwrap_or_else(|| PathBuf::from(target.name()));
        let written = tree::fetch(session, &target, &out, console).await?;
        (out, written.files, written.bytes)
    } else {
        let bytes = expected(&opened, range)?;
        if to_stdout {
            to_standard_output(session, &opened, bytes).await?;
            return Ok(());
        }
        let out = file_target(get.out, &target).await;
        let mut progress = console.progress("Fetched", Some(bytes));
        to_file(session, &opened, bytes, &out, |bytes| progress.add_bytes(bytes)).await?;
        (out, 1, bytes)
    };
    let out = crate::console::printable(&out.to_string_lossy());
    let got =
        Got { cid: opened_cid(&opened, &target, is_folder), path: target.path, out, files, bytes };
    console.result(&got, || {
        format!("{} ({}, {})", got.out, bytes_text(got.bytes), files_text(got.files))
    });
    Ok(())
}

fn opened_cid(opened: &Opened, target: &Target, is_folder: bool) -> Cid {
    if is_folder { target.cid } else { opened.cid }
}

/// The range asked for, checked.
pub(crate) fn range(get: &Get) -> Result<Option<Range>> {
    let Some(text) = &get.range else { return Ok(None) };
    parse_range(text).map(Some).ok_or_else(|| {
        RelayError::usage(
            format!("`{text}` is not a range of bytes"),
            "Write FIRST-LAST, as in 0-99 for the first hundred bytes, or 100- for what follows.",
        )
    })
}

/// Bytes that the range of this content has.
fn expected(opened: &Opened, range: Option<Range>) -> Result<u64> {
    let Some(range) = range else { return Ok(opened.size) };
    if range.start >= opened.size {
        return Err(RelayError::usage(
            format!("the range begins at {}, the content has {} bytes", range.start, opened.size),
            "Choose a smaller first byte.",
        ));
    }
    Ok(range.end.unwrap_or(opened.size).min(opened.size) - range.start)
}

async fn file_target(out: Option<PathBuf>, target: &Target) -> PathBuf {
    match out {
        Some(out) if tokio::fs::metadata(&out).await.is_ok_and(|meta| meta.is_dir()) => {
            out.join(target.name())
        }
        Some(out) => out,
        None => PathBuf::from(target.name()),
    }
}

async fn to_standard_output(session: &Session, opened: &Opened, bytes: u64) -> Result<()> {
    let name = Path::new("standard output");
    let mut out = tokio::io::stdout();
    copy(session, opened.handle, bytes, &mut out, name, |_| {}).await?;
    out.flush().await.map_err(RelayError::file("write to", name))
}

/// Writes content next to `out` and moves it there once it is whole.
pub(crate) async fn to_file(
    session: &Session,
    opened: &Opened,
    bytes: u64,
    out: &Path,
    moved: impl FnMut(u64),
) -> Result<()> {
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .prefix(".craftec-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(RelayError::file("write in", folder))?;
    let (file, path) = temporary.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    copy(session, opened.handle, bytes, &mut file, out, moved).await?;
    file.flush().await.map_err(RelayError::file("write", out))?;
    file.sync_all().await.map_err(RelayError::file("write", out))?;
    let target = out.to_owned();
    blocking(move || path.persist(&target).map_err(|error| (target, error.error)))
        .await?
        .map_err(|(target, source)| RelayError::File { action: "write", path: target, source })
}

/// Copies an opened handle to its end and checks that nothing is missing. The next chunk is asked
/// for while the last one is written.
pub(crate) async fn copy(
    session: &Session,
    handle: u64,
    bytes: u64,
    out: &mut (impl AsyncWrite + Unpin),
    name: &Path,
    mut moved: impl FnMut(u64),
) -> Result<()> {
    let mut left = bytes;
    let mut next = session.bytes(Command::GetRead { handle });
    loop {
        let chunk = next.await?;
        if chunk.is_empty() {
            break;
        }
        next = session.bytes(Command::GetRead { handle });
        let count = chunk.len() as u64;
        left = left.checked_sub(count).ok_or_else(|| wrong_length(name))?;
        out.write_all(&chunk).await.map_err(RelayError::file("write", name))?;
        moved(count);
    }
    if left == 0 { Ok(()) } else { Err(wrong_length(name)) }
}

fn wrong_length(name: &Path) -> RelayError {
    let text = "the content has another length than its node said";
    RelayError::file("write", name)(io::Error::new(io::ErrorKind::InvalidData, text))
}
