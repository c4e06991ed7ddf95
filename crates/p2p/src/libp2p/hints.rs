//! What the layers above tell the driver without wanting an answer: where a peer may be dialed, whose
//! links to keep, that the machine woke up, whom to have nothing to do with.

use std::{collections::BTreeSet, time::Duration};

use libp2p::{Multiaddr, PeerId, swarm::NetworkBehaviour};
use web_time::{Instant, SystemTime};

use super::{
    address::{hinted, parse},
    driver::Driver,
};
use crate::Link;

/// Peers whose links are kept: far more than a mesh needs, and few enough to keep for ever.
const KEPT: usize = 64;
/// How far the wall clock may run ahead between two ticks before the machine must have slept. A busy
/// one delays a tick by seconds.
const SLEPT: Duration = Duration::from_secs(10);

/// A hint.
pub(crate) enum Hint {
    /// As `teller` says, a peer may be dialed there.
    Learn { teller: PeerId, peer: PeerId, addresses: Vec<String> },
    /// Whether a peer's direct links stay open without streams.
    Keep(PeerId, bool),
    /// Try now what waits to be tried again.
    Resume,
    /// End all connections to a peer, and have none for a while.
    Disconnect(PeerId, Duration),
}

/// What the driver remembers of hints.
pub(crate) struct Hinted {
    kept: BTreeSet<PeerId>,
    ticked: SystemTime,
}

impl Default for Hinted {
    fn default() -> Self {
        Self { kept: BTreeSet::new(), ticked: SystemTime::now() }
    }
}

impl Hinted {
    /// Whether the machine slept since this was last asked.
    fn slept(&mut self, now: SystemTime) -> bool {
        let before = std::mem::replace(&mut self.ticked, now);
        now.duration_since(before).is_ok_and(|passed| passed >= SLEPT)
    }
}

impl<X: NetworkBehaviour> Driver<X>
where
    X::ToSwarm: std::fmt::Debug,
{
    pub(super) fn hint(&mut self, hint: Hint) {
        match hint {
            Hint::Learn { teller, peer, addresses } => self.learn(teller, peer, &addresses),
            Hint::Keep(peer, keep) => self.keep(peer, keep),
            Hint::Resume => self.resume_relays(),
            Hint::Disconnect(peer, ban) => self.disconnect(peer, ban),
        }
    }

    fn learn(&mut self, teller: PeerId, peer: PeerId, addresses: &[String]) {
        let over = self.peers.scope(&teller);
        let parsed = addresses.iter().filter_map(|addr| parse(addr).ok());
        for addr in parsed.filter(|addr: &Multiaddr| hinted(addr, &peer, over)) {
            self.book.hint(peer, addr);
        }
    }

    fn keep(&mut self, peer: PeerId, keep: bool) {
        let changed = match keep {
            true => self.hinted.kept.len() < KEPT && self.hinted.kept.insert(peer),
            false => self.hinted.kept.remove(&peer),
        };
        // A relay's links are kept anyway.
        if !changed || self.is_relay(&peer) {
            return;
        }
        let direct = self.peers.connections(&peer).iter().filter(|c| c.link != Link::Relayed);
        for id in direct.map(|c| c.id).collect::<Vec<_>>() {
            self.swarm.behaviour_mut().streams.keep(id, keep);
        }
    }

    /// A peer has a new connection: kept, if it is one of those.
    pub(super) fn keep_new(&mut self, peer: &PeerId, id: libp2p::swarm::ConnectionId, link: Link) {
        if link != Link::Relayed && self.hinted.kept.contains(peer) {
            self.swarm.behaviour_mut().streams.keep(id, true);
        }
    }

    fn disconnect(&mut self, peer: PeerId, ban: Duration) {
        let behaviour = self.swarm.behaviour_mut();
        behaviour.bans.ban(peer, ban, Instant::now());
        if !ban.is_zero() {
            behaviour.kad.remove_peer(&peer);
        }
        // Gone in the meantime is as good.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    /// Notices that the machine slept.
    pub(super) fn tend_sleep(&mut self) {
        if self.hinted.slept(SystemTime::now()) {
            tracing::debug!("the machine slept; relays are dialed at once");
            self.resume_relays();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_is_a_sleep_and_a_busy_second_is_none() {
        let mut hinted = Hinted::default();
        let mut now = SystemTime::now();
        for (passed, slept) in [(1, false), (9, false), (600, true), (1, false)] {
            now += Duration::from_secs(passed);
            assert_eq!(hinted.slept(now), slept, "{passed}");
        }
        assert!(!hinted.slept(now - Duration::from_secs(3600)), "set back");
    }
}
