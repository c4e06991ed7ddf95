//! Addresses of peers that are not connected now, as others told us: bounded, oldest first out.
//!
//! Only addresses that were believable where they came from get in; the driver sees to that.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::{Multiaddr, PeerId};

use super::address::{is_circuit, with_peer, without_peer};

/// Peers remembered.
const PEERS: usize = 4096;
/// Addresses remembered for one peer.
const ADDRESSES: usize = 16;

/// Addresses by peer.
#[derive(Default)]
pub(crate) struct Book {
    peers: BTreeMap<PeerId, Entry>,
    by_use: BTreeSet<(u64, PeerId)>,
    clock: u64,
}

#[derive(Default)]
struct Entry {
    addresses: Vec<Multiaddr>,
    used: u64,
}

impl Book {
    /// Remembers an address; the newest come first.
    pub(crate) fn add(&mut self, peer: PeerId, addr: Multiaddr) {
        let addr = if is_circuit(&addr) { with_peer(addr, peer) } else { without_peer(addr) };
        if addr.is_empty() {
            return;
        }
        self.clock += 1;
        let entry = self.peers.entry(peer).or_default();
        entry.addresses.retain(|known| *known != addr);
        entry.addresses.insert(0, addr);
        entry.addresses.truncate(ADDRESSES);
        self.by_use.remove(&(entry.used, peer));
        entry.used = self.clock;
        self.by_use.insert((entry.used, peer));
        if self.peers.len() > PEERS
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.peers.remove(&oldest);
        }
    }

    /// Remembers an address that somebody else named: behind what is known already, and never in its
    /// place.
    pub(crate) fn hint(&mut self, peer: PeerId, addr: Multiaddr) {
        let addr = if is_circuit(&addr) { with_peer(addr, peer) } else { without_peer(addr) };
        match self.peers.get_mut(&peer) {
            None => self.add(peer, addr),
            Some(entry) if entry.addresses.len() < ADDRESSES => {
                if !entry.addresses.contains(&addr) && !addr.is_empty() {
                    entry.addresses.push(addr);
                }
            }
            Some(_) => {}
        }
    }

    /// An address did not answer.
    pub(crate) fn failed(&mut self, peer: PeerId, addr: &Multiaddr) {
        let addr = if is_circuit(addr) { addr.clone() } else { without_peer(addr.clone()) };
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.addresses.retain(|known| *known != addr);
            if entry.addresses.is_empty() {
                self.by_use.remove(&(entry.used, peer));
                self.peers.remove(&peer);
            }
        }
    }

    /// What is known of a peer.
    pub(crate) fn of(&self, peer: &PeerId) -> &[Multiaddr] {
        self.peers.get(peer).map_or(&[], |entry| &entry.addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_is_bounded_and_forgets_what_failed() {
        let mut book = Book::default();
        let addr =
            |port: usize| -> Multiaddr { format!("/ip4/9.9.9.9/tcp/{port}").parse().unwrap() };
        let first = PeerId::random();
        for port in 1..40 {
            book.add(first, with_peer(addr(port), first));
        }
        assert_eq!(book.of(&first).len(), ADDRESSES);
        assert_eq!(book.of(&first)[0], addr(39));
        book.failed(first, &with_peer(addr(39), first));
        assert_eq!(book.of(&first)[0], addr(38));
        for port in 100..200 {
            book.hint(first, addr(port));
        }
        assert_eq!(book.of(&first).len(), ADDRESSES);
        assert_eq!(book.of(&first)[0], addr(38), "hearsay displaces nothing");
        for _ in 0..PEERS {
            book.add(PeerId::random(), addr(1));
        }
        assert!(book.of(&first).is_empty());
        assert_eq!((book.peers.len(), book.by_use.len()), (PEERS, PEERS));
    }
}
