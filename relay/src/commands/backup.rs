//! `craftec backup`: everything of one's own in one encrypted file, whole or not at all. Also where
//! the passphrase of a backup comes from.

use std::{
    io::{IsTerminal, Read, Write},
    path::Path,
};

use craftec_api::{Command, Reply, Secret};
use serde::Serialize;

use crate::{
    access::Access,
    cli::{Backup, Passphrase},
    console::Console,
    error::{RelayError, Result},
    session::{Session, unexpected},
    units::bytes_text,
};

/// A passphrase is a line; more is a mistaken path.
const PASSPHRASE_BYTES: u64 = 4096;

#[derive(Serialize)]
struct Written {
    file: String,
    bytes: u64,
    objects: u64,
}

/// Writes the file.
pub(crate) async fn run(backup: Backup, access: &Access, console: &Console) -> Result<()> {
    let path = &backup.file;
    let taken = || std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    if path.try_exists().map_err(RelayError::file("look at", path))? {
        return Err(RelayError::file("write", path)(taken()));
    }
    let passphrase = read_passphrase(&backup.passphrase)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Of a mode that only its owner reads; gone again if anything fails.
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .map_err(RelayError::file("write a file in", folder))?;
    let session = &access.session;
    let opened = session.call(Command::BackupOpen { passphrase }).await?;
    let Reply::Backup { handle, bytes: about, objects } = opened else {
        return Err(unexpected("backup", &opened));
    };
    let bytes = copy(session, handle, about, &mut file, console).await?;
    let done = file.as_file().sync_all();
    done.map_err(RelayError::file("write", path))?;
    file.persist_noclobber(path).map_err(|error| RelayError::file("write", path)(error.error))?;
    let written = Written { file: path.display().to_string(), bytes, objects };
    console.result(&written, || {
        format!(
            "Wrote {} objects, the identity and its names: {}.\nKeep the passphrase apart from \
             the file: without it nobody can open it.",
            objects,
            bytes_text(bytes)
        )
    });
    Ok(())
}

async fn copy(
    session: &Session,
    handle: u64,
    about: u64,
    file: &mut tempfile::NamedTempFile,
    console: &Console,
) -> Result<u64> {
    let mut progress = console.progress("Backed up", Some(about));
    let mut bytes = 0;
    loop {
        let part = session.bytes(Command::GetRead { handle }).await?;
        if part.is_empty() {
            return Ok(bytes);
        }
        file.write_all(&part).map_err(RelayError::file("write", file.path()))?;
        bytes += part.len() as u64;
        progress.add_bytes(part.len() as u64);
    }
}

/// The passphrase that a flag or the environment names.
pub(crate) fn read_passphrase(from: &Passphrase) -> Result<Secret> {
    let Some(path) = &from.passphrase_file else {
        return Err(RelayError::usage(
            "a backup is encrypted, and no passphrase was given",
            "Write it into a file that only you read and name it with --passphrase-file, or pipe it \
             with --passphrase-file -.",
        ));
    };
    let failed = RelayError::file("read", path);
    let mut text = String::new();
    let read = if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            return Err(RelayError::usage(
                "a passphrase typed here would be shown",
                "Pipe it into the command, or name a file with --passphrase-file.",
            ));
        }
        std::io::stdin().take(PASSPHRASE_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(PASSPHRASE_BYTES).read_to_string(&mut text))
    };
    read.map_err(failed)?;
    Ok(Secret(text.lines().next().unwrap_or_default().to_owned()))
}
