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
//! Traffic in units of the object's size, for one mean lifetime of a holder (MTTF): divide by its
//! months for a monthly figure. `s` is what is stored, whole copies included.
//!
//! | scheme | traffic | least, within 2.5 x space |
//! |---|---|---|
//! | any: what leaves is written anew | at least s | |
//! | replicas | s | 3 of them: 3 |
//! | lazy: decode and re-encode from λ up to ν | (ν − λ + 1) / ln(ν/λ) | 2.73, at λ = 1 |
//! | minimum-storage regenerating, at once, d·k helpers | d²/(d − 1) | 4, at d = 2 |
//! | minimum-bandwidth regenerating, at once | s = 2d²/(2d − 1) | 2, at d = 1 |
//! | the same, cooperative and in batches | s | 2, without margin |
//! | **one whole copy beside c coded pieces per k** | s = 1 + c | 2, at c = 1 |
//!
//! In the lazy scheme the 1 is the read of k pieces before each batch. It shrinks if the reader has
//! some of them already, and is gone if it has all: a whole copy makes a coded piece for its own bytes.
//! Then traffic is at the lower bound `s` whatever the batch; losses are mended one by one and no
//! redundancy is spent on waiting. The price is to replace the whole copy once per lifetime, by one
//! read: that is the 1 in 1 + c, of traffic and of space. More whole copies would cost one each.
//!
//! Minimum-bandwidth codes have the same bound and more margin for equal `s`, but need nearly all
//! other holders as helpers and some k² sub-pieces per object: tabs have neither the presence nor the
//! processor for it. Minimum-storage codes save reads only where losses are mended one by one without
//! a whole copy, and then cost more than batches do.
//!
//! What is left is the margin c − 1. It must outlast the time for which a departure is not seen, and
//! that is where absences with intact storage cost: by themselves they cost nothing (a piece made in
//! vain replaces the next one lost), but they make departures harder to see.
//!
//! The floor is for staying alive. To be read *at once*, k pieces or the whole copy must be here: of n
//! pieces whose holders are here with probability u, n·u > k are needed, whatever the scheme.
//!
//! A fresh object has no whole copy: its 2.5 × coded pieces decay without traffic to the level at
//! which one is wanted; the first repairer decodes, and keeps what it decoded.

pub mod aim;
pub mod budget;
pub mod forecast;
mod gaps;
pub mod history;
pub mod policy;
pub mod turn;
