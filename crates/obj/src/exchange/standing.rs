//! How peers have behaved: who is not asked because it sent wrong bytes, and who asks too often.
//! Forgetful on purpose, and bounded: it never holds more than its limits say.

use std::{collections::BTreeMap, time::Duration};

use craftec_core::PeerId;

/// How long a peer that sent wrong bytes is not asked, and not connected.
pub(super) const BAN: Duration = Duration::from_secs(10 * 60);
/// Banned peers remembered; the ban that ends first makes room.
const BANS: usize = 1024;
/// Requests per second that a peer may send us in the long run: a session at full speed over
/// small blocks sends some hundred.
const REQUESTS_PER_SECOND: f64 = 1000.0;
/// Requests that it may send at once.
const BURST: f64 = 2000.0;
/// Peers whose requests are counted; the one that was quiet longest makes room.
const COUNTED: usize = 4096;

/// Bans and request counters.
#[derive(Debug, Default)]
pub(super) struct Standing {
    bans: BTreeMap<PeerId, Duration>,
    asked: BTreeMap<PeerId, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Standing {
    /// Bans `peer` from now on.
    pub(super) fn ban(&mut self, peer: PeerId, now: Duration) {
        self.bans.retain(|_, until| *until > now);
        if self.bans.len() >= BANS {
            let first = self.bans.iter().min_by_key(|(_, until)| **until).map(|(id, _)| *id);
            first.map(|id| self.bans.remove(&id));
        }
        self.bans.insert(peer, now + BAN);
    }

    /// Whether `peer` is banned.
    pub(super) fn is_banned(&self, peer: &PeerId, now: Duration) -> bool {
        self.bans.get(peer).is_some_and(|until| *until > now)
    }

    /// Counts a request of `peer`; how long it should wait if it asks too often.
    pub(super) fn asked(&mut self, peer: PeerId, now: Duration) -> Result<(), Duration> {
        if !self.asked.contains_key(&peer) && self.asked.len() >= COUNTED {
            let quiet = self.asked.iter().min_by_key(|(_, bucket)| bucket.at).map(|(id, _)| *id);
            quiet.map(|id| self.asked.remove(&id));
        }
        let bucket = self.asked.entry(peer).or_insert(Bucket { tokens: BURST, at: now });
        let gained = now.saturating_sub(bucket.at).as_secs_f64() * REQUESTS_PER_SECOND;
        *bucket = Bucket { tokens: (bucket.tokens + gained).min(BURST), at: now };
        if bucket.tokens < 1.0 {
            return Err(Duration::from_millis(100));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// Forgets the counter of a peer that left. Its ban stays.
    pub(super) fn left(&mut self, peer: &PeerId) {
        // A peer that could reset its counter by reconnecting would have none.
        if self.asked.get(peer).is_some_and(|bucket| bucket.tokens >= BURST) {
            self.asked.remove(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> PeerId {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        PeerId::from_public_key(key)
    }

    #[test]
    fn bans_end_and_are_bounded() {
        let mut standing = Standing::default();
        for n in 0..3000 {
            standing.ban(peer(n), Duration::from_millis(n.into()));
        }
        assert_eq!(standing.bans.len(), BANS);
        let now = Duration::from_secs(3);
        assert!(standing.is_banned(&peer(2999), now) && !standing.is_banned(&peer(0), now));
        assert!(!standing.is_banned(&peer(2999), now + BAN));
    }

    #[test]
    fn an_eager_peer_is_told_to_wait_and_others_are_not() {
        let mut standing = Standing::default();
        let now = Duration::from_secs(1);
        let served = (0..5000).filter(|_| standing.asked(peer(1), now).is_ok()).count();
        assert_eq!(served, BURST as usize);
        assert!(standing.asked(peer(2), now).is_ok());
        standing.left(&peer(1));
        assert!(standing.asked(peer(1), now).is_err());
        assert!(standing.asked(peer(1), now + Duration::from_millis(100)).is_ok());
        for n in 0..6000 {
            let _ = standing.asked(peer(n), now);
        }
        assert!(standing.asked.len() <= COUNTED);
    }
}
