//! Publishing a database under a name: its head moves only from the root that the database stands on.
//!
//! Two devices of one owner may both write while they do not see each other. Whoever publishes second
//! finds the head moved on; it is not overwritten then, and the work is kept as a branch, to be merged.
//! Without a single peer nobody can be asked, so the publication waits: signing a head at once could
//! make two with one number, of which readers are told until both are merged. It also waits until
//! others have its head: the database stands on a root only once they have it, and nothing was found
//! beside it.

use std::{rc::Rc, time::Duration};

use craftec_api::{ApiError, ErrorCode};
use craftec_core::{Cid, Codec, head::HeadRecord};
use craftec_sql::{SqlError, log::LogError};

use super::{
    Own,
    record::{BRANCHES, DatabaseRecord, Waiting},
};
use crate::{
    Node, fault,
    names::{Onto, Shown, draft_bytes, draft_of},
};

/// Pause between two looks whether what waits can be published; and after a failure.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What became of a publication.
pub(crate) enum Outcome {
    /// The name says so now.
    Published,
    /// It waits for peers.
    Waits,
    /// The head had moved on.
    Moved {
        /// To this.
        head: Box<HeadRecord>,
        /// What is kept of the work here; none where there is no room for another branch.
        branch: Option<String>,
    },
}

impl Outcome {
    /// What the one who asked for it is told.
    pub(crate) fn told(&self, name: &str) -> Result<(), ApiError> {
        let Self::Moved { head, branch } = self else { return Ok(()) };
        let (root, seq) = (head.head.head.root, head.head.head.seq);
        let mut message = match head.rival {
            Some(_) => {
                format!("Two heads of `{name}` with the number {seq} contradict each other.")
            }
            None => format!("Another device has published `{name}`: its head {seq} is {root}."),
        };
        let mut hint = "Merge `published` into the database, then publish again.".to_owned();
        match branch {
            Some(branch) => message.push_str(&format!(" What is here is kept as `{branch}`.")),
            None => hint.push_str(&format!(" {BRANCHES} branches are kept, which is the most.")),
        }
        Err(ApiError::new(ErrorCode::Conflict, message).hint(hint))
    }
}

impl Node {
    /// Points `name` to the snapshot `root` of a database.
    pub(crate) async fn publish_database(
        self: &Rc<Self>,
        own: &Own,
        name: &str,
        root: Cid,
    ) -> Result<Outcome, ApiError> {
        let record = self.database_record(own)?;
        let base = match record.of_name(name) {
            Some(known) => match known.root {
                Some(root) => Some(root),
                None => self.names.held_root(name)?,
            },
            None => None,
        };
        let waiting = record.waits_for(name);
        let draft = waiting.and_then(|waiting| waiting.draft.as_deref());
        let draft = draft.map(draft_of).transpose()?;
        // Heads of these roots are this device's own.
        let mut stands_on: Vec<Cid> = waiting.map(|it| it.shown.clone()).unwrap_or_default();
        stands_on.extend(base);
        stands_on.extend(record.of_name(name).and_then(|known| known.beside));
        stands_on.extend(draft.as_ref().map(|draft| draft.head.head.root));
        match self.names.draft_onto(name, root, &stands_on, draft.clone()).await? {
            Onto::Alone => self.wait(own, name, root, draft),
            Onto::Moved(head) => self.keep_branch(own, name, root, base, head).await,
            Onto::Draft(draft) => {
                // Durable before anybody sees it.
                self.wait(own, name, root, Some(*draft.clone()))?;
                match self.names.show(&draft).await? {
                    Shown::Unseen => Ok(Outcome::Waits),
                    Shown::Moved(head) => self.keep_branch(own, name, root, base, head).await,
                    Shown::Taken => {
                        let mut record = self.database_record(own)?;
                        record.stands_on(name, root);
                        record.waiting.retain(|waiting| waiting.name != name);
                        for gone in record.branches.extract_if(.., |branch| branch.merged) {
                            own.let_go_of(&gone.name).await?;
                        }
                        own.stand_on(name, root).await?;
                        self.databases.keep(&own.name, &record)?;
                        Ok(Outcome::Published)
                    }
                }
            }
        }
    }

    /// Notes that a publication waits, and sees to it.
    fn wait(
        self: &Rc<Self>,
        own: &Own,
        name: &str,
        root: Cid,
        draft: Option<HeadRecord>,
    ) -> Result<Outcome, ApiError> {
        let mut record = self.database_record(own)?;
        let draft = draft.as_ref().map(draft_bytes).transpose()?;
        if !record.wait(name, root, draft) {
            let message = "As many names as there can be wait to be published already.";
            return Err(
                ApiError::new(ErrorCode::Full, message).hint("Connect to other nodes first.")
            );
        }
        self.databases.keep(&own.name, &record)?;
        self.publish_waiting();
        Ok(Outcome::Waits)
    }

