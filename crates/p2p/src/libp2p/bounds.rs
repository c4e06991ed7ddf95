//! What the driver allows strangers: the operator's limits, and how fast records are offered.
//!
//! The store bounds what is kept; this bounds what has to be looked at. Nothing is queued here: what
//! comes too fast is dropped, and its author offers it again.

use std::{fmt::Debug, sync::Arc, time::Duration};

use libp2p::{PeerId, swarm::NetworkBehaviour};
use web_time::Instant;

use super::{behaviour::connections, driver::Driver};
use crate::{
    Limits, Prefix,
    counters::Counters,
    limits::RATED,
    rate::{Buckets, Rate},
};

/// Records that do not verify, or come too fast, that a peer may send in a second and at once. Some
/// are honest: a clock that is wrong, a kind that we do not know yet.
const WRONG: Rate = Rate { count: 10, per: Duration::from_secs(1), burst: 200 };

/// Limits in force, and what they count.
pub(super) struct Bounds {
    limits: Limits,
    counters: Arc<Counters>,
    by_peer: Buckets<PeerId>,
    by_prefix: Buckets<Prefix>,
    wrong: Buckets<PeerId>,
    started: Instant,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::new(&Limits::default(), Arc::default())
    }
}

impl Bounds {
    fn new(limits: &Limits, counters: Arc<Counters>) -> Self {
        let (peer, prefix) = limits.record_rates();
        Self {
            limits: limits.clone(),
            counters,
            by_peer: Buckets::new(peer, RATED),
            by_prefix: Buckets::new(prefix, RATED),
            wrong: Buckets::new(WRONG, RATED),
            started: Instant::now(),
        }
    }
}

impl<X: NetworkBehaviour> Driver<X>
where
    X::ToSwarm: Debug,
{
    /// Other limits than the defaults, and where to count.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "tabs serve no strangers"))]
    pub(crate) fn limit(&mut self, limits: &Limits, counters: &Arc<Counters>) {
        let behaviour = self.swarm.behaviour_mut();
        *behaviour.limits.limits_mut() = connections(limits);
        behaviour.kad.store_mut().limit(limits.clone(), counters.clone());
        self.bounds = Bounds::new(limits, counters.clone());
    }

    /// Whether a peer may make us check another record now.
    pub(super) fn may_offer(&mut self, peer: PeerId) -> bool {
        let bounds = &mut self.bounds;
        let prefix = self.peers.prefix(&peer).filter(|prefix| bounds.limits.counts(*prefix));
        let now = bounds.started.elapsed();
        let may = bounds.by_peer.try_take(peer, 1, now)
            && prefix.is_none_or(|prefix| bounds.by_prefix.try_take(prefix, 1, now));
        if !may {
            bounds.counters.records_refused.up();
            self.was_wrong(peer);
        }
        may
    }

    /// A peer sent a record for nothing; whoever does so all the time is shown out, since even
    /// looking at what it sends costs more than it costs to send.
    pub(super) fn was_wrong(&mut self, peer: PeerId) {
        let now = self.bounds.started.elapsed();
        if !self.bounds.wrong.try_take(peer, 1, now) {
            tracing::info!(%peer, "a flood of records: its connection is closed");
            // It may have gone by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }
}
