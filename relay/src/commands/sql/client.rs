//! A database as the node gives it: statements, rows, snapshots, files.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::Path,
};

use craftec_api::{
    BranchRow, Command, MergeStrategy, OpenedDatabase, Reply, Retention, Snapshot, SqlMerged,
    SqlRows, SqlStatement, SqlValue,
};
use craftec_core::Cid;
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::{
    error::{RelayError, Result},
    session::{Session, unexpected},
};

/// Bytes of a file that are sent at one time.
const IMPORTED: usize = 256 << 10;

/// Who reads a database besides its owner.
#[derive(Serialize)]
pub(super) struct Readers {
    pub(super) encrypted: bool,
    pub(super) readers: Vec<String>,
}

/// Which snapshots stay, and how many went.
#[derive(Serialize)]
pub(super) struct Retained {
    pub(super) rule: Option<Retention>,
    pub(super) dropped: u64,
}

/// A database that is open.
pub(super) struct Client<'a> {
    pub(super) session: &'a Session,
    pub(super) opened: OpenedDatabase,
}

impl<'a> Client<'a> {
    pub(super) async fn open(session: &'a Session, database: &str, encrypt: bool) -> Result<Self> {
        let open = Command::SqlOpen { database: database.to_owned(), encrypt };
        match session.call(open).await? {
            Reply::Database(opened) => Ok(Self { session, opened }),
            other => Err(unexpected("database", &other)),
        }
    }

    /// Runs one statement; all of its rows.
    pub(super) async fn query(&self, sql: &str, params: Vec<SqlValue>) -> Result<SqlRows> {
        let handle = self.opened.handle;
        let query = Command::SqlQuery { handle, sql: sql.to_owned(), params };
        let mut all = rows(self.session.call(query).await?)?;
        while let Some(handle) = all.more.take() {
            let more = rows(self.session.call(Command::SqlRows { handle }).await?)?;
            all.rows.extend(more.rows);
            all.more = more.more;
        }
        Ok(all)
    }

    /// The texts of a result's first column.
    pub(super) async fn texts(&self, sql: &str, params: Vec<SqlValue>) -> Result<Vec<String>> {
        let found = self.query(sql, params).await?;
        let first = |row: Vec<SqlValue>| match row.into_iter().next() {
            Some(SqlValue::Text(text)) => text,
            other => other.as_ref().map(super::print::plain).unwrap_or_default(),
        };
        Ok(found.rows.into_iter().map(first).collect())
    }

    /// Runs several statements; how many rows they changed.
    pub(super) async fn script(&self, sql: &str) -> Result<u64> {
        let script = Command::SqlScript { handle: self.opened.handle, sql: sql.to_owned() };
        executed(self.session.call(script).await?)
    }

    /// Runs statements as one transaction.
    pub(super) async fn batch(&self, statements: Vec<SqlStatement>) -> Result<u64> {
        let batch = Command::SqlBatch { handle: self.opened.handle, statements };
        executed(self.session.call(batch).await?)
    }

    pub(super) async fn snapshot(&self, name: Option<String>) -> Result<Snapshot> {
        let handle = self.opened.handle;
        match self.session.call(Command::SqlSnapshot { handle, name, replicas: None }).await? {
            Reply::Snapshot(snapshot) => Ok(snapshot),
            other => Err(unexpected("snapshot", &other)),
        }
    }

    pub(super) async fn restore(&self, root: Cid) -> Result<()> {
        self.session.done(Command::SqlRestore { handle: self.opened.handle, cid: root }).await
    }

    pub(super) async fn branches(&self) -> Result<Vec<BranchRow>> {
        match self.session.call(Command::SqlBranches { handle: self.opened.handle }).await? {
            Reply::Branches { branches } => Ok(branches),
            other => Err(unexpected("branches", &other)),
        }
    }

    pub(super) async fn merge(&self, branch: &str, strategy: MergeStrategy) -> Result<SqlMerged> {
        let (handle, branch) = (self.opened.handle, branch.to_owned());
        match self.session.call(Command::SqlMerge { handle, branch, strategy }).await? {
            Reply::Merged(merged) => Ok(merged),
            other => Err(unexpected("merged", &other)),
        }
    }

