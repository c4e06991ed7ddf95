//! One module a screen. A screen draws the node's state and calls it; it keeps only what the
//! reader typed.

pub(crate) mod databases;
pub(crate) mod files;
pub(crate) mod home;
pub(crate) mod lost;
pub(crate) mod network;
pub(crate) mod open;
pub(crate) mod publish;
pub(crate) mod settings;
pub(crate) mod site;
pub(crate) mod sites;
