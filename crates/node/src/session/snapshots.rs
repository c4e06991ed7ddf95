//! Commands about states of databases: snapshots, going back to one, publishing, branches and merging.

use std::{collections::BTreeSet, future::ready, pin::pin, time::Duration};

use craftec_api::{
    ApiError, BranchRow, ConflictKind, ErrorCode, MergeStrategy, Reply, Snapshot, SnapshotRow,
    SqlConflict, SqlMerged,
};
use craftec_core::{Cid, Codec, head::HeadRecord};
use craftec_obj::{Block, objects::Label, store::Meta};
use craftec_platform::timeout;
use craftec_sql::{Conflict, Merged, Other, PageStore as _, SqlError, Strategy, open_root};
use futures::{Stream, StreamExt, stream};

use super::{
    Session, SiteRecord,
    sql::{CHUNK_BYTES, Fault, SCHEME, VALUE_BYTES, length, shown},
    write::{check_name, wanted},
};
use crate::{
    databases::{Branch, DatabaseRecord, Outcome, Own, Pages, base_of, base_of_branch},
    fault,
};

/// Snapshots of one database that are listed: what fits one answer. Older ones are objects all the same.
const SNAPSHOTS: usize = 4096;
/// Snapshots that are gone back through for the one before two states, and how long that may take.
const GENERATIONS: usize = 256;
const ANCESTRY: Duration = Duration::from_secs(30);
/// What the state is called that the head says.
const PUBLISHED: &str = "published";
/// What a state is kept as in the log while it is merged or gone over to.
const TAKEN: &str = "taken";

/// A state that is to be merged.
struct Found {
    root: Cid,
    base: Option<Cid>,
    /// What keeps the base in the log.
    base_kept: String,
    /// The name whose head says so.
    published: Option<String>,
    /// The root beside it, of a head with the same number, which the database holds already.
    beside: Option<Cid>,
}

impl Session {
    pub(super) async fn sql_snapshot(
        &self,
        handle: u64,
        name: Option<String>,
        replicas: Option<u16>,
    ) -> Result<Reply, ApiError> {
        let (own, wanted) = (self.own(handle)?, wanted(replicas)?);
        check_name(name.as_deref())?;
        if let Some(name) = &name {
            self.not_a_site(name)?;
        }
        let node = &self.node;
        let _publishing = own.publishing.lock().await;
        let root = {
            let _turn = own.turn().await?;
            own.database.snapshot().map_err(fault::sql)?
        };
        let mut put = node.objects.put_database();
        let read = |cid: Cid| {
            let bytes = own.database.block(&cid).map_err(fault::sql)?;
            let wrong = |_| fault::sql(SqlError::WrongBytes { cid });
            Block::verified(cid, bytes).map_err(wrong)
        };
        for cid in own.database.blocks(root, None).map_err(fault::sql)? {
            put.take(cid, || read(cid).map_err(Fault)).await.map_err(|Fault(error)| error)?;
        }
        let time_ms = node.ports.clock.now().0;
        let shown = Some(own.name.clone());
        let label = Label { name: shown, wanted, percent: 0, time_ms };
        let (stored, new_blocks) = put.finish(&read(root)?, label).map_err(fault::object)?;
        let mut known = node.database_record(&own)?;
        known.root = Some(root);
        node.databases.keep(&own.name, &known)?;
        let outcome = match &name {
            Some(name) => Some(node.publish_database(&own, name, root).await),
            None => None,
        };
        // After the name was written: its head goes with the copies.
        node.place(root, &stored.record).map_err(fault::store)?;
        // This one is durable; that older ones stay is no reason to say otherwise.
        if let Err(error) = self.retain(&own).await {
            tracing::warn!(%error, database = own.name, "old snapshots could not be let go");
        }
        let mut waits = false;
        if let (Some(name), Some(outcome)) = (&name, outcome) {
            let outcome = outcome?;
            outcome.told(name)?;
            waits = matches!(outcome, Outcome::Waits);
        }
        let uri = name.map(|name| format!("{SCHEME}{}/{name}", node.keys.did()));
        let (bytes, blocks) = (stored.record.size, stored.record.blocks);
        Ok(Reply::Snapshot(Snapshot { cid: root, bytes, blocks, new_blocks, uri, waits }))
    }

    pub(super) async fn sql_snapshots(&self, name: &str) -> Result<Reply, ApiError> {
        if self.node.databases.record(name)?.is_none() {
            let message = format!("There is no database `{name}` on this node.");
            return Err(ApiError::new(ErrorCode::NotFound, message));
        }
        let rows = self.snapshots_of(name)?.into_iter().take(SNAPSHOTS);
        let rows = rows.map(|(cid, time_ms, bytes)| SnapshotRow { cid, time_ms, bytes });
        Ok(Reply::Snapshots { snapshots: rows.collect() })
    }

