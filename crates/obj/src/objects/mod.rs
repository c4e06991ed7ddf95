//! Objects of this node: put, read, pin, unpin, announce, and free what nothing needs any more.
//!
//! `put` is done when the object is durable **here**; copies elsewhere are the business of
//! [`crate::replicate`]. Only what a pin reaches is kept for good; everything else is cache and
//! goes when there is too much of it. Only roots that a person put, pinned or holds for somebody
//! are announced in the DHT, never their parts.

mod announce;
mod code;
mod database;
mod import;
mod mark;
mod put;
mod record;
mod scrub;
mod sweep;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use craftec_core::{Cid, Codec};
use craftec_platform::Clock;
use futures::{StreamExt, TryStreamExt};

use crate::{
    Exchange, ObjError, Session, Store, StoreError,
    coded::Shard,
    exchange::provider_key,
    pack::pack_links,
    read::{self, BlockSource, Kind, WalkLimits, walk},
    store::{Batch, Meta, Pin, PinReason},
};
pub use announce::Announcer;
pub use code::{Kept, Made, MadeShard};
pub use database::DatabasePut;
pub use import::Import;
pub use put::{FilePut, FolderPut, Label, Put, Stored};
pub use record::ObjectRecord;
pub use scrub::{SCRUB_BYTES_PER_HOUR, ScrubReport};

/// Blocks that stop being cache in one step.
const PROMOTED: usize = 4096;

/// The objects of one node. Cloning shares them.
#[derive(Clone)]
pub struct Objects(Rc<Inner>);

struct Inner {
    exchange: Exchange,
    store: Store,
    clock: Rc<dyn Clock>,
    announcer: Announcer,
    /// Blocks of puts in progress: nothing reaches them yet, and they must stay.
    fresh: RefCell<BTreeMap<u64, BTreeSet<Cid>>>,
    next_fresh: Cell<u64>,
    /// Blocks of puts that were given up, and their bytes: the first to go.
    abandoned: RefCell<BTreeSet<Cid>>,
    abandoned_bytes: Cell<u64>,
    /// Pulls in progress; a sweep waits for them.
    pulls: Cell<usize>,
    sweeping: Cell<bool>,
    /// Bytes reached by pins when that was last counted.
    kept_bytes: Cell<u64>,
    cache_bytes: u64,
    making_room: Cell<bool>,
    scrubber: RefCell<scrub::Scrubber>,
    scrub_bytes_per_hour: Cell<u64>,
}

/// What a pull fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Distinct blocks of the graph.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Ends a pull, however it ends.
struct PullGuard(Rc<Inner>);

impl Drop for PullGuard {
    fn drop(&mut self) {
        self.0.pulls.set(self.0.pulls.get() - 1);
    }
}

impl Objects {
    /// The objects in `store`, keeping at most `cache_bytes` of what no pin reaches. Announces
    /// every root that was put or pinned here.
    pub fn start(
        exchange: Exchange,
        store: Store,
        clock: Rc<dyn Clock>,
        announcer: Announcer,
        cache_bytes: u64,
    ) -> Result<Self, StoreError> {
        let inner = Rc::new(Inner {
            exchange,
            store,
            clock,
            announcer,
            fresh: RefCell::default(),
            next_fresh: Cell::new(0),
            abandoned: RefCell::default(),
            abandoned_bytes: Cell::new(0),
            pulls: Cell::new(0),
            sweeping: Cell::new(false),
            kept_bytes: Cell::new(0),
            cache_bytes,
            making_room: Cell::new(false),
            scrubber: RefCell::default(),
            scrub_bytes_per_hour: Cell::new(SCRUB_BYTES_PER_HOUR),
        });
        let objects = Self(inner);
        objects.restore_pins()?;
        for (root, pin) in objects.0.store.pins()? {
            // What is lent may not be whole yet: its holder knows.
            if pin.reason != PinReason::Lent {
                objects.here(root);
            }
        }
        let rows = objects.records()?;
        objects.0.kept_bytes.set(rows.iter().map(|(_, row)| row.block_bytes).sum());
        objects.watch_cache();
        objects.scrub()?;
        Ok(objects)
    }

