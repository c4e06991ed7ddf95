//! One client's conversation with a node: every command of `craftec-api`, the handles it opened, the
//! events it asked for. What it opened ends with it.

mod backup;
#[cfg(feature = "sql")]
mod changes;
mod handles;
#[cfg(feature = "sql")]
mod pages;
mod read;
#[cfg(feature = "sql")]
mod readers;
#[cfg(feature = "sql")]
mod retention;
mod sites;
#[cfg(feature = "sql")]
mod snapshots;
#[cfg(feature = "sql")]
mod sql;
#[cfg(not(feature = "sql"))]
#[path = "no_sql.rs"]
mod sql;
mod write;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use craftec_api::{ApiError, Command, ErrorCode, Event, Limit, Reply, VERSIONS};
use craftec_core::PeerId;
use craftec_obj::feed::{Heard, Listener};
use futures::{
    FutureExt, StreamExt,
    channel::oneshot,
    future::{LocalBoxFuture, Shared},
    stream::{self, LocalBoxStream},
};

use self::handles::{Handle, Handles};
pub(crate) use self::sites::SiteRecord;
use crate::{Node, fault};

/// Events that a slow client may be behind before the oldest are dropped: a pack of a thousand objects is
/// told of object by object.
const EVENTS: usize = 2048;

/// Who a session belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Somebody on this machine, who may see its secrets.
    Local,
    /// A client from elsewhere, which may not.
    Remote,
}

/// A client's session. Dropping it drops everything it opened.
pub struct Session {
    node: Rc<Node>,
    access: Access,
    handles: Handles,
    events: RefCell<Option<Listener<Event>>>,
    subscribe: RefCell<Option<oneshot::Sender<()>>>,
    subscribed: Shared<LocalBoxFuture<'static, bool>>,
    version: Cell<Option<u32>>,
}

impl Session {
    pub(crate) fn new(node: Rc<Node>, access: Access) -> Self {
        let (subscribe, subscribed) = oneshot::channel();
        let subscribed = async move { subscribed.await.is_ok() };
        Self {
            node,
            access,
            handles: Handles::default(),
            events: RefCell::default(),
            subscribe: RefCell::new(Some(subscribe)),
            subscribed: subscribed.boxed_local().shared(),
            version: Cell::new(None),
        }
    }

    /// The version of the language agreed on, once the client said hello.
    pub fn version(&self) -> Option<u32> {
        self.version.get()
    }

    /// Carries out one command. Dropping the future ends what it does, as far as nothing is durable
    /// yet. Several commands may run at the same time.
    pub async fn call(&self, command: Command) -> Result<Reply, ApiError> {
        self.runs()?;
        match command {
            Command::PutClose { .. }
            | Command::FolderClose { .. }
            | Command::Pin { .. }
            | Command::PutChunk { .. }
            | Command::FolderAdd { .. } => self.written(command).await,
            Command::Hello { versions } => self.hello(&versions),
            Command::Status => self.node.status().await.map(Reply::Status).map_err(fault::store),
            Command::Subscribe => Ok(self.subscribe()),
            Command::Connect { addr } => self.connect(&addr).await,
            Command::BackupWords => self.words(),
            Command::LendSpace { bytes } => self.lend(bytes),
            Command::ServeLimits { rate, monthly } => self.limit_serving(rate, monthly),
            Command::BackupOpen { passphrase } => self.backup_open(&passphrase).await,
            Command::RestoreOpen { passphrase, replace } => self.restore_open(passphrase, replace),
            Command::PutOpen { replicas, redundancy, name } => {
                self.put_open(replicas, redundancy, name)
            }
            Command::FolderOpen => self.folder_open(),
            Command::FolderFile { folder, path } => self.folder_file(folder, &path),
            Command::GetOpen { cid, path, range } => self.get_open(cid, &path, range).await,
            Command::CarOpen { cid, path } => self.car_open(cid, &path).await,
            Command::Block { cid } => self.block(cid).await,
            Command::GetRead { handle } => self.get_read(handle).await,
            Command::Close { handle } => self.close(handle),
            Command::List { cid, path } => self.list(cid, &path).await,
            Command::Stat { cid } => self.stat(cid).await,
            Command::Unpin { cid } => self.unpin(cid).await,
            Command::Objects => self.objects(),
            Command::Sites => self.sites(),
            Command::Resolve { name } => self.node.names.resolve(&name).await,
            Command::IdentityCard => Ok(Reply::Card { card: self.node.keys.card() }),
            Command::SqlOpen { .. }
            | Command::SqlEncrypt { .. }
            | Command::SqlShare { .. }
            | Command::SqlReaders { .. }
            | Command::SqlRetain { .. }
            | Command::SqlRetention { .. }
            | Command::SqlQuery { .. }
            | Command::SqlRows { .. }
            | Command::SqlScript { .. }
            | Command::SqlBatch { .. }
            | Command::SqlTransaction { .. }
            | Command::SqlFinish { .. }
            | Command::SqlSnapshot { .. }
            | Command::SqlSnapshots { .. }
            | Command::SqlRestore { .. }
            | Command::SqlBranches { .. }
            | Command::SqlMerge { .. }
            | Command::SqlDropBranch { .. }
            | Command::SqlChanged { .. }
            | Command::SqlExport { .. }
            | Command::SqlImport { .. }
            | Command::SqlBegin { .. }
            | Command::SqlPages { .. }
            | Command::SqlReserve { .. }
            | Command::SqlStage { .. }
            | Command::SqlCommit { .. }
            | Command::SqlEnd { .. }
            | Command::SqlDatabases
            | Command::SqlDrop { .. } => self.sql(command).await,
        }
    }

