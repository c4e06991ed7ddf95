//! Whether others can dial us: what AutoNAT found out, what follows for what we announce, and what
//! may be asked of us in turn.
//!
//! An address counts as ours for others once somebody reached us there, or while nobody could be
//! asked. What was tried in vain is announced no more, until it is seen to work.

use std::{collections::BTreeMap, time::Duration};

use libp2p::{Multiaddr, kad, swarm::NetworkBehaviour};
use web_time::Instant;

use super::{
    address::{ADDRESS_BYTES, Scope, is_circuit, scope, with_peer, without_peer},
    driver::Driver,
};
use crate::{Reach, Reachability};

/// Tested addresses remembered: all that relays of one node could have seen.
const TESTED: usize = 64;
/// How long a node with a public address waits for a verdict before it asks for a reservation.
const VERDICT: Duration = Duration::from_secs(15);

/// What only one target runs, and what the driver wants to know of it.
pub(crate) trait Extra: NetworkBehaviour {
    /// We may be reachable at `addr`: worth a test, and worth naming to who punches a hole.
    fn candidate(&mut self, _addr: &Multiaddr) {}

    /// An address of ours that was tested, if that is what the event says, and whether it was
    /// reached.
    fn tested(_: &Self::ToSwarm) -> Option<(&Multiaddr, bool)> {
        None
    }
}

/// How the trials of one address ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    /// Somebody reached us there.
    Reached,
    /// One trial failed: enough to ask for circuits, not enough to announce it no more.
    Doubtful,
    /// A second one failed too.
    Vain,
}

/// Addresses of ours that others tried.
#[derive(Debug, Default)]
pub(crate) struct Tested(BTreeMap<Multiaddr, Trial>);

impl Tested {
    /// Notes one outcome; whether it is news.
    pub(crate) fn note(&mut self, addr: &Multiaddr, reached: bool) -> bool {
        let addr = without_peer(addr.clone());
        if is_circuit(&addr) {
            return false;
        }
        let before = self.0.get(&addr).copied();
        let now = match (reached, before) {
            (true, _) => Trial::Reached,
            (false, Some(Trial::Doubtful | Trial::Vain)) => Trial::Vain,
            (false, _) => Trial::Doubtful,
        };
        if before.is_none() && self.0.len() >= TESTED {
            let vain = self.0.iter().find(|(_, trial)| **trial != Trial::Reached);
            let Some(vain) = vain.map(|(addr, _)| addr.clone()) else { return false };
            self.0.remove(&vain);
        }
        self.0.insert(addr, now);
        before != Some(now)
    }

    /// The verdict. Addresses of the widest scope count: being reached from our own network says
    /// nothing about the world, once the world has tried.
    pub(crate) fn state(&self) -> Reachability {
        let Some(widest) = self.0.keys().map(scope).max() else { return Reachability::Unknown };
        let mut of_widest = self.0.iter().filter(|(addr, _)| scope(addr) == widest);
        match of_widest.any(|(_, trial)| *trial == Trial::Reached) {
            true => Reachability::Public,
            false => Reachability::Nat,
        }
    }

    /// Whether `addr` was tried in vain.
    pub(crate) fn is_vain(&self, addr: &Multiaddr) -> bool {
        self.0.get(addr) == Some(&Trial::Vain)
    }

    fn confirmed(&self) -> impl Iterator<Item = &Multiaddr> {
        self.0.iter().filter(|(_, trial)| **trial == Trial::Reached).map(|(addr, _)| addr)
    }
}

