//! Commands about databases. They are for whoever sits at the node's machine: SQLite runs on the node's
//! own thread, and what is opened by an address is fetched on its account.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use craftec_api::{
    ApiError, Command, DatabaseRow, EntryKind, ErrorCode, Opened, OpenedDatabase, Reply, SqlRows,
    SqlStatement, SqlValue,
};
use craftec_core::{Cid, Codec, database::PAGE_BYTES};
use craftec_sql::{Ran, Value};
use futures::{StreamExt, stream};

use super::{
    Access, Session,
    handles::{Handle, other_kind},
};
use crate::{
    databases::{self, Desk, Named, Own, Pages},
    fault,
    names::key_of,
};

/// Longest text of one statement or script.
const SQL_BYTES: usize = 512 << 10;
/// Statements in one batch.
const STATEMENTS: usize = 10_000;
/// Rows are gathered into answers of about so many bytes, and of at most so many rows.
pub(super) const CHUNK_BYTES: usize = 128 << 10;
const CHUNK_ROWS: usize = 4096;
/// Longest row, and all names of columns together: what one answer can carry.
const ROW_BYTES: usize = 1_000_000;
/// What each value takes besides its bytes.
pub(super) const VALUE_BYTES: usize = 9;
/// Pages of an export that are read at one time.
const EXPORTED_PAGES: usize = 32;
/// How addresses begin.
pub(super) const SCHEME: &str = "craftobj://";
/// The media type of an SQLite file.
const SQLITE: &str = "application/vnd.sqlite3";

/// A database that a session has open.
#[derive(Clone)]
pub(super) enum OpenDatabase {
    /// One of this node's, and what this session's client holds of it.
    Own(Rc<Desk>),
    /// Somebody's, as it was.
    Snapshot(Rc<databases::Snapshot>),
}

/// Rows that wait to be asked for.
pub(super) struct Rows {
    rows: VecDeque<Vec<Value>>,
}

impl Rows {
    /// The next rows that fit one answer, at least one.
    fn next(&mut self) -> Result<Vec<Vec<SqlValue>>, ApiError> {
        let (mut bytes, mut rows) = (0, Vec::new());
        while let Some(row) = self.rows.front() {
            let more: usize = row.iter().map(|value| VALUE_BYTES + length(value)).sum();
            if more > ROW_BYTES {
                let message = format!("A row has {more} bytes; {ROW_BYTES} fit one answer.");
                return Err(fault::input(message).hint("Ask for parts of it with substr()."));
            }
            bytes += more;
            if rows.len() >= CHUNK_ROWS || (bytes > CHUNK_BYTES && !rows.is_empty()) {
                break;
            }
            let row = self.rows.pop_front().unwrap_or_default();
            rows.push(row.into_iter().map(shown).collect());
        }
        Ok(rows)
    }
}