    fn runs(&self) -> Result<(), ApiError> {
        if self.node.stopped.get() {
            return Err(ApiError::new(ErrorCode::Aborted, "This node has stopped."));
        }
        Ok(())
    }

    /// What writes much: whether there was room is remembered.
    async fn written(&self, command: Command) -> Result<Reply, ApiError> {
        let is_part = matches!(command, Command::PutChunk { .. } | Command::FolderAdd { .. });
        match self.write(command).await {
            // A part that succeeds says nothing: it may be in memory only.
            Ok(done) if is_part => Ok(done),
            done => self.node.wrote(done).await,
        }
    }

    /// Commands that write content.
    async fn write(&self, command: Command) -> Result<Reply, ApiError> {
        match command {
            Command::PutChunk { handle, bytes } => self.put_chunk(handle, &bytes),
            Command::PutClose { handle } => self.put_close(handle).await,
            Command::FolderAdd { folder, path, bytes } => self.folder_add(folder, &path, &bytes),
            Command::FolderClose { folder, replicas, site, name } => {
                self.folder_close(folder, replicas, site, name).await
            }
            Command::Pin { cid } => self.pin(cid).await,
            _ => Err(ApiError::new(ErrorCode::Internal, "This command writes nothing.")),
        }
    }

    /// Events from the moment of `subscribe` on. Ends with the node, or with the session where it
    /// never subscribed. Taken once; a second stream hears nothing.
    pub fn events(&self) -> LocalBoxStream<'static, Event> {
        let (node, subscribed) = (self.node.clone(), self.subscribed.clone());
        let listener = self.events.take();
        let start = async move {
            match listener {
                Some(listener) => Some(listener),
                None => subscribed.await.then(|| node.feed.listen(EVENTS)),
            }
        };
        let heard = stream::once(start).filter_map(std::future::ready).flatten();
        let events = heard.map(|heard| match heard {
            Heard::News(event) => event,
            Heard::Lost(lost) => Event::Lagged { lost },
        });
        events.boxed_local()
    }

    fn hello(&self, versions: &[u32]) -> Result<Reply, ApiError> {
        let common = VERSIONS.iter().find(|version| versions.contains(version));
        let Some(version) = common else {
            let theirs: Vec<String> = versions.iter().take(8).map(u32::to_string).collect();
            let message = format!(
                "This node speaks version {} of its language, the client {}.",
                VERSIONS.first().copied().unwrap_or_default(),
                theirs.join(", ")
            );
            let hint = "Load the app again, or update the older of the two.";
            return Err(ApiError::new(ErrorCode::Version, message).hint(hint));
        };
        self.version.set(Some(*version));
        Ok(Reply::Hello { version: *version, agent: self.node.config.agent.clone() })
    }

    fn subscribe(&self) -> Reply {
        if let Some(subscribe) = self.subscribe.take() {
            // Kept for `events` where that is called later, so that nothing from now on is lost.
            if subscribe.send(()).is_err() {
                *self.events.borrow_mut() = Some(self.node.feed.listen(EVENTS));
            }
        }
        Reply::Done
    }

    async fn connect(&self, addr: &str) -> Result<Reply, ApiError> {
        let _peer: PeerId = self.node.ports.network.connect(addr).await.map_err(fault::net)?;
        Ok(Reply::Done)
    }

    fn words(&self) -> Result<Reply, ApiError> {
        match self.access {
            Access::Local => Ok(Reply::Words { words: self.node.keys.words() }),
            Access::Remote => {
                let message = "The backup words are shown on the node's own machine only.";
                Err(ApiError::new(ErrorCode::Refused, message))
            }
        }
    }

    fn lend(&self, bytes: Option<u64>) -> Result<Reply, ApiError> {
        self.node.lending.set(bytes).map_err(fault::store)?;
        Ok(Reply::Done)
    }

    fn limit_serving(&self, rate: Limit, monthly: Limit) -> Result<Reply, ApiError> {
        self.node.serving.set(rate, monthly).map_err(fault::store)?;
        Ok(Reply::Done)
    }

    fn close(&self, handle: u64) -> Result<Reply, ApiError> {
        if let Handle::Folder(_) = self.handles.remove(handle)? {
            self.handles.drop_files(handle);
        }
        Ok(Reply::Done)
    }
}
