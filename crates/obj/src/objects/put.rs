//! Putting objects and folders: bytes in, blocks to the disk in large commits.
//!
//! Nothing of a put is visible before it ends: its pin and its record are committed together with
//! its last blocks. A put that is dropped leaves unreached blocks, which the next sweep frees.

use std::{cell::RefCell, rc::Rc};

use craftec_core::{Cid, limits};

use super::{ObjectRecord, Objects};
use crate::{
    ObjError, StoreError,
    block::Block,
    store::{Batch, Meta, Pin, PinReason},
    unixfs::{FileBuilder, FolderBuilder, path},
};

/// Bytes of blocks gathered before they are committed.
const GATHERED_BYTES: usize = 8 << 20;
/// Files in one folder: a hundred times a very large site, and some 100 MB of memory.
const FOLDER_FILES: u64 = 1_000_000;

/// A finished object or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its address.
    pub cid: Cid,
    /// What is remembered about it.
    pub record: ObjectRecord,
}

/// What a put is remembered under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// A name a person gave.
    pub name: Option<String>,
    /// Copies wanted on other nodes.
    pub wanted: u16,
    /// Pieces per hundred source pieces where a file is to be coded; 0 for copies only.
    pub percent: u16,
    /// When (ms since 1970).
    pub time_ms: u64,
}

/// Blocks of one put on their way to the disk.
pub(super) struct Sink {
    objects: Objects,
    fresh: u64,
    /// [`Store::losses`](crate::Store::losses) when the put began.
    losses: u64,
    gathered: Vec<Block>,
    gathered_bytes: usize,
    blocks: u64,
    block_bytes: u64,
    ended: bool,
}

impl Sink {
    pub(super) fn new(objects: Objects) -> Self {
        let (fresh, losses) = (objects.0.begin_fresh(), objects.0.store.losses());
        Self {
            objects,
            fresh,
            losses,
            gathered: Vec::new(),
            gathered_bytes: 0,
            blocks: 0,
            block_bytes: 0,
            ended: false,
        }
    }

    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(super) fn take(&mut self, blocks: Vec<Block>) -> Result<(), StoreError> {
        self.objects.0.add_fresh(self.fresh, blocks.iter().map(|block| *block.cid()));
        for block in blocks {
            self.gathered_bytes += block.len();
            self.block_bytes += block.len() as u64;
            self.blocks += 1;
            self.gathered.push(block);
        }
        if self.gathered_bytes >= GATHERED_BYTES {
            self.write_gathered()?;
        }
        Ok(())
    }

    /// Counts a block that is here already and belongs to the put: it stays.
    pub(super) fn take_known(&mut self, cid: Cid, bytes: u64) {
        self.objects.0.add_fresh(self.fresh, std::iter::once(cid));
        self.block_bytes += bytes;
        self.blocks += 1;
    }

    /// Blocks so far, and their bytes.
    pub(super) fn taken(&self) -> (u64, u64) {
        (self.blocks, self.block_bytes)
    }

    /// Stores what was gathered. It is flushed with the last commit: before that nothing of the put
    /// is promised.
    pub(super) fn write_gathered(&mut self) -> Result<(), StoreError> {
        self.gathered_bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        self.noticed(self.objects.0.store.cache(&gathered))
    }

    pub(super) fn commit(&mut self, mut batch: Batch) -> Result<(), StoreError> {
        self.gathered_bytes = 0;
        batch.put_all(std::mem::take(&mut self.gathered));
        self.noticed(self.objects.0.store.commit_since(self.losses, batch))
    }

    /// Makes room for another try where the disk was full.
    fn noticed(&self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Err(StoreError::Full { .. }) = result {
            self.objects.make_room();
        }
        result
    }

    /// The last commit: blocks, pin and record together.
    pub(super) fn finish(
        &mut self,
        root: Cid,
        record: &ObjectRecord,
        reason: PinReason,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        let name = record.name.clone().unwrap_or_default();
        batch.pin(root, Pin::new(reason, record.time_ms, name, record.size));
        batch.meta_put(Meta::Object, root.to_bytes(), record.encode()?);
        self.commit(batch)?;
        self.ended = true;
        self.objects.kept(root, record.block_bytes);
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let left = if self.ended { 0 } else { self.block_bytes };
        self.objects.0.end_fresh(self.fresh, left);
    }
}

/// An object that is being put.
pub struct Put {
    builder: FileBuilder,
    sink: Sink,
}

