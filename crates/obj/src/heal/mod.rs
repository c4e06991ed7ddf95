//! Healing: what keeps an object alive while its holders come and go. Pure code over values: time,
//! what was seen and what is random are arguments. It never asks a clock, a disk or a peer; the node
//! and the simulator call the same functions.
//!
//! - [`history`]: present, absent with the storage intact, or given up as lost, learned per holder;
//! - [`forecast`]: what the exposure of its holders means for an object;
//! - [`aim`]: the levels at which an object is kept;
//! - [`policy`]: what is done now, from whom, and what it costs;
//! - [`turn`]: whose turn it is to look; [`budget`]: what may be spent on it.
//!
//! # Which term costs what
//!
//! Traffic in units of the object's size, for one mean lifetime of a holder (MTTF). `s` is what is
//! stored, whole copies included; `c` the coded part of it; `d` the helpers of a regenerating code.
//!
//! | scheme | traffic | at best, within 2.5 x space |
//! |---|---|---|
//! | any: what leaves must be written anew | ≥ s | |
//! | replicas | s | 3, with 3 |
//! | lazy: decode and re-encode, λ to ν | (ν − λ + 1) / ln(ν/λ), of it 1 read | 2.73, no margin (λ = 1) |
//! | minimum-storage regenerating, at once | d²/(d − 1), d in units of k | 4, at d = 2 |
//! | minimum-bandwidth regenerating, at once | s = 2d²/(2d − 1) | 2, without any margin (d = 1) |
//! | **one whole copy beside coded pieces** | s = 1 + c | 2, without any margin (c = 1) |
//!
//! A whole copy makes a coded piece for its own bytes and no read, so that traffic reaches the lower
//! bound `s`, whatever the batch: losses are mended one by one and no redundancy is spent on waiting.
//! Its price is to be itself replaced once per lifetime: the 1 in 1 + c, of which the read of k pieces
//! is all. Minimum-bandwidth codes do the same with more margin for equal `s`, but only with nearly
//! all other holders as helpers and some k² sub-pieces per object, which tabs have neither the presence
//! nor the processor for. What is left is the margin: c − 1 must outlast the time for which a departure
//! is not seen. That is where absences with intact storage cost traffic, and nowhere else.
//!
//! A fresh object has no whole copy: its 2.5 × coded pieces decay without any traffic to the level at
//! which one is wanted; the first repairer decodes, and keeps what it decoded.

pub mod aim;
pub mod budget;
pub mod forecast;
mod gaps;
pub mod history;
pub mod policy;
pub mod turn;
