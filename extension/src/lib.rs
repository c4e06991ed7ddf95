//! `craftsql`: an extension that a program with SQLite loads, and then opens databases of the node of its
//! data folder: `file:craftobj://<did or me>/<name>?vfs=craft`.
//!
//! It is a client of the node, over its local socket. It stores nothing and knows no database's file: it
//! reads pages of a state that the node keeps for it, and commits changed pages if that state still is the
//! current one. So programs, threads and `craftec sql` may use one database together, and none loses what
//! another has written. It contains no SQLite: it uses the one that has loaded it.

mod address;
mod client;
mod ffi;
mod pages;
mod remote;
mod said;
mod start;
