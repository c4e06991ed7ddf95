//! `craftec put`: files, folders and standard input to objects.

use std::{io, path::Path, time::Duration};

use craftec_api::{Command, Reply};
use craftec_core::Cid;
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::publish::{FolderOptions, report_left_out, store_folder};
use crate::{
    access::Access,
    cli::{Keeping, Put},
    console::Console,
    error::{RelayError, Result},
    session::{Session, unexpected},
    units::bytes_text,
};

/// Bytes of one `put_chunk`: the most that the node takes, so that large files need few answers.
const CHUNK_BYTES: usize = 1 << 20;
/// How long a node that runs only for this command waits for the first copy on another node.
const COPY_WAIT: Duration = Duration::from_secs(20);
/// Pause between two looks at the copies.
const COPY_PAUSE: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct Stored {
    cid: Cid,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
}

#[derive(Serialize)]
struct Row<'a> {
    file: String,
    #[serde(flatten)]
    stored: &'a Stored,
}

#[derive(Serialize)]
struct Rows<'a> {
    objects: Vec<Row<'a>>,
}

/// Stores each and prints their CIDs.
pub(crate) async fn run(put: Put, access: &Access, console: &Console) -> Result<()> {
    let keeping = Keeping { replicas: put.replicas, redundancy: put.redundancy };
    let mut all = Vec::new();
    for file in &put.files {
        all.push(store(file, keeping, &access.session, console).await?);
    }
    let cids: Vec<_> = all.iter().map(|stored| stored.cid).collect();
    settle(&cids, access, console).await;
    if let [one] = all.as_slice() {
        console.result(one, || one.cid.to_string());
        return Ok(());
    }
    let row = |(file, stored): (&std::path::PathBuf, _)| Row { file: shown(file), stored };
    let rows = Rows { objects: put.files.iter().zip(&all).map(row).collect() };
    console.result(&rows, || {
        let line = |row: &Row<'_>| {
            format!("{}  {:>10}  {}\n", row.stored.cid, bytes_text(row.stored.size), row.file)
        };
        rows.objects.iter().map(line).collect()
    });
    Ok(())
}

fn shown(file: &Path) -> String {
    crate::console::printable(&file.to_string_lossy())
}

async fn store(
    file: &Path,
    keeping: Keeping,
    session: &Session,
    console: &Console,
) -> Result<Stored> {
    if file == Path::new("-") {
        return store_stream(tokio::io::stdin(), file, None, keeping, session, console).await;
    }
    let meta = tokio::fs::metadata(file).await.map_err(RelayError::file("read", file))?;
    if meta.is_dir() {
        let replicas = keeping.replicas;
        let options = FolderOptions { clutter_too: false, replicas, site: false, name: None };
        let stored = store_folder(file, options, session, console).await?;
        report_left_out(&stored.left_out, console);
        return Ok(Stored { cid: stored.cid, size: stored.bytes, files: Some(stored.files) });
    }
    let opened = tokio::fs::File::open(file).await.map_err(RelayError::file("open", file))?;
    store_stream(opened, file, Some(meta.len()), keeping, session, console).await
}

async fn store_stream(
    reader: impl AsyncRead + Unpin,
    file: &Path,
    total: Option<u64>,
    keeping: Keeping,
    session: &Session,
    console: &Console,
) -> Result<Stored> {
    let name = total.and(file.file_name()).map(|name| name.to_string_lossy().into_owned());
    let Keeping { replicas, redundancy } = keeping;
    let handle = session.handle(Command::PutOpen { replicas, redundancy, name }).await?;
    let mut progress = console.progress("Stored", total);
    push(session, handle, reader, |bytes| progress.add_bytes(bytes))
        .await?
        .map_err(RelayError::file("read", file))?;
    match session.call(Command::PutClose { handle }).await? {
        Reply::Stored { cid, size } => Ok(Stored { cid, size, files: None }),
        other => Err(unexpected("stored", &other)),
    }
}

/// Sends all of `reader` to an open handle; the next chunk is read while the last one travels.
/// The outer result is the node's, the inner one the reader's.
pub(crate) async fn push(
    session: &Session,
    handle: u64,
    mut reader: impl AsyncRead + Unpin,
    mut moved: impl FnMut(u64),
) -> Result<io::Result<()>> {
    let mut chunk = match fill(&mut reader).await {
        Ok(chunk) => chunk,
        Err(error) => return Ok(Err(error)),
    };
    while !chunk.is_empty() {
        let count = chunk.len() as u64;
        let command = Command::PutChunk { handle, bytes: ByteBuf::from(chunk) };
        let (next, sent) = tokio::join!(fill(&mut reader), session.done(command));
        sent?;
        moved(count);
        chunk = match next {
            Ok(next) => next,
            Err(error) => return Ok(Err(error)),
        };
    }
    Ok(Ok(()))
}

async fn fill(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::new();
    let mut part = reader.take(CHUNK_BYTES as u64);
    part.read_to_end(&mut chunk).await?;
    Ok(chunk)
}

/// A node that ends with this command would take the only copy offline: waits, bounded, until
/// another node has each object, and says how it went.
pub(crate) async fn settle(cids: &[Cid], access: &Access, console: &Console) {
    if !access.is_own() {
        return;
    }
    if !access.has_relays() {
        return console.note("Kept on this machine only: run `craftec up` to share it.");
    }
    let copied = async {
        for cid in cids {
            while !copied(*cid, &access.session).await {
                tokio::time::sleep(COPY_PAUSE).await;
            }
        }
    };
    match tokio::time::timeout(COPY_WAIT, copied).await {
        Ok(()) => console.note("Another node has a copy."),
        Err(_) => console
            .note("No other node has a copy yet: run `craftec up`, which goes on until they do."),
    }
}

async fn copied(cid: Cid, session: &Session) -> bool {
    match session.call(Command::Stat { cid }).await {
        Ok(Reply::Stat(stat)) => stat.health.wanted == 0 || stat.health.signed > 0,
        _ => false,
    }
}
