//! Answering others: some of whom we are connected to, chosen by chance, not too often.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use bytes::Bytes;
use craftec_core::PeerId;
use futures::FutureExt;

use super::{
    Inner,
    mesh::ASK_AGAIN,
    wire::{ADDRESS_BYTES, ADDRESSES, Answer, Ask, PEERS, PROTOCOL, Told},
};
use crate::{Handler, PeerInfo, Role};

/// How long a peer must wait before it is answered again; somewhat less than it waits by itself.
const AGAIN: Duration = Duration::from_secs(20);
/// Peers whose last question is remembered; whoever asked longest ago makes room.
const ASKERS: usize = 1024;

/// Who asked when.
#[derive(Debug, Default)]
pub(super) struct Served(BTreeMap<PeerId, Duration>);

impl Served {
    /// Whether `peer` may be answered now.
    fn admits(&mut self, peer: PeerId, now: Duration) -> bool {
        if self.0.get(&peer).is_some_and(|at| now.saturating_sub(*at) < AGAIN) {
            return false;
        }
        if self.0.len() >= ASKERS && !self.0.contains_key(&peer) {
            let oldest = self.0.iter().min_by_key(|(_, at)| **at).map(|(peer, _)| *peer);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(peer, now);
        true
    }
}

/// Serves from now on.
pub(super) fn start(inner: &Rc<Inner>) {
    let weak = Rc::downgrade(inner);
    let handler: Handler = Rc::new(move |peer, _, body| {
        let answer = weak.upgrade().map(|inner| answer(&inner, peer, &body));
        async move { answer.unwrap_or_default() }.boxed_local()
    });
    inner.rpc.serve(PROTOCOL, handler);
}

fn answer(inner: &Inner, asker: PeerId, body: &[u8]) -> Bytes {
    let wait_ms = ASK_AGAIN.as_millis() as u32;
    let mut answer = Answer { peers: Vec::new(), wait_ms };
    match Ask::decode(body) {
        Ok(ask) if inner.served.borrow_mut().admits(asker, inner.clock.monotonic()) => {
            answer.peers = some(inner, asker, usize::from(ask.count).min(PEERS));
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(peer = %asker, %error, "not a question of peer exchange"),
    }
    // Held to the limits by `some`; an answer that is not would be a bug, and is left out.
    answer.encode().map(Bytes::from).unwrap_or_default()
}

/// Whom to tell of: connected, of our protocols, not the asker. Of the asker's own kind first, which
/// is what it looks for, and by chance among those.
fn some(inner: &Inner, asker: PeerId, count: usize) -> Vec<Told> {
    let connected = inner.network().peers();
    let role = connected.iter().find(|c| c.peer == asker).map(|c| c.role);
    let useful = |c: &PeerInfo| c.peer != asker && c.role != Role::Foreign;
    let mut keyed: Vec<(bool, u64, PeerId)> = connected
        .iter()
        .filter(|c| useful(c))
        .map(|c| (Some(c.role) != role, inner.entropy.next_u64(), c.peer))
        .collect();
    keyed.sort_unstable();
    keyed.truncate(count);
    keyed.into_iter().map(|(_, _, id)| Told { id, addrs: addresses(inner, id) }).collect()
}

fn addresses(inner: &Inner, peer: PeerId) -> Vec<String> {
    let mut addrs = inner.network().addresses_of(peer);
    addrs.retain(|addr| addr.len() <= ADDRESS_BYTES);
    addrs.truncate(ADDRESSES);
    addrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_and_the_memory_is_bounded() {
        let mut served = Served::default();
        let peer = |n: u32| {
            let mut key = [1; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            PeerId::from_public_key(key)
        };
        let now = Duration::from_secs(100);
        assert!(served.admits(peer(1), now));
        assert!(!served.admits(peer(1), now + AGAIN / 2));
        assert!(served.admits(peer(1), now + AGAIN));
        for n in 0..5000 {
            assert!(served.admits(peer(n + 10), now + AGAIN));
        }
        assert!(served.0.len() <= ASKERS);
    }
}