impl Session {
    /// Any of the commands about databases.
    pub(super) async fn sql(&self, command: Command) -> Result<Reply, ApiError> {
        if self.access != Access::Local {
            let message = "Databases are opened on the node's own machine only.";
            return Err(ApiError::new(ErrorCode::Refused, message));
        }
        match command {
            Command::SqlOpen { database, encrypt } => self.sql_open(&database, encrypt).await,
            Command::SqlEncrypt { handle, readers } => self.sql_encrypt(handle, readers).await,
            Command::SqlShare { handle, with } => self.sql_share(handle, &with).await,
            Command::SqlReaders { handle } => self.sql_readers(handle),
            Command::SqlRetain { handle, rule } => self.sql_retain(handle, rule).await,
            Command::SqlRetention { handle } => self.sql_retention(handle),
            Command::SqlQuery { handle, sql, params } => self.sql_query(handle, &sql, params).await,
            Command::SqlRows { handle } => self.sql_rows(handle),
            Command::SqlScript { handle, sql } => {
                check_text(&sql)?;
                let ran = match self.transaction(handle)? {
                    Some(open) => open.script(&sql).await,
                    None => self.own(handle)?.script(&sql).await,
                };
                let ran = self.node.wrote(ran).await?;
                Ok(Reply::Executed { changes: vec![ran.changes], last_rowid: ran.last_rowid })
            }
            Command::SqlBatch { handle, statements } => self.sql_batch(handle, statements).await,
            Command::SqlTransaction { handle } => {
                let open = self.own(handle)?.transaction().await?;
                Ok(Reply::Handle { handle: self.handles.add(Handle::Transaction(open))? })
            }
            Command::SqlImport { handle } => {
                let import = self.own(handle)?.import().await?;
                Ok(Reply::Handle { handle: self.handles.add(Handle::Import(import))? })
            }
            Command::SqlFinish { handle, commit } => {
                let finished = self.sql_finish(handle, commit).await;
                self.node.wrote(finished).await
            }
            Command::SqlSnapshot { handle, name, replicas } => {
                let taken = self.sql_snapshot(handle, name, replicas).await;
                self.node.wrote(taken).await
            }
            Command::SqlSnapshots { name } => self.sql_snapshots(&name).await,
            Command::SqlRestore { handle, cid } => {
                let restored = self.sql_restore(handle, cid).await;
                self.node.wrote(restored).await
            }
            Command::SqlBranches { handle } => self.sql_branches(handle).await,
            Command::SqlMerge { handle, branch, strategy } => {
                let merged = self.sql_merge(handle, &branch, strategy).await;
                self.node.wrote(merged).await
            }
            Command::SqlDropBranch { handle, branch } => {
                self.sql_drop_branch(handle, &branch).await
            }
            Command::SqlExport { handle } => self.sql_export(handle).await,
            Command::SqlDatabases => self.sql_databases(),
            Command::SqlDrop { name } => {
                self.node.databases.remove(&name).await?;
                Ok(Reply::Done)
            }
            Command::SqlChanged { handle } => self.sql_changed(handle).await,
            other => self.sql_pages(other).await,
        }
    }

    async fn sql_open(&self, database: &str, encrypt: bool) -> Result<Reply, ApiError> {
        let now_ms = self.node.ports.clock.now().0;
        let Some(address) = database.strip_prefix(SCHEME) else {
            let own = self.node.databases.open(database, now_ms, encrypt).await?;
            let desk = Rc::new(self.node.databases.desk(own));
            let handle = self.handles.add(Handle::Database(OpenDatabase::Own(desk.clone())))?;
            return Ok(Reply::Database(own_as_opened(handle, &desk)));
        };
        let (root, time_ms, equivocation, named) = self.root_of(address).await?;
        if root.codec() != Codec::DagCbor {
            let message = format!("{root} is not the root of a database.");
            return Err(fault::input(message).hint("It may be a file: `craftec get` reads it."));
        }
        let pages = Pages::new(self.node.reader(root));
        let snapshot = self.node.databases.read(root, pages, named).await?;
        let ((_, bytes), encrypted) = (snapshot.root().await, snapshot.is_encrypted().await);
        let handle = self.handles.add(Handle::Database(OpenDatabase::Snapshot(snapshot)))?;
        Ok(Reply::Database(OpenedDatabase {
            handle,
            cid: Some(root),
            writable: false,
            bytes,
            time_ms,
            equivocation,
            encrypted,
        }))
    }

    /// The root that an address leads to; when its head was written, whether that is disputed, and the
    /// name by which it was found.
    async fn root_of(
        &self,
        address: &str,
    ) -> Result<(Cid, Option<u64>, bool, Option<Named>), ApiError> {
        if let Ok(root) = address.parse() {
            return Ok((root, None, false, None));
        }
        let name = match self.own_name(address) {
            Some(name) => {
                if let Some(root) = self.node.waiting_root(name)? {
                    return Ok((root, None, false, None));
                }
                // Another device may have moved it on.
                if !self.node.ports.network.peers().is_empty() {
                    self.node.names.latest(name).await?;
                }
                format!("{}/{name}", self.node.keys.did())
            }
            None => address.to_owned(),
        };
        let found = self.node.names.resolve(&name).await?;
        let key = key_of(&name)?;
        let seen = RefCell::new(self.node.names.held_bytes(&key).map_err(fault::store)?);
        match found {
            Reply::Resolved { cid, time_ms, equivocation, .. } => {
                Ok((cid, Some(time_ms), equivocation, Some(Named { key, seen })))
            }
            _ => Err(ApiError::new(ErrorCode::Internal, "A name led to no root.")),
        }
    }

