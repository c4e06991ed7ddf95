//! Waiting for a database to change: one of this node's by a commit, somebody's by a newer head.

use std::time::Duration;

use craftec_api::{ApiError, OpenedDatabase, Reply};
use craftec_core::database::PAGE_BYTES;

use super::{Session, sql::OpenDatabase};
use crate::{
    databases::{Desk, Named, Pages, Snapshot},
    fault,
};

/// How long one command waits: shorter than what carries it may give up after.
const WAIT: Duration = Duration::from_secs(25);

impl Session {
    pub(super) async fn sql_changed(&self, handle: u64) -> Result<Reply, ApiError> {
        let database = match self.database(handle)? {
            OpenDatabase::Own(desk) => own_changed(handle, &desk).await,
            OpenDatabase::Snapshot(snapshot) => match &snapshot.named {
                Some(named) => self.name_changed(handle, &snapshot, named).await?,
                None => {
                    let message = "A snapshot never changes.";
                    let hint = "Open the database by its name to follow it.";
                    return Err(fault::input(message).hint(hint));
                }
            },
        };
        Ok(Reply::Changed { database })
    }

    /// Waits for a newer head, and reads its root from then on.
    async fn name_changed(
        &self,
        handle: u64,
        snapshot: &Snapshot,
        named: &Named,
    ) -> Result<Option<OpenedDatabase>, ApiError> {
        let names = &self.node.names;
        let seen = named.seen.borrow().clone();
        names.changed(named.key, &seen, WAIT).await;
        let held = names.held_bytes(&named.key).map_err(fault::store)?;
        let Some(record) = names.held(&named.key).map_err(fault::store)?.filter(|_| held != seen)
        else {
            return Ok(None);
        };
        let head = &record.head.head;
        let (before, _) = snapshot.root().await;
        // Of two heads with one number neither is chosen: what is read stays.
        if before != head.root && record.rival.is_none() {
            names.is_owned(head.root, head.did);
            let pages = Pages::new(self.node.reader(head.root));
            snapshot.advance(head.root, pages).await?;
        }
        // Only now: where its pages could not be had, the next call tries again.
        *named.seen.borrow_mut() = held;
        let (cid, bytes) = snapshot.root().await;
        Ok(Some(OpenedDatabase {
            handle,
            cid: Some(cid),
            writable: false,
            bytes,
            time_ms: Some(head.time_ms),
            equivocation: record.rival.is_some(),
        }))
    }
}

async fn own_changed(handle: u64, desk: &Desk) -> Option<OpenedDatabase> {
    let known = desk.known.get();
    let state = desk.own.other_state(known, WAIT).await;
    desk.known.set(state);
    let bytes = u64::from(desk.own.database.pages()) * PAGE_BYTES as u64;
    (state != known).then_some(OpenedDatabase {
        handle,
        cid: None,
        writable: true,
        bytes,
        time_ms: None,
        equivocation: false,
    })
}