/// Where a peer's view of us may lead to one of our listeners: the address that it saw, and the same
/// with the port that we listen on, which is what a forwarded port looks like.
fn candidates<'a>(
    observed: &Multiaddr,
    listening: impl Iterator<Item = &'a Multiaddr>,
) -> Vec<Multiaddr> {
    let observed = without_peer(observed.clone());
    let mut found = vec![observed.clone()];
    let Some(ip) = observed.iter().next() else { return Vec::new() };
    for addr in listening.filter(|addr| shape(addr) == shape(&observed)) {
        found.extend(addr.replace(0, |_| Some(ip.clone())));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The protocols of an address, without their values.
fn shape(addr: &Multiaddr) -> Vec<&'static str> {
    addr.protocol_stack().collect()
}

impl<X: NetworkBehaviour> Driver<X>
where
    X::ToSwarm: std::fmt::Debug,
{
    /// A peer that we dialed directly saw us at `observed`.
    pub(super) fn observed(&mut self, observed: &Multiaddr)
    where
        X: Extra,
    {
        if is_circuit(observed) || observed.len() > ADDRESS_BYTES {
            return;
        }
        for addr in candidates(observed, self.listening.iter()) {
            self.swarm.behaviour_mut().extra.candidate(&addr);
        }
    }

    /// Somebody tried to reach us at `addr`.
    pub(super) fn tested(&mut self, addr: &Multiaddr, reached: bool) {
        let before = self.tested.state();
        if !self.tested.note(addr, reached) {
            return;
        }
        let state = self.tested.state();
        tracing::debug!(%addr, reached, ?state, "an address of ours was tried from outside");
        let local = *self.swarm.local_peer_id();
        let confirmed = self.tested.confirmed();
        let confirmed = confirmed.map(|addr| with_peer(addr.clone(), local).to_string()).collect();
        self.shared.set_reach(Reach { state, confirmed });
        self.advertise();
        if state != before {
            // Who cannot be dialed is no use in others' routing tables.
            let mode = match state {
                Reachability::Nat => kad::Mode::Client,
                _ if self.server => kad::Mode::Server,
                _ => kad::Mode::Client,
            };
            self.swarm.behaviour_mut().kad.set_mode(Some(mode));
        }
        self.tell_addresses();
    }

    /// When a reservation is to be asked for at a relay that is connected now.
    pub(super) fn reserve_from(&self) -> Instant {
        let hopeful = self.tested.state() == Reachability::Unknown
            && self.listening.iter().any(|addr| scope(addr) == Scope::Public);
        Instant::now() + if hopeful { VERDICT } else { Duration::ZERO }
    }

    /// Whether others need a circuit to reach us, as far as we know.
    pub(super) fn needs_circuits(&self) -> bool {
        self.reserve && self.tested.state() != Reachability::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_widest_scope_decides_and_news_is_told_apart() {
        let mut tested = Tested::default();
        assert_eq!(tested.state(), Reachability::Unknown);
        assert!(tested.note(&addr("/ip4/192.168.1.2/tcp/1"), true));
        assert!(!tested.note(&addr("/ip4/192.168.1.2/tcp/1"), true));
        assert_eq!(
            tested.state(),
            Reachability::Public,
            "in its own network, which is all there is"
        );
        assert!(tested.note(&addr("/ip4/9.9.9.9/tcp/1"), false));
        assert_eq!(tested.state(), Reachability::Nat);
        assert!(!tested.is_vain(&addr("/ip4/9.9.9.9/tcp/1")), "once may be chance");
        let again = format!("/ip4/9.9.9.9/tcp/1/p2p/{}", libp2p::PeerId::random());
        assert!(tested.note(&addr(&again), false));
        assert!(tested.is_vain(&addr("/ip4/9.9.9.9/tcp/1")));
        assert!(tested.note(&addr("/ip4/9.9.9.9/udp/1/quic-v1"), true));
        assert_eq!(tested.state(), Reachability::Public);
        assert_eq!(tested.confirmed().count(), 2);
    }

    #[test]
    fn a_view_of_us_gives_the_port_seen_and_the_port_listened_on() {
        let listening = [
            addr("/ip4/10.0.0.2/udp/4001/quic-v1"),
            addr("/ip4/10.0.0.2/tcp/4001"),
            addr("/ip6/fe80::1/udp/4001/quic-v1"),
            addr("/ip4/127.0.0.1/udp/4001/quic-v1"),
        ];
        let seen = addr("/ip4/9.9.9.9/udp/61000/quic-v1");
        let found = candidates(&seen, listening.iter());
        assert_eq!(found, [addr("/ip4/9.9.9.9/udp/4001/quic-v1"), seen]);
    }

    #[test]
    fn circuits_prove_nothing_and_the_memory_is_bounded() {
        let mut tested = Tested::default();
        let relay = libp2p::PeerId::random();
        assert!(!tested.note(&addr(&format!("/ip4/9.9.9.9/tcp/1/p2p/{relay}/p2p-circuit")), true));
        for port in 1..1000 {
            tested.note(&addr(&format!("/ip4/9.9.9.9/tcp/{port}")), port == 1);
        }
        assert_eq!(tested.0.len(), TESTED);
        assert_eq!(tested.state(), Reachability::Public, "what was confirmed is not pushed out");
    }
}