    /// Where blocks are stored.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The exchange that fetches for these objects.
    pub fn exchange(&self) -> &Exchange {
        &self.0.exchange
    }

    /// Announces roots and records.
    pub fn announcer(&self) -> &Announcer {
        &self.0.announcer
    }

    /// Starts an object.
    pub fn put(&self) -> Put {
        Put::new(self.clone())
    }

    /// Starts a folder.
    pub fn put_folder(&self) -> FolderPut {
        FolderPut::new(self.clone())
    }

    /// Starts a snapshot of a database.
    pub fn put_database(&self) -> DatabasePut {
        DatabasePut::new(self.clone())
    }

    /// Starts to take blocks in from a file.
    pub fn import(&self) -> Import {
        Import::new(self.clone())
    }

    /// Reads what lies below `root`, from here or from whoever has it.
    pub fn reader(&self, root: Cid) -> Session {
        self.0.exchange.session(root)
    }

    /// What was put or pinned here, by root.
    pub fn records(&self) -> Result<Vec<(Cid, ObjectRecord)>, StoreError> {
        ObjectRecord::all(&self.0.store)
    }

    /// What is known about a root that was put or pinned here.
    pub fn record(&self, root: &Cid) -> Result<Option<ObjectRecord>, StoreError> {
        let value = self.0.store.meta_get(Meta::Object, root.to_bytes())?;
        value.map(|value| Ok(ObjectRecord::read(&root.to_bytes(), &value)?.1)).transpose()
    }

    /// Fetches everything below a session's root, within `limits`, and makes it durable. `progress`
    /// hears the bytes so far. What was here already counts too.
    pub async fn pull(
        &self,
        session: Session,
        limits: WalkLimits,
        mut progress: impl FnMut(Pulled),
    ) -> Result<Pulled, ObjError> {
        let _guard = self.begin_pull().await;
        let losses = self.0.store.losses();
        let root = session.root();
        let source: Rc<dyn BlockSource> = Rc::new(session);
        let mut pulled = Pulled::default();
        let mut cids = Vec::new();
        let mut blocks = walk(source, root, limits);
        while let Some(block) = blocks.next().await {
            let block = block?;
            pulled.blocks += 1;
            pulled.bytes += block.len() as u64;
            cids.push(*block.cid());
            progress(pulled);
        }
        self.0.exchange.flush()?;
        // Whoever pulls is about to keep it: it is cache no longer.
        for step in cids.chunks(PROMOTED) {
            self.0.store.promote(step)?;
            self.0.clock.sleep(sweep::PAUSE).await;
        }
        self.0.store.commit_since(losses, Batch::new())?;
        Ok(pulled)
    }

    /// No sweep begins until this is dropped.
    async fn begin_pull(&self) -> PullGuard {
        // With another pull under way no sweep runs.
        while self.0.sweeping.get() {
            self.0.clock.sleep(sweep::PAUSE).await;
        }
        self.0.pulls.set(self.0.pulls.get() + 1);
        PullGuard(self.0.clone())
    }

    /// Keeps the whole graph below `root` here, fetching what is missing.
    pub async fn pin(&self, root: Cid, time_ms: u64) -> Result<ObjectRecord, ObjError> {
        if let Some(record) = self.record(&root)? {
            return Ok(record);
        }
        // Until it is pinned nothing else keeps what was pulled from a sweep.
        let _guard = self.begin_pull().await;
        let pulled = self.pull(self.reader(root), WalkLimits::default(), |_| ()).await?;
        let source: Rc<dyn BlockSource> = Rc::new(self.reader(root));
        let stat = read::stat(source, root, WalkLimits::default()).await?;
        let record = ObjectRecord {
            v: 1,
            name: None,
            size: stat.size,
            folder: stat.kind == Kind::Folder,
            files: stat.files,
            blocks: pulled.blocks,
            block_bytes: pulled.bytes,
            time_ms,
            wanted: 0,
            percent: 0,
        };
        let mut batch = Batch::new();
        batch.pin(root, Pin::new(PinReason::Own, time_ms, "", stat.size));
        batch.meta_put(Meta::Object, root.to_bytes(), record.encode()?);
        self.0.store.commit(batch)?;
        self.kept(root, record.block_bytes);
        Ok(record)
    }