    /// The name in an address of this identity's.
    pub(super) fn own_name<'a>(&self, address: &'a str) -> Option<&'a str> {
        let (owner, name) = address.split_once('/')?;
        (owner == "me" || owner == self.node.keys.did().to_string()).then_some(name)
    }

    async fn sql_query(
        &self,
        handle: u64,
        sql: &str,
        params: Vec<SqlValue>,
    ) -> Result<Reply, ApiError> {
        check_text(sql)?;
        let params: Vec<Value> = params.into_iter().map(value).collect();
        let ran = match self.transaction(handle)? {
            Some(open) => self.node.wrote(open.run(sql, &params).await).await,
            None => match self.database(handle)? {
                OpenDatabase::Own(desk) => self.node.wrote(desk.own.run(sql, &params).await).await,
                OpenDatabase::Snapshot(snapshot) => snapshot.run(sql, &params).await,
            },
        };
        let Ran { rows: found, changes, last_rowid } = ran?;
        let names: usize = found.columns.iter().map(String::len).sum();
        if names > CHUNK_BYTES {
            let message = format!("The names of the columns have {names} bytes.");
            return Err(fault::input(message).hint("Give them shorter names with AS."));
        }
        let mut left = Rows { rows: found.rows.into() };
        let rows = left.next()?;
        let more = self.keep_rows(left)?;
        Ok(Reply::Rows(SqlRows { columns: found.columns, rows, changes, last_rowid, more }))
    }

    /// The transaction behind a handle, if it is one.
    fn transaction(&self, handle: u64) -> Result<Option<Rc<databases::Transaction>>, ApiError> {
        self.handles.with(handle, |open| match open {
            Handle::Transaction(open) => Ok(Some(open.clone())),
            _ => Ok(None),
        })
    }

    /// Ends a transaction.
    async fn sql_finish(&self, handle: u64, commit: bool) -> Result<Reply, ApiError> {
        let open = self.transaction(handle)?;
        let open = open.ok_or_else(|| other_kind(handle, "a transaction"))?;
        drop(self.handles.remove(handle));
        if commit {
            open.commit().await?;
        } else {
            open.give_up().await;
        }
        Ok(Reply::Done)
    }

    fn keep_rows(&self, left: Rows) -> Result<Option<u64>, ApiError> {
        if left.rows.is_empty() {
            return Ok(None);
        }
        self.handles.add(Handle::Rows(left)).map(Some)
    }

    fn sql_rows(&self, handle: u64) -> Result<Reply, ApiError> {
        let (rows, is_end) = self.handles.with(handle, |open| match open {
            Handle::Rows(left) => Ok((left.next()?, left.rows.is_empty())),
            _ => Err(other_kind(handle, "a result")),
        })?;
        if is_end {
            self.handles.remove(handle)?;
        }
        let more = (!is_end).then_some(handle);
        Ok(Reply::Rows(SqlRows { rows, more, ..SqlRows::default() }))
    }

    async fn sql_batch(
        &self,
        handle: u64,
        statements: Vec<SqlStatement>,
    ) -> Result<Reply, ApiError> {
        if statements.len() > STATEMENTS {
            let message =
                format!("A batch has {} statements; {STATEMENTS} are the most.", statements.len());
            return Err(fault::input(message));
        }
        let own = self.own(handle)?;
        let each = |statement: SqlStatement| -> (String, Vec<Value>) {
            (statement.sql, statement.params.into_iter().map(value).collect())
        };
        let statements: Vec<(String, Vec<Value>)> = statements.into_iter().map(each).collect();
        let (changes, ran) = self.node.wrote(own.batch(statements).await).await?;
        Ok(Reply::Executed { changes, last_rowid: ran.last_rowid })
    }

    async fn sql_export(&self, handle: u64) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        // A snapshot of the log keeps these pages while others write.
        let (cid, pages) = {
            let _turn = own.turn().await?;
            (own.database.snapshot().map_err(fault::sql)?, own.database.page_cids())
        };
        let size = (pages.len() * PAGE_BYTES) as u64;
        let path = format!("{}.sqlite", own.name);
        let parts: Vec<Vec<Option<Cid>>> =
            pages.chunks(EXPORTED_PAGES).map(<[Option<Cid>]>::to_vec).collect();
        let part = move |pages: Vec<Option<Cid>>| {
            let mut part = Vec::with_capacity(pages.len() * PAGE_BYTES);
            let mut page = [0; PAGE_BYTES];
            for cid in pages {
                match cid {
                    Some(cid) => {
                        own.database.page_of(&cid, &mut page).map_err(fault::sql)?;
                        part.extend_from_slice(&page);
                    }
                    None => part.resize(part.len() + PAGE_BYTES, 0),
                }
            }
            Ok(part.into())
        };
        let handle = self.open_stream(stream::iter(parts).map(part).boxed_local())?;
        let (kind, mime) = (EntryKind::File, SQLITE.to_owned());
        Ok(Reply::Opened(Opened { handle, cid, size, kind, path, mime }))
    }

    fn sql_databases(&self) -> Result<Reply, ApiError> {
        let row = |(name, record): (String, databases::DatabaseRecord)| DatabaseRow {
            name,
            time_ms: record.time_ms,
            cid: record.root,
            published: record.published().map(|known| known.name.clone()),
            waits: !record.waiting.is_empty(),
            branches: record.branches.iter().filter(|branch| !branch.merged).count() as u32,
            encrypted: record.key.is_some(),
        };
        let databases = self.node.databases.records()?.into_iter().map(row).collect();
        Ok(Reply::Databases { databases })
    }

    pub(super) fn database(&self, handle: u64) -> Result<OpenDatabase, ApiError> {
        self.handles.with(handle, |open| match open {
            Handle::Database(database) => Ok(database.clone()),
            _ => Err(other_kind(handle, "a database")),
        })
    }

    /// Somebody's database, as it was.
    pub(super) fn snapshot(&self, handle: u64) -> Result<Rc<databases::Snapshot>, ApiError> {
        match self.database(handle)? {
            OpenDatabase::Snapshot(snapshot) => Ok(snapshot),
            OpenDatabase::Own(_) => Err(other_kind(handle, "a snapshot")),
        }
    }

    /// What this session holds of a database of this node.
    pub(super) fn desk(&self, handle: u64) -> Result<Rc<Desk>, ApiError> {
        match self.database(handle)? {
            OpenDatabase::Own(desk) => Ok(desk),
            OpenDatabase::Snapshot(_) => {
                let message = "A snapshot can only be read.";
                Err(fault::input(message).hint("Open a database of this node, by its name."))
            }
        }
    }

    pub(super) fn own(&self, handle: u64) -> Result<Rc<Own>, ApiError> {
        Ok(self.desk(handle)?.own.clone())
    }
}

