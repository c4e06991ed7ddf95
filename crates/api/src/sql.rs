//! Values, statements and results of databases.
//!
//! A value is what it is in DAG-CBOR: null, an integer, a float, text or bytes. DAG-CBOR has no
//! infinite numbers; where a result has one, it comes as the text `Inf` or `-Inf`.

use std::fmt;

use craftec_core::Cid;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// A value of SQLite.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum SqlValue {
    /// NULL.
    #[default]
    Null,
    /// A whole number.
    Integer(i64),
    /// A finite floating point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Serialize for SqlValue {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_none(),
            Self::Integer(number) => to.serialize_i64(*number),
            Self::Real(number) => to.serialize_f64(*number),
            Self::Text(text) => to.serialize_str(text),
            Self::Blob(bytes) => to.serialize_bytes(bytes),
        }
    }
}

impl<'de> Deserialize<'de> for SqlValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OfValue)
    }
}

struct OfValue;

impl Visitor<'_> for OfValue {
    type Value = SqlValue;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("null, an integer, a number, text or bytes")
    }

    fn visit_unit<E: de::Error>(self) -> Result<SqlValue, E> {
        Ok(SqlValue::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<SqlValue, E> {
        Ok(SqlValue::Null)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<SqlValue, E> {
        Ok(SqlValue::Integer(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<SqlValue, E> {
        let number = i64::try_from(number);
        number.map(SqlValue::Integer).map_err(|_| E::custom("an integer of SQLite has 64 bits"))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<SqlValue, E> {
        Ok(SqlValue::Real(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SqlValue, E> {
        Ok(SqlValue::Text(text.to_owned()))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<SqlValue, E> {
        Ok(SqlValue::Blob(bytes.to_vec()))
    }
}

/// A statement and the values of its parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SqlStatement {
    /// The statement.
    pub sql: String,
    /// Values of its parameters, by number.
    pub params: Vec<SqlValue>,
}

/// An open database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedDatabase {
    /// For the other commands.
    pub handle: u64,
    /// The snapshot that is read; absent for a database of this node.
    pub cid: Option<Cid>,
    /// Whether it can be written: it is one of this node's.
    pub writable: bool,
    /// Bytes of the SQLite file that it is.
    pub bytes: u64,
    /// When the head that led to it was written (ms since 1970).
    pub time_ms: Option<u64>,
    /// Two different heads with one number were seen: the owner, or a thief, wrote twice.
    pub equivocation: bool,
    /// Whether it is encrypted, and read with a key that is here.
    pub encrypted: bool,
}

/// Rows of a result, or some of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SqlRows {
    /// Names of the columns; only in the first answer.
    pub columns: Vec<String>,
    /// Values, row by row. Text that is not UTF-8 has its wrong bytes replaced.
    pub rows: Vec<Vec<SqlValue>>,
    /// Rows that the statement changed.
    pub changes: u64,
    /// The number of the row that was inserted last; 0 if none was.
    pub last_rowid: i64,
    /// There are more rows: the handle for `sql_rows`.
    pub more: Option<u64>,
}

/// A state of a database, for whoever reads its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlState {
    /// Its number. No other state of the database has it, nor will have.
    pub number: u64,
    /// How many pages of 4096 bytes there are.
    pub length: u32,
    /// When the database was made (ms since 1970): another of the same name counts its states anew. 0
    /// for a snapshot, which has one state only.
    pub made_ms: u64,
}

/// Whether a program may write a database, or has written it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqlTurn {
    /// It is the one who writes.
    Granted,
    /// Somebody else writes. Ask again.
    Taken,
    /// Somebody else has written since: begin anew.
    Stale,
}

/// Which snapshots of a database stay: the newest ones, and besides them all that are young.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How many of the newest; at least 1.
    pub last: u32,
    /// All that are at most so many days old; 0 for none.
    pub days: u32,
}

/// A database of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRow {
    /// Its name.
    pub name: String,
    /// When it was created (ms since 1970).
    pub time_ms: u64,
    /// The snapshot that was taken last.
    pub cid: Option<Cid>,
    /// The name under which it was published last.
    pub published: Option<String>,
    /// A publication waits until there are other nodes.
    pub waits: bool,
    /// Branches that are not merged yet.
    pub branches: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// A state that can be merged into a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchRow {
    /// Its name: `published` for what the head says.
    pub name: String,
    /// The snapshot.
    pub cid: Cid,
    /// The state before both it and the database, where they have one.
    pub base: Option<Cid>,
    /// When it was kept, or published (ms since 1970).
    pub time_ms: u64,
    /// The database holds it already.
    pub merged: bool,
}

/// Who wins where both sides of a merge changed the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeStrategy {
    /// Nobody: the merge is not made, and the conflicts are named.
    #[default]
    Stop,
    /// The database.
    Ours,
    /// What is merged into it.
    Theirs,
}

/// What contradicts in a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Both added a row with this key, with different values.
    Added,
    /// Both changed the same columns of the row, to different values.
    Changed,
    /// One changed the row, the other deleted it.
    Deleted,
    /// The row breaks a constraint beside a row of the other side.
    Constraint,
    /// The row refers to one that the other side deleted. No strategy decides this.
    Reference,
    /// Both changed a table that can only be taken whole.
    Table,
}

/// One conflict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SqlConflict {
    /// The table.
    pub table: String,
    /// What contradicts.
    pub kind: ConflictKind,
    /// Values of the row's primary key, or its rowid; empty for a whole table.
    pub key: Vec<SqlValue>,
}

/// What came of a merge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SqlMerged {
    /// Whether it was made. Else nothing happened.
    pub made: bool,
    /// What was merged, or was to be.
    pub cid: Option<Cid>,
    /// The first of the conflicts, as many as fit one answer.
    pub conflicts: Vec<SqlConflict>,
    /// How many there were.
    pub conflicting: u64,
}

/// A snapshot that is kept as an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRow {
    /// Its root.
    pub cid: Cid,
    /// When it was taken (ms since 1970).
    pub time_ms: u64,
    /// Bytes of the SQLite file that it is.
    pub bytes: u64,
}

/// A snapshot of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its root.
    pub cid: Cid,
    /// Bytes of the SQLite file that it is.
    pub bytes: u64,
    /// Its blocks.
    pub blocks: u64,
    /// Of these, such as were not here from an earlier one.
    pub new_blocks: u64,
    /// Where a name was given: the address that others open, `craftobj://<did>/<name>`.
    pub uri: Option<String>,
    /// The name does not say so yet: no other node is there that could be asked whether another device
    /// has moved it on. That happens by itself when there is one.
    pub waits: bool,
}
