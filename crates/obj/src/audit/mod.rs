//! Audits: whether holders still have what they promised (`/craftec/audit/1`).
//!
//! Everything stored is a block under the BLAKE3 hash of its bytes, and that hash is the root of a tree
//! over chunks of 1 KiB. So an **auditor** that knows only CIDs names random chunks of them, and a
//! **holder** answers with each chunk and its way up to the CID ([`proof`]). Nothing more has to be
//! signed than the promise for the object's root, since the CIDs below it are in its blocks.
//!
//! - [`bound`]: how many samples show what, and what they cost;
//! - [`draw`]: which chunks; [`schedule`]: how many, how often;
//! - [`look`]: one look at one holder; [`standing`]: what its answers make of it; [`timing`]: whether
//!   they came late. These are pure;
//! - [`Auditor`] asks, [`AuditServer`] answers.
//!
//! # What an audit shows, and what it does not
//!
//! | a holder that | is | by |
//! |---|---|---|
//! | deletes 1% or more, of any kind | evicted within 24 hours with 99.9% | [`schedule`] |
//! | keeps only answers it gave before | evicted within hours: no chunk is asked for twice | [`bound`] |
//! | hangs up on what it lacks | evicted some hours later than one that says so | [`standing`] |
//! | lets one block rot | suspect, and forgiven after a month | [`standing`] |
//! | deletes 0.01% | found in some months, when it matters little | [`bound`] |
//! | fetches from a partner what it is asked | **not caught**: late, if the partner is far | [`timing`] |
//! | floods others with challenges | held to a mebibyte of hashing a second | [`AuditServer`] |
//!
//! A holder and its partner have *one* copy between them, though both prove it. No audit can tell, since
//! what proves possession is being able to answer. It is placement that must not count such copies
//! twice: by operator and by prefix of addresses, and by giving each holder a coded piece of its own, of
//! which two can't be answered from one. When the partner goes, both fail in the same look.
//!
//! What is known of holders is in memory. An auditor that starts anew knows nobody, and finds within a
//! day again who lacks a hundredth.

mod auditor;
pub mod bound;
pub mod draw;
pub mod look;
pub mod proof;
pub mod schedule;
mod serve;
pub mod standing;
pub mod timing;
pub mod wire;

pub use auditor::Auditor;
pub use draw::Promised;
pub use look::Verdict;
pub use serve::{AuditServer, Served};
pub use standing::{Failed, Fault, Standing};
