//! Our VFS as the default one of a program that brings its own SQLite and names files by their paths:
//! `testfixture` and `speedtest1`. One path is one log; what else the program does with the file (delete
//! it, copy it) it does to the log.
//!
//! The program is compiled with `-DSQLITE_EXTRA_INIT=craftec_sqltests_init`, and behaves like stock
//! SQLite unless `CRAFTEC_VFS` is `craft`: one binary for both sides of a comparison.

mod ffi;
mod files;
