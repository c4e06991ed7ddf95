//! SQLite's files as pages of ours: a main database is whatever implements [`Main`], everything else is
//! memory. It links no SQLite: whoever registers the VFS brings the functions of theirs ([`Host`]), so
//! that one source serves the SQLite that a node contains and the one that a program has loaded an
//! extension into.
//!
//! No journal ever reaches a disk. Where SQLite is built for it, each commit is handed over as one set of
//! pages (`SQLITE_IOCAP_BATCH_ATOMIC`); elsewhere its rollback journal is memory too. Either way what is
//! written waits in the [`Main`] until it is told to commit, all of it as one, or until the lock goes.

mod abi;
mod ffi;
mod file;
mod page;

use std::ffi::CStr;

pub use abi::{CFile, Host, IoMethods, Vfs};
pub use ffi::{Registered, register};
pub use page::{Page, PageNo};

/// Why a file can't do what SQLite asks. What exactly happened is kept by the [`Main`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The page is not here yet.
    Miss,
    /// No space left.
    Full,
    /// Not a database that is written.
    ReadOnly,
    /// Bytes that are not what they were.
    Rotten,
    /// Somebody else has it locked.
    Busy,
    /// Somebody else has committed since this reader began: it must begin anew.
    Stale,
    /// There is no such database, or it can't be reached.
    CantOpen,
    /// Anything else.
    Io,
}

/// How far a connection has locked a file. Source: <https://sqlite.org/lockingv3.html>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Not at all.
    #[default]
    None,
    /// It reads.
    Shared,
    /// It means to write.
    Reserved,
    /// It waits for others to end reading.
    Pending,
    /// It writes.
    Exclusive,
}

impl Level {
    /// SQLite's number.
    fn of(number: i32) -> Self {
        match number {
            ..=0 => Self::None,
            1 => Self::Shared,
            2 => Self::Reserved,
            3 => Self::Pending,
            4.. => Self::Exclusive,
        }
    }
}

/// A main database as one connection of SQLite has it open. SQLite never calls it twice at a time, but
/// perhaps from several threads.
pub trait Main {
    /// How many pages there are.
    fn pages(&mut self) -> Result<u32, Fault>;
    /// Reads one; zeros where it was never written.
    fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault>;
    /// Writes one, for the next commit.
    fn write(&mut self, page: PageNo, bytes: &Page) -> Result<(), Fault>;
    /// Cuts or grows, for the next commit.
    fn set_pages(&mut self, pages: u32) -> Result<(), Fault>;
    /// Makes what was written durable, as one.
    fn commit(&mut self) -> Result<(), Fault>;
    /// Whether it can't be written, ever: then nobody locks it either.
    fn is_immutable(&self) -> bool;
    /// Raises the lock to `level`, which is more than it has; or leaves it on the way there.
    fn lock(&mut self, level: Level) -> Result<(), Fault>;
    /// Lowers it to `level`. What was written and not committed is forgotten once it is no longer a
    /// writer's.
    fn unlock(&mut self, level: Level) -> Result<(), Fault>;
    /// Whether a connection means to write.
    fn is_reserved(&self) -> bool;
}

/// What SQLite wants to have opened.
pub struct Request<'a> {
    /// The name; of a URI, its path. None where it is not UTF-8.
    pub name: Option<&'a str>,
    /// Whether it is created where there is none.
    pub may_create: bool,
    /// Values of the URI's query, by name; none where the host has no function for them.
    pub parameter: &'a dyn Fn(&CStr) -> Option<&'a str>,
}

/// How main databases are opened.
pub type Open = fn(&Request<'_>) -> Result<Box<dyn Main>, Fault>;
