//! Waiting for a database to change: one of this node's by a commit, somebody's by a newer head.
//!
//! Who waits holds nothing of the database meanwhile, so that it closes when its handle does.

use std::time::Duration;

use craftec_api::{ApiError, OpenedDatabase, Reply};
use craftec_platform::timeout;

use super::{
    Session,
    sql::{OpenDatabase, own_as_opened},
};
use crate::{databases::Pages, fault};

/// How long one command waits: shorter than what carries it may give up after.
const WAIT: Duration = Duration::from_secs(25);

impl Session {
    pub(super) async fn sql_changed(&self, handle: u64) -> Result<Reply, ApiError> {
        let own = matches!(self.database(handle)?, OpenDatabase::Own(_));
        let database =
            if own { self.own_changed(handle).await? } else { self.name_changed(handle).await? };
        Ok(Reply::Changed { database })
    }

    async fn own_changed(&self, handle: u64) -> Result<Option<OpenedDatabase>, ApiError> {
        let clock = self.node.ports.clock.clone();
        let end = clock.monotonic() + WAIT;
        loop {
            let desk = self.desk(handle)?;
            let state = desk.own.database.state().number;
            if desk.known.replace(state) != state {
                return Ok(Some(own_as_opened(handle, &desk)));
            }
            let rings = desk.own.changed.wait();
            drop(desk);
            let left = end.saturating_sub(clock.monotonic());
            if timeout(&*clock, left, rings).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Waits for a newer head, and reads its root from then on.
    async fn name_changed(&self, handle: u64) -> Result<Option<OpenedDatabase>, ApiError> {
        let names = &self.node.names;
        let (key, seen) = {
            let snapshot = self.snapshot(handle)?;
            let named = snapshot.named.as_ref().ok_or_else(|| {
                let message = "A snapshot never changes.";
                fault::input(message).hint("Open the database by its name to follow it.")
            })?;
            (named.key, named.seen.borrow().clone())
        };
        names.changed(key, &seen, WAIT).await;
        let held = names.held_bytes(&key).map_err(fault::store)?;
        let record = names.held(&key).map_err(fault::store)?;
        let Some(record) = record.filter(|_| held != seen) else { return Ok(None) };
        let snapshot = self.snapshot(handle)?;
        let head = &record.head.head;
        let (before, _) = snapshot.root().await;
        // Of two heads with one number neither is chosen: what is read stays.
        if before != head.root && record.rival.is_none() {
            names.is_owned(head.root, head.did);
            let pages = Pages::new(self.node.reader(head.root));
            snapshot.advance(head.root, pages).await?;
        }
        // Only now: where its pages could not be had, the next call tries again.
        if let Some(named) = &snapshot.named {
            *named.seen.borrow_mut() = held;
        }
        let (cid, bytes) = snapshot.root().await;
        Ok(Some(OpenedDatabase {
            handle,
            cid: Some(cid),
            writable: false,
            bytes,
            time_ms: Some(head.time_ms),
            equivocation: record.rival.is_some(),
            encrypted: snapshot.is_encrypted().await,
        }))
    }
}
