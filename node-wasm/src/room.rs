//! Which site's session makes room for a new one. Sites are strangers to each other: one that asks
//! for port after port pushes out its own, not its neighbours'.

use std::time::Duration;

use craftec_core::Cid;

/// Sessions of all sites together.
const SITES: usize = 64;
/// Sessions of one site: one service worker, and those that the browser ended without a word.
const PER_SITE: usize = 4;

/// A site's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteSession {
    /// Its number.
    pub id: u32,
    /// What it reads.
    pub root: Cid,
    /// When it last asked something.
    pub used: Duration,
}

/// The session to end before one more for `root` begins, if there is no room: the one that asked
/// nothing for longest.
pub fn evicted(open: &[SiteSession], root: &Cid) -> Option<u32> {
    let idlest = |sessions: &mut dyn Iterator<Item = &SiteSession>| {
        sessions.min_by_key(|session| (session.used, session.id)).map(|session| session.id)
    };
    let own = || open.iter().filter(|session| session.root == *root);
    if own().count() >= PER_SITE {
        return idlest(&mut own());
    }
    if open.len() >= SITES { idlest(&mut open.iter()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;

    fn root(n: usize) -> Cid {
        Cid::of(Codec::DagPb, &n.to_be_bytes())
    }

    fn session(id: u32, root_of: usize, used_s: u64) -> SiteSession {
        SiteSession { id, root: root(root_of), used: Duration::from_secs(used_s) }
    }

    #[test]
    fn a_greedy_site_pushes_out_itself() {
        let mut open = vec![session(1, 1, 0)];
        open.extend([session(2, 9, 30), session(3, 9, 10), session(4, 9, 20)]);
        assert_eq!(evicted(&open, &root(9)), None);
        open.push(session(5, 9, 40));
        assert_eq!(evicted(&open, &root(9)), Some(3));
        assert_eq!(evicted(&open, &root(1)), None);
    }

    #[test]
    fn the_idlest_goes_when_all_room_is_taken() {
        let mut open: Vec<_> =
            (0..64).map(|n| session(n, n as usize, 100 - u64::from(n))).collect();
        assert_eq!(evicted(&open, &root(1000)), Some(63));
        open.pop();
        assert_eq!(evicted(&open, &root(1000)), None);
    }
}