/// A database of this node, as it is now.
pub(super) fn own_as_opened(handle: u64, desk: &Desk) -> OpenedDatabase {
    OpenedDatabase {
        handle,
        cid: None,
        writable: true,
        bytes: u64::from(desk.own.database.pages()) * PAGE_BYTES as u64,
        time_ms: None,
        equivocation: false,
        encrypted: desk.own.database.key().is_some(),
    }
}

/// An error on its way through the object store.
pub(super) struct Fault(pub(super) ApiError);

impl From<craftec_obj::ObjError> for Fault {
    fn from(error: craftec_obj::ObjError) -> Self {
        Self(fault::object(error))
    }
}

fn check_text(sql: &str) -> Result<(), ApiError> {
    if sql.len() <= SQL_BYTES {
        return Ok(());
    }
    let message = format!("The SQL has {} bytes; {SQL_BYTES} are the most.", sql.len());
    Err(fault::input(message).hint("Send it in parts, or values as parameters."))
}

fn value(value: SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => Value::Integer(number),
        SqlValue::Real(number) => Value::Real(number),
        SqlValue::Text(text) => Value::Text(text),
        SqlValue::Blob(bytes) => Value::Blob(bytes),
    }
}

pub(super) fn shown(value: Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Integer(number) => SqlValue::Integer(number),
        Value::Real(number) if number.is_finite() => SqlValue::Real(number),
        Value::Real(number) if number > 0.0 => SqlValue::Text("Inf".to_owned()),
        Value::Real(_) => SqlValue::Text("-Inf".to_owned()),
        Value::Text(text) => SqlValue::Text(text),
        Value::Blob(bytes) => SqlValue::Blob(bytes),
    }
}

pub(super) fn length(value: &Value) -> usize {
    match value {
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
    }
}
