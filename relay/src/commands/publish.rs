//! `craftec site publish`: a folder to a site. Many small files travel side by side, large ones in
//! chunks; what can't be read is left out and named.

use std::{cell::RefCell, fs::File, io::Read};

use craftec_api::{Command, Reply};
use craftec_core::{Cid, limits::SMALL_OBJECT_BYTES};
use futures::StreamExt;
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::{
    put::{push, settle},
    walk::{Found, LeftOut, unreadable, walk},
};
use crate::{
    access::Access,
    cli::Publish,
    console::{Console, Progress},
    error::{RelayError, Result},
    session::{Session, unexpected},
    units::{bytes_text, files_text},
};

/// Files under way at one time: enough to keep reading, hashing and the socket busy, few enough
/// that their buffers (2 MiB each at most) stay small.
const FILES_IN_FLIGHT: usize = 16;

#[derive(Serialize)]
struct Published {
    cid: Cid,
    url: String,
    files: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOut>,
}

/// How a folder is stored.
pub(crate) struct FolderOptions {
    /// Also `.git` and the like.
    pub(crate) clutter_too: bool,
    /// Copies wanted on other nodes.
    pub(crate) replicas: Option<u16>,
    /// List it as a site.
    pub(crate) site: bool,
    /// Give it a name.
    pub(crate) name: Option<String>,
}

/// A stored folder.
pub(crate) struct StoredFolder {
    /// Its address.
    pub(crate) cid: Cid,
    /// Files in it.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// The label of its name.
    pub(crate) label: Option<String>,
    /// What is not in it.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Publishes and prints where.
pub(crate) async fn run(publish: Publish, access: &Access, console: &Console) -> Result<()> {
    let options = FolderOptions {
        clutter_too: publish.all,
        replicas: publish.replicas,
        site: true,
        name: publish.name,
    };
    let stored = store_folder(&publish.dir, options, &access.session, console).await?;
    report_left_out(&stored.left_out, console);
    settle(&[stored.cid], access, console).await;
    let host = stored.label.clone().unwrap_or_else(|| stored.cid.to_string());
    let published = Published {
        cid: stored.cid,
        url: access.gateway.site_url(&host),
        files: stored.files,
        bytes: stored.bytes,
        label: stored.label,
        left_out: stored.left_out,
    };
    console.result(&published, || {
        let size = bytes_text(published.bytes);
        format!("{}\n{}\n{}, {size}", published.url, published.cid, files_text(published.files))
    });
    Ok(())
}

/// Stores a folder with all its files.
pub(crate) async fn store_folder(
    dir: &std::path::Path,
    options: FolderOptions,
    session: &Session,
    console: &Console,
) -> Result<StoredFolder> {
    let root = dir.to_owned();
    let walked = blocking(move || walk(&root, options.clutter_too)).await??;
    let mut left_out = walked.left_out;
    let total = walked.files.iter().map(|file| file.bytes).sum();
    let progress = RefCell::new(console.progress("Stored", Some(total)));
    let folder = session.handle(Command::FolderOpen).await?;
    let mut files = futures::stream::iter(walked.files)
        .map(|file| add(session, folder, file, &progress))
        .buffer_unordered(FILES_IN_FLIGHT);
    let mut added = 0u64;
    while let Some(result) = files.next().await {
        match result? {
            Added::Yes => added += 1,
            Added::LeftOut(left) => left_out.push(left),
        }
    }
    drop(files);
    drop(progress);
    if added == 0 {
        session.done(Command::Close { handle: folder }).await?;
        report_left_out(&left_out, console);
        return Err(RelayError::usage(
            format!("{} holds no file that can be stored", dir.display()),
            "Nothing was published. Name the folder that holds index.html.",
        ));
    }
    left_out.sort_by(|a, b| a.path.cmp(&b.path));
    let FolderOptions { replicas, site, name, .. } = options;
    match session.call(Command::FolderClose { folder, replicas, site, name }).await? {
        Reply::Published { cid, files, bytes, label } => {
            Ok(StoredFolder { cid, files, bytes, label, left_out })
        }
        other => Err(unexpected("published", &other)),
    }
}

/// Says on standard error what is missing.
pub(crate) fn report_left_out(left_out: &[LeftOut], console: &Console) {
    if left_out.is_empty() {
        return;
    }
    console.note(&format!("Left out {} of the folder's entries:", left_out.len()));
    for left in left_out {
        console.note(&format!("  {}: {}", left.path, left.reason));
    }
}

enum Added {
    Yes,
    LeftOut(LeftOut),
}

/// What reading the start of a file gave: all of it, or a file that is to be streamed.
enum Start {
    Whole(Vec<u8>),
    Large(File),
}

fn read_start(file: &Found) -> std::io::Result<Start> {
    let mut opened = File::open(&file.source)?;
    if file.bytes >= SMALL_OBJECT_BYTES {
        return Ok(Start::Large(opened));
    }
    let mut bytes = Vec::with_capacity(file.bytes as usize);
    (&mut opened).take(SMALL_OBJECT_BYTES).read_to_end(&mut bytes)?;
    if bytes.len() as u64 >= SMALL_OBJECT_BYTES {
        // It grew since it was found.
        return Ok(Start::Large(File::open(&file.source)?));
    }
    Ok(Start::Whole(bytes))
}

async fn add(
    session: &Session,
    folder: u64,
    file: Found,
    progress: &RefCell<Progress>,
) -> Result<Added> {
    let (file, start) = blocking(move || {
        let start = read_start(&file);
        (file, start)
    })
    .await?;
    let path = file.path;
    let left = |path, error: &std::io::Error| {
        Ok(Added::LeftOut(LeftOut { path, reason: unreadable(error) }))
    };
    match start {
        Err(error) => return left(path, &error),
        Ok(Start::Whole(bytes)) => {
            let count = bytes.len() as u64;
            let bytes = ByteBuf::from(bytes);
            session.done(Command::FolderAdd { folder, path, bytes }).await?;
            progress.borrow_mut().add_bytes(count);
        }
        Ok(Start::Large(opened)) => {
            let handle = session.handle(Command::FolderFile { folder, path: path.clone() }).await?;
            let reader = tokio::fs::File::from_std(opened);
            let pushed = push(session, handle, reader, |bytes| {
                progress.borrow_mut().add_bytes(bytes);
            });
            if let Err(error) = pushed.await? {
                session.done(Command::Close { handle }).await?;
                return left(path, &error);
            }
            match session.call(Command::PutClose { handle }).await? {
                Reply::Stored { .. } | Reply::Done => {}
                other => return Err(unexpected("stored", &other)),
            }
        }
    }
    progress.borrow_mut().add_file();
    Ok(Added::Yes)
}

/// Runs file operations off the thread that talks to the node.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| RelayError::Start(format!("a file operation broke off: {error}")))
}
