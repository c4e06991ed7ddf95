//! Commands that put objects and folders.

use craftec_api::{ApiError, Reply};
use craftec_core::limits;
use craftec_obj::{
    coded::PERCENT,
    objects::{Label, Stored},
};

use super::{
    Session,
    handles::{Handle, other_kind},
};
use crate::{REDUNDANCY, REPLICAS, fault};

/// Most bytes in one chunk.
const CHUNK_BYTES: usize = 1 << 20;

impl Session {
    pub(super) fn put_open(
        &self,
        replicas: Option<u16>,
        redundancy: Option<u16>,
        name: Option<String>,
    ) -> Result<Reply, ApiError> {
        let (wanted, percent) = (wanted(replicas)?, percent(replicas, redundancy)?);
        check_name(name.as_deref())?;
        let put = self.node.objects.put();
        let handle = self.handles.add(Handle::Put { put, wanted, percent, name })?;
        Ok(Reply::Handle { handle })
    }

    pub(super) fn put_chunk(&self, handle: u64, bytes: &[u8]) -> Result<Reply, ApiError> {
        if bytes.len() > CHUNK_BYTES {
            let message = format!("A chunk has {} bytes; {CHUNK_BYTES} are the most.", bytes.len());
            return Err(fault::input(message));
        }
        let pushed = self.handles.with(handle, |open| match open {
            Handle::Put { put, .. } => put.push(bytes).map_err(fault::object),
            Handle::File { put, .. } => put.push(bytes).map_err(fault::object),
            Handle::Restore(restore) => restore.push(bytes).map_err(fault::backup),
            #[cfg(feature = "sql")]
            Handle::Import(import) => import.push(bytes),
            _ => Err(other_kind(handle, "an upload")),
        });
        pushed.map(|()| Reply::Done)
    }

    pub(super) async fn put_close(&self, handle: u64) -> Result<Reply, ApiError> {
        self.handles.with(handle, |open| match open {
            Handle::Put { .. } | Handle::File { .. } | Handle::Restore(_) => Ok(()),
            #[cfg(feature = "sql")]
            Handle::Import(_) => Ok(()),
            _ => Err(other_kind(handle, "an upload")),
        })?;
        match self.handles.remove(handle)? {
            Handle::Put { put, wanted, percent, name } => {
                let time_ms = self.node.ports.clock.now().0;
                let label = Label { name, wanted, percent, time_ms };
                let Stored { cid, record } = put.finish(label).map_err(fault::object)?;
                self.node.place(cid, &record).map_err(fault::store)?;
                Ok(Reply::Stored { cid, size: record.size })
            }
            Handle::File { put, .. } => {
                let (cid, size) = put.finish().map_err(fault::object)?;
                Ok(Reply::Stored { cid, size })
            }
            Handle::Restore(restore) => {
                restore.finish().await.map(Reply::Restored).map_err(fault::backup)
            }
            #[cfg(feature = "sql")]
            Handle::Import(import) => import.finish().await.map(|()| Reply::Done),
            _ => Err(other_kind(handle, "an upload")),
        }
    }

    pub(super) fn folder_open(&self) -> Result<Reply, ApiError> {
        let handle = self.handles.add(Handle::Folder(self.node.objects.put_folder()))?;
        Ok(Reply::Handle { handle })
    }

    pub(super) fn folder_file(&self, folder: u64, path: &str) -> Result<Reply, ApiError> {
        let put = self.handles.with(folder, |open| match open {
            Handle::Folder(put) => put.file(path).map_err(fault::object),
            _ => Err(other_kind(folder, "a folder")),
        })?;
        let handle = self.handles.add(Handle::File { folder, put })?;
        Ok(Reply::Handle { handle })
    }

    pub(super) fn folder_add(
        &self,
        folder: u64,
        path: &str,
        bytes: &[u8],
    ) -> Result<Reply, ApiError> {
        if bytes.len() as u64 >= limits::SMALL_OBJECT_BYTES {
            let message = format!("A file of {} bytes is too large for one frame.", bytes.len());
            return Err(fault::input(message).hint("Send it with folder_file and put_chunk."));
        }
        self.handles.with(folder, |open| match open {
            Handle::Folder(put) => {
                let mut file = put.file(path).map_err(fault::object)?;
                file.push(bytes).map_err(fault::object)?;
                file.finish().map_err(fault::object)?;
                Ok(Reply::Done)
            }
            _ => Err(other_kind(folder, "a folder")),
        })
    }

    pub(super) async fn folder_close(
        &self,
        folder: u64,
        replicas: Option<u16>,
        site: bool,
        name: Option<String>,
    ) -> Result<Reply, ApiError> {
        let wanted = wanted(replicas)?;
        check_name(name.as_deref())?;
        if let Some(name) = name.as_deref().filter(|_| site) {
            self.not_a_database(name)?;
        }
        self.handles.with(folder, |open| match open {
            Handle::Folder(put) if put.open_files() > 0 => {
                let message = format!("{} files of this folder are still open.", put.open_files());
                Err(fault::input(message).hint("Close each with put_close, or drop it with close."))
            }
            Handle::Folder(_) => Ok(()),
            _ => Err(other_kind(folder, "a folder")),
        })?;
        let Handle::Folder(put) = self.handles.remove(folder)? else {
            return Err(other_kind(folder, "a folder"));
        };
        let time_ms = self.node.ports.clock.now().0;
        let label = Label { name: name.clone(), wanted, percent: 0, time_ms };
        let Stored { cid, record } = put.finish(label, site).map_err(fault::object)?;
        let published = match site {
            true => self.publish_site(cid, name, &record).await,
            false => Ok(None),
        };
        // After the name was written: its head goes with the copies.
        self.node.place(cid, &record).map_err(fault::store)?;
        let label = published?;
        Ok(Reply::Published { cid, files: record.files, bytes: record.size, label })
    }
}

/// Copies wanted, within what a placement record can name.
pub(super) fn wanted(replicas: Option<u16>) -> Result<u16, ApiError> {
    let wanted = replicas.unwrap_or(REPLICAS);
    if usize::from(wanted) > limits::HOLDERS {
        let message = format!("{wanted} copies are wanted; {} are the most.", limits::HOLDERS);
        return Err(fault::input(message));
    }
    Ok(wanted)
}

/// Pieces per hundred source pieces of a coded object; 0 where copies are asked for.
fn percent(replicas: Option<u16>, redundancy: Option<u16>) -> Result<u16, ApiError> {
    match (replicas, redundancy) {
        (None, None) => Ok(REDUNDANCY),
        (Some(_), None) => Ok(0),
        (None, Some(percent)) if PERCENT.contains(&percent) => Ok(percent),
        (None, Some(percent)) => {
            let (least, most) = (PERCENT.start(), PERCENT.end());
            let message = format!("{percent} hundredths can't be kept; {least} to {most} can.");
            Err(fault::input(message))
        }
        (Some(_), Some(_)) => {
            let message = "An object is kept in copies or coded, not both.".to_owned();
            Err(fault::input(message).hint("Give either replicas or redundancy."))
        }
    }
}

/// A name that heads, and lists, can have.
pub(super) fn check_name(name: Option<&str>) -> Result<(), ApiError> {
    name.map_or(Ok(()), |name| craftec_core::head::check_name(name).map_err(fault::head))
}