impl Put {
    pub(super) fn new(objects: Objects) -> Self {
        Self { builder: FileBuilder::new(), sink: Sink::new(objects) }
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ObjError> {
        let blocks = self.builder.push(bytes);
        Ok(self.sink.take(blocks)?)
    }

    /// Ends the object: durable here, pinned and announced.
    pub fn finish(mut self, label: Label) -> Result<Stored, ObjError> {
        check_label(&label)?;
        let built = std::mem::take(&mut self.builder).finish();
        self.sink.take(built.blocks)?;
        let record = ObjectRecord {
            v: if label.percent > 0 { 2 } else { 1 },
            name: label.name,
            size: built.size,
            folder: false,
            files: 1,
            blocks: self.sink.blocks,
            block_bytes: self.sink.block_bytes,
            time_ms: label.time_ms,
            wanted: label.wanted,
            percent: label.percent,
        };
        self.sink.finish(built.cid, &record, PinReason::Own)?;
        Ok(Stored { cid: built.cid, record })
    }
}

struct Folder {
    builder: FolderBuilder,
    sink: Sink,
    /// Files that were started and not ended.
    open: usize,
}

/// A folder that is being put. Its files may be written at the same time.
pub struct FolderPut(Rc<RefCell<Folder>>);

/// A file of a folder that is being put. Dropping it leaves it out.
pub struct FilePut {
    folder: Rc<RefCell<Folder>>,
    path: String,
    builder: FileBuilder,
}

impl FolderPut {
    pub(super) fn new(objects: Objects) -> Self {
        let sink = Sink::new(objects);
        let folder = Folder { builder: FolderBuilder::new(), sink, open: 0 };
        Self(Rc::new(RefCell::new(folder)))
    }

    /// Starts a file at a relative path.
    pub fn file(&self, path: &str) -> Result<FilePut, ObjError> {
        check_path(path)?;
        let mut folder = self.0.borrow_mut();
        if folder.builder.files() + folder.open as u64 >= FOLDER_FILES {
            return Err(ObjError::Limit { what: "files of a folder", limit: FOLDER_FILES });
        }
        folder.open += 1;
        let builder = FileBuilder::new();
        Ok(FilePut { folder: self.0.clone(), path: path.to_owned(), builder })
    }

    /// Files that were started and not ended.
    pub fn open_files(&self) -> usize {
        self.0.borrow().open
    }

    /// Ends the folder: durable here, pinned and announced. Files still open are left out.
    pub fn finish(self, label: Label, site: bool) -> Result<Stored, ObjError> {
        check_label(&label)?;
        let mut folder = self.0.borrow_mut();
        let builder = std::mem::take(&mut folder.builder);
        if builder.files() == 0 {
            let reason = "it holds no files; add at least one".to_owned();
            return Err(ObjError::Input { what: "the folder", reason });
        }
        let built = builder.finish()?;
        folder.sink.take(built.blocks)?;
        let record = ObjectRecord {
            v: 1,
            name: label.name,
            size: built.bytes,
            folder: true,
            files: built.files,
            blocks: folder.sink.blocks,
            block_bytes: folder.sink.block_bytes,
            time_ms: label.time_ms,
            wanted: label.wanted,
            percent: 0,
        };
        let reason = if site { PinReason::Site } else { PinReason::Own };
        folder.sink.finish(built.cid, &record, reason)?;
        Ok(Stored { cid: built.cid, record })
    }
}

impl FilePut {
    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ObjError> {
        let blocks = self.builder.push(bytes);
        Ok(self.folder.borrow_mut().sink.take(blocks)?)
    }

    /// Ends the file and adds it to the folder: its address and length. It is durable with the
    /// folder.
    pub fn finish(mut self) -> Result<(Cid, u64), ObjError> {
        let built = std::mem::take(&mut self.builder).finish();
        let mut folder = self.folder.borrow_mut();
        folder.sink.take(built.blocks)?;
        folder.builder.add(&self.path, built.cid, built.size, built.tsize)?;
        Ok((built.cid, built.size))
    }
}

impl Drop for FilePut {
    fn drop(&mut self) {
        self.folder.borrow_mut().open -= 1;
    }
}

fn check_path(path: &str) -> Result<(), ObjError> {
    if path.is_empty() {
        return Err(path::PathError::Empty.into());
    }
    path::names(path)?;
    Ok(())
}

pub(super) fn check_label(label: &Label) -> Result<(), ObjError> {
    let long = label.name.as_ref().is_some_and(|name| name.len() > limits::NAME_BYTES);
    match long {
        true => {
            let reason = format!("it is longer than {} bytes", limits::NAME_BYTES);
            Err(ObjError::Input { what: "the name", reason })
        }
        false => Ok(()),
    }
}
