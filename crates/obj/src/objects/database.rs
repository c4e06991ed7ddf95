//! Putting a snapshot of a database: the blocks that are not here, its pin and its record.
//!
//! Two snapshots share most blocks; those that an earlier one brought are only counted.

use craftec_core::Cid;

use super::{
    Label, ObjectRecord, Objects, Stored,
    put::{Sink, check_label},
    sweep::PAUSE,
};
use crate::{ObjError, block::Block, database::database, store::PinReason};

/// Blocks between two pauses.
const STEP: u64 = 1024;

/// A snapshot that is being put.
pub struct DatabasePut {
    sink: Sink,
    /// Those that were cache, which is no promise.
    known: Vec<Cid>,
    new: u64,
}

impl DatabasePut {
    pub(super) fn new(objects: Objects) -> Self {
        Self { sink: Sink::new(objects), known: Vec::new(), new: 0 }
    }

    /// Takes the block `cid` in; `read` gives it where it is not here. Each block once.
    ///
    /// # Errors
    /// Those of `read`, and of the disk.
    pub async fn take<E: From<ObjError>>(
        &mut self,
        cid: Cid,
        read: impl FnOnce() -> Result<Block, E>,
    ) -> Result<(), E> {
        let here = self.sink.objects().0.exchange.len_of(&cid).map_err(ObjError::from)?;
        match here {
            Some(bytes) => {
                self.sink.take_known(cid, bytes);
                self.known.push(cid);
            }
            None => {
                self.new += 1;
                self.sink.take(vec![read()?]).map_err(ObjError::from)?;
            }
        }
        if self.sink.taken().0.is_multiple_of(STEP) {
            let clock = self.sink.objects().0.clock.clone();
            clock.sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Ends the snapshot: durable here, pinned and announced. How many of its blocks were not here.
    ///
    /// # Errors
    /// When `root` is no database's, and those of the disk.
    pub fn finish(mut self, root: &Block, label: Label) -> Result<(Stored, u64), ObjError> {
        check_label(&label)?;
        let cid = *root.cid();
        let size = database(root).ok_or(ObjError::NotUnixFs { cid })?.bytes();
        let objects = self.sink.objects().clone();
        objects.0.exchange.flush()?;
        for step in self.known.chunks(super::PROMOTED) {
            objects.0.store.promote(step)?;
        }
        let (blocks, block_bytes) = self.sink.taken();
        let record = ObjectRecord {
            v: 1,
            name: label.name,
            size,
            folder: false,
            files: 1,
            blocks,
            block_bytes,
            time_ms: label.time_ms,
            wanted: label.wanted,
            percent: 0,
        };
        self.sink.finish(cid, &record, PinReason::Own)?;
        Ok((Stored { cid, record }, self.new))
    }
}