    /// Lets go of a root; its blocks are deleted unless another pin reaches them. `false` if it was
    /// not kept.
    pub async fn unpin(&self, root: Cid) -> Result<bool, StoreError> {
        let known = self.record(&root)?.is_some();
        let mut batch = Batch::new();
        batch.unpin(root, Some(PinReason::Own)).unpin(root, Some(PinReason::Site));
        batch.meta_delete(Meta::Object, root.to_bytes());
        self.0.store.commit(batch)?;
        self.let_go(root).await?;
        Ok(known)
    }

    /// After a pin of `root` was taken away: stops announcing it and deletes what nothing reaches,
    /// unless another pin is left.
    pub async fn let_go(&self, root: Cid) -> Result<(), StoreError> {
        if self.0.store.pins_of(&root)?.is_empty() {
            self.no_longer_here(root);
            self.free_below(root).await?;
        }
        Ok(())
    }

    /// How many of the distinct blocks below `root` are here. Fetches inner nodes where needed.
    pub async fn local_blocks(&self, root: Cid) -> Result<u64, ObjError> {
        let source: Rc<dyn BlockSource> = Rc::new(self.reader(root));
        let mut visits = read::inventory(source, root, WalkLimits::default());
        let mut here = 0;
        while let Some(visit) = visits.try_next().await? {
            here += u64::from(self.0.exchange.has(visit.cid())?);
        }
        Ok(here)
    }

    /// A root is kept from now on.
    pub fn kept(&self, root: Cid, block_bytes: u64) {
        self.0.kept_bytes.set(self.0.kept_bytes.get().saturating_add(block_bytes));
        self.here(root);
    }

    /// Announces what is here whole: a root, a shard of a coded file under the file's name, or a pack
    /// and each object in it.
    pub fn here(&self, root: Cid) {
        let exchange = &self.0.exchange;
        let object = match self.shard(&root) {
            Some((object, shard)) => {
                exchange.keeps_shard(object, shard.code, shard.index, root);
                object
            }
            None => {
                exchange.keeps_whole(root, true);
                root
            }
        };
        self.0.announcer.provide(provider_key(&object));
        let members = self.members(&root);
        if !members.is_empty() {
            exchange.keeps_pack(root, &members);
        }
        for member in members {
            self.0.announcer.provide(provider_key(&member));
        }
    }

    fn no_longer_here(&self, root: Cid) {
        let exchange = &self.0.exchange;
        let object = match self.shard(&root) {
            Some((object, shard)) => {
                exchange.drops_shard(&object, &shard.code, shard.index);
                object
            }
            None => {
                exchange.keeps_whole(root, false);
                root
            }
        };
        for named in exchange.drops_pack(&root).into_iter().chain([object]) {
            if !exchange.has_any_of(&named) {
                self.0.announcer.stop_providing(provider_key(&named));
            }
        }
    }

    /// The objects in what is a pack and here.
    fn members(&self, root: &Cid) -> Vec<Cid> {
        if root.codec() != Codec::DagCbor {
            return Vec::new();
        }
        let block = self.0.exchange.peek(root).ok().flatten();
        block.as_ref().and_then(pack_links).unwrap_or_default()
    }

    /// The shard that a root is, and its file.
    fn shard(&self, root: &Cid) -> Option<(Cid, Shard)> {
        if root.codec() != Codec::DagCbor {
            return None;
        }
        let block = self.0.exchange.peek(root).ok().flatten()?;
        let shard = Shard::read(&block).ok()?;
        Some((shard.object()?, shard))
    }
}