    /// A name leads to one thing: a site's is not given to a database by mistake.
    fn not_a_site(&self, name: &str) -> Result<(), ApiError> {
        let key = [b"n", name.as_bytes()].concat();
        let Some(value) = self.node.store.meta_get(Meta::Site, key).map_err(fault::store)? else {
            return Ok(());
        };
        let site = SiteRecord::read(&value).map_err(fault::store)?;
        let message = format!("`{name}` is the name of a site, {}.", site.cid);
        Err(ApiError::new(ErrorCode::Refused, message).hint("Choose another name."))
    }

    pub(super) async fn sql_restore(&self, handle: u64, root: Cid) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        self.take(&own, root, TAKEN).await?;
        own.restore(root).await?;
        Ok(Reply::Done)
    }

    pub(super) async fn sql_branches(&self, handle: u64) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        let record = self.node.database_record(&own)?;
        let mut branches = Vec::new();
        if let Some(known) = record.published()
            && let Some(head) = self.node.names.latest(&known.name).await?
            && known.root != Some(head.head.head.root)
        {
            let (name, head) = (PUBLISHED.to_owned(), &head.head.head);
            let (cid, base, time_ms) = (head.root, known.root, head.time_ms);
            branches.push(BranchRow { name, cid, base, time_ms, merged: false });
        }
        let row = |Branch { name, root, base, time_ms, merged }| BranchRow {
            name,
            cid: root,
            base,
            time_ms,
            merged,
        };
        branches.extend(record.branches.into_iter().map(row));
        Ok(Reply::Branches { branches })
    }

    pub(super) async fn sql_drop_branch(
        &self,
        handle: u64,
        branch: &str,
    ) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        let _publishing = own.publishing.lock().await;
        let mut record = self.node.database_record(&own)?;
        let before = record.branches.len();
        record.branches.retain(|it| it.name != branch);
        if record.branches.len() == before {
            return Err(no_branch(branch));
        }
        self.node.databases.keep(&own.name, &record)?;
        own.let_go_of(branch).await?;
        Ok(Reply::Done)
    }

    pub(super) async fn sql_merge(
        &self,
        handle: u64,
        branch: &str,
        strategy: MergeStrategy,
    ) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        let _publishing = own.publishing.lock().await;
        let found = self.found(&own, branch).await?;
        self.take(&own, found.root, TAKEN).await?;
        if let Some(base) = found.base {
            self.take(&own, base, &found.base_kept).await?;
        }
        let strategy = match strategy {
            MergeStrategy::Stop => Strategy::Stop,
            MergeStrategy::Ours => Strategy::Ours,
            MergeStrategy::Theirs => Strategy::Theirs,
        };
        let Found { root, base, ref published, .. } = found;
        let merged =
            own.merge(Other { root, base, published: published.is_some() }, strategy).await?;
        if merged.made {
            self.node.databases.note_key(&own)?;
            self.note_merged(&own, branch, &found).await?;
        }
        Ok(Reply::Merged(told(root, merged)))
    }

    /// What is meant by the name of a branch, or an address.
    async fn found(&self, own: &Own, branch: &str) -> Result<Found, ApiError> {
        let record = self.node.database_record(own)?;
        let address = branch.strip_prefix(SCHEME);
        let name = match address {
            Some(address) => self.own_name(address),
            None if branch == PUBLISHED => {
                let known = record.published().map(|known| known.name.as_str());
                Some(known.ok_or_else(|| {
                    let message = "This database was never published from here.".to_owned();
                    ApiError::new(ErrorCode::NotFound, message)
                        .hint("Name what is meant: craftobj://me/<name>.")
                })?)
            }
            None => None,
        };
        if let Some(name) = name {
            let head = self.node.names.latest(name).await?.ok_or_else(|| {
                let message = format!("No head of `{name}` was found.");
                ApiError::new(ErrorCode::Unavailable, message)
                    .hint("The other device or a holder must be online. Try again then.")
            })?;
            let ours = self.ours(&record);
            let (root, beside) = side(&head, &ours);
            self.node.names.is_owned(root, head.head.head.did);
            let base_kept = base_of(name);
            let base = match self.last_of(&ours, root).await {
                None => self.before_both(root, beside).await,
                base => base,
            };
            return Ok(Found { root, base, base_kept, published: Some(name.to_owned()), beside });
        }
        if let Some(root) = address.and_then(|address| address.parse().ok()) {
            let known = record.published();
            let base = self.last_of(&self.ours(&record), root).await;
            let base_kept = known.map_or_else(String::new, |known| base_of(&known.name));
            return Ok(Found { root, base, base_kept, published: None, beside: None });
        }
        let kept = record.branches.iter().find(|it| it.name == branch);
        let kept = kept.ok_or_else(|| no_branch(branch))?;
        let base_kept = base_of_branch(branch);
        Ok(Found { root: kept.root, base: kept.base, base_kept, published: None, beside: None })
    }

    /// The last state of this database that is in `root`: what it stands on, or what was refused here and
    /// another device has merged. Against one that only one side has, the other's work would look as if
    /// it had been undone; without any, all that differs is named.
    async fn last_of(&self, ours: &BTreeSet<Cid>, root: Cid) -> Option<Cid> {
        let is_ours = |at: &Cid| ready(ours.contains(at));
        let walk = async { pin!(self.ancestry(root).filter(is_ours)).next().await };
        timeout(&*self.node.ports.clock, ANCESTRY, walk).await.ok().flatten()
    }

    /// States that are in this database: what it stands on, what is kept, and the snapshot that was taken
    /// last with those before it, as far as they are here.
    fn ours(&self, record: &DatabaseRecord) -> BTreeSet<Cid> {
        let before = |at: &Cid| {
            let block = Pages::new(self.node.reader(*at)).at_hand(at)?;
            open_root(&block, &self.node.keys).ok()?.parent
        };
        let taken = std::iter::successors(record.root, before).take(GENERATIONS);
        taken.chain(record.held()).collect()
    }

    /// The state before two that were published with one number.
    async fn before_both(&self, root: Cid, beside: Option<Cid>) -> Option<Cid> {
        let beside = beside?;
        let walk = async {
            let ours: BTreeSet<Cid> = self.ancestry(beside).collect().await;
            let theirs = self.ancestry(root).filter(|at| ready(ours.contains(at)));
            pin!(theirs).next().await
        };
        timeout(&*self.node.ports.clock, ANCESTRY, walk).await.ok().flatten()
    }

    /// A root and those before it, as far as they can be had.
    fn ancestry(&self, root: Cid) -> impl Stream<Item = Cid> {
        let older = stream::unfold(root, move |at| async move {
            let before = self.before(at).await?;
            Some((before, before))
        });
        stream::iter([root]).chain(older).take(GENERATIONS)
    }

    /// The root that was published before one.
    async fn before(&self, at: Cid) -> Option<Cid> {
        let pages = Pages::new(self.node.reader(at));
        let block = pages.get(&at, &[at]).await.ok()?.pop().flatten()?;
        open_root(&block, &self.node.keys).ok()?.parent
    }

    /// From now on the database stands on what was merged, if that is published; branches that it holds
    /// now are marked.
    async fn note_merged(&self, own: &Own, branch: &str, found: &Found) -> Result<(), ApiError> {
        let mut record = self.node.database_record(own)?;
        for kept in &mut record.branches {
            // Work on the base that the database had was in it, and went over with it.
            kept.merged |= kept.name == branch
                || [found.beside, found.base].contains(&Some(kept.root))
                || (found.published.is_some() && kept.base == found.base && kept.base.is_some());
        }
        if let Some(name) = &found.published {
            match found.beside {
                Some(beside) => record.stands_on_both(name, found.root, beside),
                None => record.stands_on(name, found.root),
            }
            own.stand_on(name, found.root).await?;
        }
        self.node.databases.keep(&own.name, &record)
    }

    /// Brings a snapshot into the log, from wherever it is.
    async fn take(&self, own: &Own, root: Cid, name: &str) -> Result<(), ApiError> {
        if root.codec() != Codec::DagCbor {
            return Err(fault::input(format!("{root} is not the root of a database.")));
        }
        let pages = Pages::new(self.node.reader(root));
        own.take(&pages, root, name).await
    }
}

