//! Commands that read content, folders and numbers.

use std::rc::Rc;

use bytes::Bytes;
use craftec_api::{ApiError, Entry, EntryKind, Opened, Range, Reply, Stat};
use craftec_core::Cid;
use craftec_obj::{
    BlockSource, ObjError,
    car::car,
    read::{self, Kind, Resolved, WalkLimits, content, resolve},
};
use futures::{
    StreamExt, TryStreamExt,
    lock::Mutex,
    stream::{self, LocalBoxStream},
};

use super::{
    Session,
    handles::{Handle, other_kind},
};
use crate::{fault, mime::media_type};

/// Most bytes of one `get_read`.
const READ_BYTES: usize = 256 << 10;
/// What a folder opens as, where it has it.
const INDEX: &str = "index.html";
/// The media type of a CAR file (version 1).
const CAR: &str = "application/vnd.ipld.car; version=1";

/// Content that is being read.
pub(super) struct Reader {
    bytes: LocalBoxStream<'static, Result<Bytes, ApiError>>,
    /// What a block held beyond one `get_read`.
    left: Bytes,
}

impl Reader {
    async fn next(&mut self) -> Result<Bytes, ApiError> {
        while self.left.is_empty() {
            match self.bytes.next().await {
                Some(bytes) => self.left = bytes?,
                None => return Ok(Bytes::new()),
            }
        }
        Ok(self.left.split_to(self.left.len().min(READ_BYTES)))
    }
}

impl Session {
    fn source(&self, root: Cid) -> Rc<dyn BlockSource> {
        Rc::new(self.node.reader(root))
    }

    fn open(
        &self,
        bytes: LocalBoxStream<'static, Result<Bytes, ObjError>>,
    ) -> Result<u64, ApiError> {
        self.open_stream(bytes.map_err(fault::object).boxed_local())
    }

    /// A handle that reads from `bytes`.
    pub(super) fn open_stream(
        &self,
        bytes: LocalBoxStream<'static, Result<Bytes, ApiError>>,
    ) -> Result<u64, ApiError> {
        let reader = Reader { bytes, left: Bytes::new() };
        self.handles.add(Handle::Read(Rc::new(Mutex::new(reader))))
    }

    pub(super) async fn get_open(
        &self,
        root: Cid,
        path: &str,
        range: Option<Range>,
    ) -> Result<Reply, ApiError> {
        let (found, path) = self.find(root, path).await.map_err(fault::object)?;
        let cid = found.cid;
        if found.kind == Kind::Folder {
            let handle = self.open(stream::empty().boxed_local())?;
            let (size, kind) = (found.size, EntryKind::Folder);
            return Ok(Reply::Opened(Opened {
                handle,
                cid,
                size,
                kind,
                path,
                mime: String::new(),
            }));
        }
        let range = range.map(|range| checked(range, found.size)).transpose()?;
        if range.is_none() && cid == root {
            self.node.objects.reader(root).expect_bytes(found.size);
        }
        let content = content(self.source(root), cid, range).await.map_err(fault::object)?;
        let handle = self.open(content.bytes)?;
        let (size, kind, mime) = (content.size, EntryKind::File, media_type(&path));
        Ok(Reply::Opened(Opened { handle, cid, size, kind, path, mime }))
    }

    /// What is at `path`, or its `index.html` where it is a folder that has one.
    async fn find(&self, root: Cid, path: &str) -> Result<(Resolved, String), ObjError> {
        let found = resolve(self.source(root), root, path).await?;
        if found.kind == Kind::File {
            return Ok((found, path.to_owned()));
        }
        let index = if path.is_empty() { INDEX.to_owned() } else { format!("{path}/{INDEX}") };
        match resolve(self.source(root), root, &index).await {
            Ok(file) if file.kind == Kind::File => Ok((file, index)),
            Ok(_) | Err(ObjError::NotFound { .. } | ObjError::Path(_)) => {
                Ok((found, path.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn car_open(&self, root: Cid, path: &str) -> Result<Reply, ApiError> {
        let found = resolve(self.source(root), root, path).await.map_err(fault::object)?;
        let handle = self.open(car(self.source(root), found.cid, WalkLimits::default()))?;
        Ok(Reply::Opened(Opened {
            handle,
            cid: found.cid,
            size: found.size,
            kind: kind(found.kind),
            path: path.to_owned(),
            mime: CAR.to_owned(),
        }))
    }

    pub(super) async fn block(&self, cid: Cid) -> Result<Reply, ApiError> {
        let block = self.node.reader(cid).block(cid).await.map_err(fault::object)?;
        Ok(Reply::Bytes { bytes: block.into_bytes() })
    }

    pub(super) async fn get_read(&self, handle: u64) -> Result<Reply, ApiError> {
        let reader = self.handles.with(handle, |open| match open {
            Handle::Read(reader) => Ok(reader.clone()),
            _ => Err(other_kind(handle, "open for reading")),
        })?;
        let bytes = reader.lock().await.next().await?;
        Ok(Reply::Bytes { bytes })
    }

    pub(super) async fn list(&self, root: Cid, path: &str) -> Result<Reply, ApiError> {
        let found = resolve(self.source(root), root, path).await.map_err(fault::object)?;
        let listed = read::list(self.source(root), found.cid).await.map_err(fault::object)?;
        let entries = listed.into_iter().map(|entry| Entry {
            name: entry.name,
            cid: entry.cid,
            size: entry.size,
            kind: kind(entry.kind),
        });
        Ok(Reply::Entries { entries: entries.collect() })
    }

    pub(super) async fn stat(&self, root: Cid) -> Result<Reply, ApiError> {
        let stat = read::stat(self.source(root), root, WalkLimits::default());
        let stat = stat.await.map_err(fault::object)?;
        let local = self.node.objects.local_blocks(root).await.map_err(fault::object)?;
        let pinned = self.node.objects.record(&root).map_err(fault::store)?.is_some();
        let (health, holders) = self.node.health(&root);
        Ok(Reply::Stat(Stat {
            cid: root,
            size: stat.size,
            kind: kind(stat.kind),
            files: stat.files,
            blocks: stat.blocks,
            local_blocks: local,
            pinned,
            health,
            holders,
            outlook: self.node.outlook(&root),
        }))
    }
}

const fn kind(kind: Kind) -> EntryKind {
    match kind {
        Kind::File => EntryKind::File,
        Kind::Folder => EntryKind::Folder,
    }
}

/// A range that lies in a file of `size` bytes.
fn checked(range: Range, size: u64) -> Result<std::ops::Range<u64>, ApiError> {
    let end = range.end.unwrap_or(size).min(size);
    if range.start > end || (range.start == size && size > 0) {
        let asked = range.end.map_or_else(String::new, |end| end.to_string());
        let message = format!("The range {}..{asked} is outside of {size} bytes.", range.start);
        return Err(fault::input(message));
    }
    Ok(range.start..end)
}
