//! CraftSQL: SQLite on content-addressed pages.

pub mod page;
pub mod table;
pub mod log;