/// The root that a head says, and none beside it. Of two that contradict each other the one that the
/// database does not hold yet, and the other if it does.
fn side(head: &HeadRecord, ours: &BTreeSet<Cid>) -> (Cid, Option<Cid>) {
    let one = head.head.head.root;
    let Some(other) = head.rival.as_ref().map(|rival| rival.head.root) else { return (one, None) };
    match (ours.contains(&one), ours.contains(&other)) {
        (true, _) => (other, Some(one)),
        (false, true) => (one, Some(other)),
        // First one of them, then the other.
        (false, false) => (one, None),
    }
}

fn no_branch(branch: &str) -> ApiError {
    let shown: String = branch.chars().take(80).collect();
    ApiError::new(ErrorCode::NotFound, format!("There is no branch `{shown}` of this database."))
        .hint("Look at its branches first. An address begins with craftobj://.")
}

/// What fits one answer.
fn told(root: Cid, merged: Merged) -> SqlMerged {
    let Merged { made, conflicts, conflicting } = merged;
    let mut bytes = 0;
    let fits = |conflict: &Conflict| {
        let key: usize = conflict.key.iter().map(|value| VALUE_BYTES + length(value)).sum();
        bytes += conflict.table.len() + key + VALUE_BYTES;
        bytes <= CHUNK_BYTES
    };
    let named = conflicts.into_iter().take_while(fits).map(|Conflict { table, kind, key }| {
        use craftec_sql::ConflictKind as Kind;
        let kind = match kind {
            Kind::Added => ConflictKind::Added,
            Kind::Changed => ConflictKind::Changed,
            Kind::Deleted => ConflictKind::Deleted,
            Kind::Constraint => ConflictKind::Constraint,
            Kind::Reference => ConflictKind::Reference,
            Kind::Table => ConflictKind::Table,
        };
        SqlConflict { table, kind, key: key.into_iter().map(shown).collect() }
    });
    SqlMerged { made, cid: Some(root), conflicts: named.collect(), conflicting }
}