    /// Keeps what another device overtook.
    async fn keep_branch(
        &self,
        own: &Own,
        name: &str,
        root: Cid,
        base: Option<Cid>,
        head: Box<HeadRecord>,
    ) -> Result<Outcome, ApiError> {
        let mut record = self.database_record(own)?;
        record.waiting.retain(|waiting| waiting.name != name);
        let now_ms = self.ports.clock.now().0;
        let branch = record.branch(root, base, now_ms).map(|branch| branch.name.clone());
        if let Some(branch) = &branch {
            own.hold(branch, root, base).await?;
        }
        self.databases.keep(&own.name, &record)?;
        Ok(Outcome::Moved { head, branch })
    }

    /// What waits to be published under `name`.
    pub(crate) fn waiting_root(&self, name: &str) -> Result<Option<Cid>, ApiError> {
        let mut waiting = self.databases.records()?.into_iter().flat_map(|it| it.1.waiting);
        Ok(waiting.find(|waiting| waiting.name == name).map(|waiting| waiting.root))
    }

    /// What is remembered of an open database.
    pub(crate) fn database_record(&self, own: &Own) -> Result<DatabaseRecord, ApiError> {
        let known = self.databases.record(&own.name)?;
        Ok(known.unwrap_or_else(|| DatabaseRecord::new(self.ports.clock.now().0)))
    }

    /// Publishes what waits as soon as there are peers; ends when nothing waits any more. Once at a time.
    pub(crate) fn publish_waiting(self: &Rc<Self>) {
        if self.databases.publishes.replace(true) {
            return;
        }
        let (weak, clock) = (Rc::downgrade(self), self.ports.clock.clone());
        self.ports.clock.spawn(Box::pin(async move {
            let mut pause = LOOK;
            loop {
                clock.sleep(pause).await;
                let Some(node) = weak.upgrade().filter(|node| !node.stopped.get()) else { return };
                pause = match node.publish_what_waits().await {
                    Ok(true) => LOOK,
                    Ok(false) => {
                        node.databases.publishes.set(false);
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a database could not be published yet");
                        LOOK_AGAIN
                    }
                };
            }
        }));
    }

    /// Whether something waited.
    async fn publish_what_waits(self: &Rc<Self>) -> Result<bool, ApiError> {
        let all = self.databases.records()?.into_iter();
        let each = |(database, record): (String, DatabaseRecord)| {
            record.waiting.into_iter().map(move |waiting| (database.clone(), waiting))
        };
        let waiting: Vec<(String, Waiting)> = all.flat_map(each).collect();
        if waiting.is_empty() {
            return Ok(false);
        }
        if self.ports.network.peers().is_empty() {
            return Ok(true);
        }
        for (database, Waiting { name, root, .. }) in waiting {
            let own = self.databases.open(&database, self.ports.clock.now().0, false).await?;
            let _publishing = own.publishing.lock().await;
            let record = self.database_record(&own)?;
            if record.waits_for(&name).is_none_or(|still| still.root != root) {
                continue;
            }
            let outcome = self.publish_database(&own, &name, root).await?;
            if let Err(error) = outcome.told(&name) {
                tracing::warn!(%error, database, "a publication that waited was refused");
            }
            // Its head goes with the copies.
            if let Some(kept) = self.objects.record(&root).map_err(fault::store)? {
                self.place(root, &kept).map_err(fault::store)?;
            }
        }
        Ok(true)
    }
}

impl Own {
    /// Keeps the root that a name has, on which the database stands.
    pub(crate) async fn stand_on(&self, name: &str, root: Cid) -> Result<(), ApiError> {
        let _turn = self.turn_at_last().await?;
        self.database.keep(&base_of(name), root).map_err(fault::sql)
    }

    /// Keeps a branch, and what it stands on.
    async fn hold(&self, branch: &str, root: Cid, base: Option<Cid>) -> Result<(), ApiError> {
        let _turn = self.turn_at_last().await?;
        self.database.keep(&kept_as(branch), root).map_err(fault::sql)?;
        let kept = base.map(|base| self.database.keep(&base_of_branch(branch), base));
        match kept {
            // What an earlier version published may be kept as an object only.
            None | Some(Ok(()) | Err(SqlError::Log(LogError::NoSuchRoot { .. }))) => Ok(()),
            Some(Err(error)) => Err(fault::sql(error)),
        }
    }

    /// Keeps it no longer.
    pub(crate) async fn let_go_of(&self, branch: &str) -> Result<(), ApiError> {
        let _turn = self.turn_at_last().await?;
        for name in [kept_as(branch), base_of_branch(branch)] {
            self.database.drop_kept(&name).map_err(fault::sql)?;
        }
        Ok(())
    }
}

/// What the log calls the root that a name has. Names may be as long as what the log takes.
pub(crate) fn base_of(name: &str) -> String {
    format!("base {}", Cid::of(Codec::Raw, name.as_bytes()))
}

pub(crate) fn base_of_branch(branch: &str) -> String {
    format!("base of {branch}")
}

fn kept_as(branch: &str) -> String {
    format!("branch {branch}")
}