    pub(super) async fn forget(&self, branch: &str) -> Result<()> {
        let (handle, branch) = (self.opened.handle, branch.to_owned());
        self.session.done(Command::SqlDropBranch { handle, branch }).await
    }

    /// Encrypts it under another key, or for the first time; `readers` go on sharing it.
    pub(super) async fn encrypt(&self, readers: Vec<String>) -> Result<Readers> {
        self.readers_after(Command::SqlEncrypt { handle: self.opened.handle, readers }).await
    }

    pub(super) async fn share(&self, with: &str) -> Result<Readers> {
        let (handle, with) = (self.opened.handle, with.to_owned());
        self.readers_after(Command::SqlShare { handle, with }).await
    }

    pub(super) async fn readers(&self) -> Result<Readers> {
        self.readers_after(Command::SqlReaders { handle: self.opened.handle }).await
    }

    async fn readers_after(&self, command: Command) -> Result<Readers> {
        match self.session.call(command).await? {
            Reply::Readers { encrypted, readers } => Ok(Readers { encrypted, readers }),
            other => Err(unexpected("readers", &other)),
        }
    }

    /// Sets which snapshots stay, or all; how many went.
    pub(super) async fn retain(&self, rule: Option<Retention>) -> Result<Retained> {
        self.retained(Command::SqlRetain { handle: self.opened.handle, rule }).await
    }

    pub(super) async fn retention(&self) -> Result<Retained> {
        self.retained(Command::SqlRetention { handle: self.opened.handle }).await
    }

    async fn retained(&self, command: Command) -> Result<Retained> {
        match self.session.call(command).await? {
            Reply::Retained { rule, dropped } => Ok(Retained { rule, dropped }),
            other => Err(unexpected("retained", &other)),
        }
    }

    /// Takes an ordinary SQLite file in, in the place of what is there; its length.
    pub(super) async fn import(&self, from: &Path) -> Result<u64> {
        let mut file = File::open(from).map_err(RelayError::file("read", from))?;
        let import = Command::SqlImport { handle: self.opened.handle };
        let handle = match self.session.call(import).await? {
            Reply::Handle { handle } => handle,
            other => return Err(unexpected("handle", &other)),
        };
        let (mut part, mut length) = (vec![0; IMPORTED], 0);
        loop {
            let read = file.read(&mut part).map_err(RelayError::file("read", from))?;
            if read == 0 {
                break;
            }
            let bytes = part.get(..read).unwrap_or_default().to_vec();
            length += read as u64;
            let chunk = Command::PutChunk { handle, bytes: ByteBuf::from(bytes) };
            self.session.done(chunk).await?;
        }
        self.session.done(Command::PutClose { handle }).await?;
        Ok(length)
    }

    /// Writes it as an ordinary SQLite file, which must not exist yet; its length.
    pub(super) async fn export(&self, to: &Path) -> Result<u64> {
        let opened = self.session.open(Command::SqlExport { handle: self.opened.handle }).await?;
        let open = OpenOptions::new().write(true).create_new(true).open(to);
        let mut file = open.map_err(RelayError::file("create", to))?;
        let mut length = 0;
        loop {
            let bytes = self.session.bytes(Command::GetRead { handle: opened.handle }).await?;
            if bytes.is_empty() {
                break;
            }
            length += bytes.len() as u64;
            file.write_all(&bytes).map_err(RelayError::file("write", to))?;
        }
        file.sync_all().map_err(RelayError::file("write", to))?;
        self.session.done(Command::Close { handle: opened.handle }).await?;
        Ok(length)
    }
}

fn rows(reply: Reply) -> Result<SqlRows> {
    match reply {
        Reply::Rows(rows) => Ok(rows),
        other => Err(unexpected("rows", &other)),
    }
}

fn executed(reply: Reply) -> Result<u64> {
    match reply {
        Reply::Executed { changes, .. } => Ok(changes.iter().sum()),
        other => Err(unexpected("executed", &other)),
    }
}

/// `name` as SQL writes a name that may be anything.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
