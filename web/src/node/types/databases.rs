//! What is known of databases.

use wasm_bindgen::{JsCast as _, JsValue};

use crate::node::{
    js::{FromJs, Misfit, records},
    sdk::text_of,
};

records! {
    /// What is open.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct OpenedDatabase {
        /// Whether it is one of this node's.
        pub(crate) writable: bool,
        /// Bytes of the SQLite file that it is.
        pub(crate) bytes: u64,
        /// When the head that led to it was signed (ms since 1970).
        pub(crate) time_ms: Option<u64>,
        /// Its owner signed two heads with one number.
        pub(crate) equivocation: bool,
        /// Whether it is encrypted.
        pub(crate) encrypted: bool,
    }

    /// Which snapshots stay: the newest ones, and all that are young.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Retention {
        /// How many of the newest.
        pub(crate) last: u64,
        /// All of so many days.
        pub(crate) days: u64,
    }

    /// A database of this node.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct DatabaseRow {
        /// Its name.
        pub(crate) name: String,
        /// When it was made (ms since 1970).
        pub(crate) time_ms: u64,
        /// The name under which it was published last.
        pub(crate) published: Option<String>,
        /// A publication waits until there are other nodes.
        pub(crate) waits: bool,
        /// Branches that are not merged yet.
        pub(crate) branches: u32,
        /// Whether it is encrypted.
        pub(crate) encrypted: bool,
    }

    /// A snapshot of a database that is kept here.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct SnapshotRow {
        /// Its root.
        pub(crate) cid: String,
        /// When it was taken (ms since 1970).
        pub(crate) time_ms: u64,
    }

    /// A state that can be merged into a database.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Branch {
        /// Its name.
        pub(crate) name: String,
        /// When it was kept, or published (ms since 1970).
        pub(crate) time_ms: u64,
        /// The database holds it already.
        pub(crate) merged: bool,
    }

    /// A contradiction of a merge.
    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct Conflict {
        /// The table.
        pub(crate) table: String,
        /// What contradicts.
        pub(crate) kind: String,
        /// The row's key.
        pub(crate) key: Vec<Cell>,
    }

    /// What came of a merge.
    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct Merged {
        /// Whether it was made.
        pub(crate) made: bool,
        /// The first of the conflicts.
        pub(crate) conflicts: Vec<Conflict>,
        /// How many there were.
        pub(crate) conflicting: u64,
    }

    /// A snapshot that was just taken.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Snapshot {
        /// Its root.
        pub(crate) cid: String,
        /// Its blocks.
        pub(crate) blocks: u64,
        /// Of these, such as were not here before.
        pub(crate) new_blocks: u64,
        /// What others open, where it has a name.
        pub(crate) uri: Option<String>,
        /// The name does not say so yet.
        pub(crate) waits: bool,
    }

    /// What a statement gave.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Table {
        /// Names of the columns.
        pub(crate) columns: Vec<String>,
        /// Rows.
        pub(crate) rows: Vec<Vec<Cell>>,
        /// Rows that it changed.
        pub(crate) changes: u64,
    }
}

/// A value of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// NULL.
    Null,
    /// A number, as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// So many bytes.
    Blob(u32),
}

impl FromJs for Cell {
    fn from_js(value: &JsValue) -> Result<Self, Misfit> {
        if value.is_null() {
            return Ok(Self::Null);
        }
        if let Some(bytes) = value.dyn_ref::<js_sys::Uint8Array>() {
            return Ok(Self::Blob(bytes.length()));
        }
        let text = value.as_string().map(Self::Text);
        Ok(text.unwrap_or_else(|| Self::Number(text_of(value))))
    }
}
