//! Idle request streams, kept for the next request to the same peer.
//!
//! A stream that was opened before the best link to its peer changed is never handed out again: the
//! next request opens a new one, over the better link.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use craftec_core::PeerId;

use crate::{ByteStream, Link, Protocol};

/// Streams kept in total; beyond it the pool is emptied. Idle streams are a convenience only.
const STREAMS: usize = 512;

/// A stream and the state of its peer's links when it was opened.
pub(crate) struct Pooled {
    pub(crate) stream: ByteStream,
    epoch: u64,
}

#[derive(Default)]
pub(crate) struct Pool {
    idle: BTreeMap<(PeerId, Protocol), VecDeque<(Duration, Pooled)>>,
    links: BTreeMap<PeerId, (Option<Link>, u64)>,
    /// Whether a task that calls [`Pool::sweep`] is running.
    pub(crate) swept: bool,
}

impl Pool {
    /// A stream used recently, if one is idle.
    pub(crate) fn take(&mut self, peer: PeerId, protocol: Protocol) -> Option<Pooled> {
        let streams = self.idle.get_mut(&(peer, protocol))?;
        let (_, pooled) = streams.pop_back()?;
        if streams.is_empty() {
            self.idle.remove(&(peer, protocol));
        }
        Some(pooled)
    }

    /// Marks a stream that was just opened.
    pub(crate) fn opened(&self, peer: PeerId, stream: ByteStream) -> Pooled {
        Pooled { stream, epoch: self.epoch(peer) }
    }

    /// Keeps `pooled` for later, at most `limit` of its kind.
    pub(crate) fn keep(
        &mut self,
        (peer, protocol): (PeerId, Protocol),
        pooled: Pooled,
        now: Duration,
        limit: usize,
    ) {
        if pooled.epoch != self.epoch(peer) {
            return;
        }
        if self.idle.values().map(VecDeque::len).sum::<usize>() >= STREAMS {
            self.idle.clear();
        }
        let streams = self.idle.entry((peer, protocol)).or_default();
        streams.push_back((now, pooled));
        if streams.len() > limit {
            streams.pop_front();
        }
    }

    /// Drops what has been idle since before `oldest`; whether anything is left.
    pub(crate) fn sweep(&mut self, oldest: Duration) -> bool {
        self.idle.retain(|_, streams| {
            streams.retain(|(since, _)| *since >= oldest);
            !streams.is_empty()
        });
        !self.idle.is_empty()
    }

    /// Notes the best link to a peer (`None`: not connected). A change retires its streams.
    pub(crate) fn linked(&mut self, peer: PeerId, link: Option<Link>) {
        let (known, epoch) = self.links.entry(peer).or_default();
        if *known == link {
            return;
        }
        // From nothing to a first link is no change: the first stream may be older than the news.
        let retire = known.is_some();
        *known = link;
        if retire {
            *epoch += 1;
            self.idle.retain(|(of, _), _| *of != peer);
        }
        if self.links.len() > STREAMS * 8 {
            self.links.retain(|_, (link, _)| link.is_some());
        }
    }

    fn epoch(&self, peer: PeerId) -> u64 {
        self.links.get(&peer).map_or(0, |(_, epoch)| *epoch)
    }
}
