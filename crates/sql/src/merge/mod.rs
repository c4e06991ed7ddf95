//! Merging two states of a database that have one before them: what one of them changed since is made
//! in the other, row by row, with SQLite's sessions.
//!
//! Nothing is written where it counts: the merge runs in an [`Overlay`](crate::vfs::Overlay) of one
//! state, and gives the pages that it changed. Two changes of different columns of one row both count;
//! what contradicts is named, each time, and then decided as the caller said before.
//!
//! What is a row follows SQLite: rows are told apart by their primary key, or by their rowid where there
//! is none. Rows of tables without any key that both sides added are both kept, under new rowids; where
//! there is no state before both, equal ones count as the same.
//! What has no rows of its own is merged whole: a table of a module like R*Tree, and a table with NULL
//! in its primary key, is taken from the side that changed it, and named where both did. Full-text
//! indexes are built anew from their merged content.

mod ffi;
mod run;
mod tables;

use rusqlite::types::Value;

use crate::vfs::Written;

pub(crate) use run::{Sides, run};

/// Conflicts that are named one by one; what is beyond is counted.
const NAMED: usize = 1000;

/// Who wins where both sides changed the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Nobody: the merge is not made, and the conflicts are named.
    #[default]
    Stop,
    /// The database as it is here.
    Ours,
    /// What is merged into it.
    Theirs,
}

/// What contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// Both added a row with this key, with different values.
    Added,
    /// Both changed the same columns of the row, to different values.
    Changed,
    /// One changed the row, the other deleted it.
    Deleted,
    /// The row breaks a constraint beside a row of the other side: an equal value where it must be the
    /// only one, for instance.
    Constraint,
    /// The row refers to one that the other side deleted. No strategy decides this.
    Reference,
    /// Both changed a table that can only be taken whole.
    Table,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The table.
    pub table: String,
    /// What contradicts.
    pub kind: ConflictKind,
    /// Values of the row's primary key, or its rowid; empty for a whole table.
    pub key: Vec<Value>,
}

/// What came of a merge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// Whether it was made.
    pub made: bool,
    /// The first of the conflicts.
    pub conflicts: Vec<Conflict>,
    /// How many there were.
    pub conflicting: u64,
}

impl Merged {
    fn note(&mut self, table: &str, kind: ConflictKind, key: Vec<Value>) {
        self.conflicting += 1;
        if self.conflicts.len() < NAMED {
            self.conflicts.push(Conflict { table: table.to_owned(), kind, key });
        }
    }
}

/// Pages that a merge changed in the state on which it was made, and how many there are then.
pub(crate) struct Made {
    pub(crate) written: Written,
    pub(crate) pages: u32,
}
