//! The network picture's geometry: distance is the round trip on a logarithmic scale, direction
//! comes from the id, so that nodes don't wander.
//!
//! Pure: the same peers always give the same picture. Never draws more than [`DRAWN`] peers.

use std::collections::BTreeMap;

use crate::{
    node::types::{Link, Peer},
    order,
};

/// Half the picture's side.
pub(crate) const CENTRE: f64 = 260.0;
/// Radius of the shortest round trip, outside the dot in the middle.
const NEAR: f64 = 44.0;
/// Radius of the longest that is told apart.
const FAR: f64 = 232.0;
/// Round trip at `FAR`, in milliseconds; one of 1 ms or less is at `NEAR`.
const FAR_MS: f64 = 400.0;
/// Round trips that have a ring, in milliseconds.
pub(crate) const RINGS: [u32; 5] = [3, 10, 30, 100, 300];
/// Most peers drawn, nearest first: more can't be told apart at this size.
pub(crate) const DRAWN: usize = 48;
/// Two marks nearer than this would cover each other's labels.
const APART: f64 = 30.0;

/// A peer in the picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spot {
    /// Its id.
    pub(crate) peer_id: String,
    /// Its place.
    pub(crate) x: f64,
    /// Its place.
    pub(crate) y: f64,
    /// Where its line begins: the middle, or the relay that carries it.
    pub(crate) from: (f64, f64),
    /// How it is reached.
    pub(crate) link: Link,
}

/// Distance from the middle of a round trip.
pub(crate) fn radius(rtt_ms: Option<u32>) -> f64 {
    let Some(rtt_ms) = rtt_ms else { return FAR + 14.0 };
    let share = f64::from(rtt_ms.max(1)).ln() / FAR_MS.ln();
    NEAR + (FAR - NEAR) * share.min(1.0)
}

/// Places peers, given nearest first.
pub(crate) fn place(peers: &[Peer]) -> Vec<Spot> {
    let mut places: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let mut order: Vec<&Peer> = peers.iter().take(DRAWN).collect();
    order::sort(&mut order, |a, b| a.peer_id.cmp(&b.peer_id));
    for peer in order {
        let place = free_place(radius(peer.rtt_ms), &peer.peer_id, places.values());
        places.insert(&peer.peer_id, place);
    }
    let spot = |peer: &Peer| {
        let &(x, y) = places.get(peer.peer_id.as_str())?;
        let via = peer.via.as_deref().filter(|_| peer.link == Link::Relayed);
        let from = via.and_then(|via| places.get(via)).copied().unwrap_or((CENTRE, CENTRE));
        Some(Spot { peer_id: peer.peer_id.clone(), x, y, from, link: peer.link })
    };
    peers.iter().filter_map(spot).collect()
}

/// The id's own direction, or the next one around where that is taken.
fn free_place<'a>(
    radius: f64,
    id: &str,
    taken: impl Iterator<Item = &'a (f64, f64)> + Clone,
) -> (f64, f64) {
    let degrees = hash(id) % 360;
    let at = |turn: u32| {
        let (x, y) = direction(degrees + turn * 11);
        (CENTRE + radius * x, CENTRE + radius * y)
    };
    (0..32)
        .map(at)
        .find(|&(x, y)| {
            // Straight down is where the rings have their labels.
            let on_labels = (x - CENTRE).abs() < 26.0 && y > CENTRE;
            let far_from = |&(other_x, other_y): &(f64, f64)| {
                let (dx, dy) = (x - other_x, y - other_y);
                dx * dx + dy * dy >= APART * APART
            };
            !on_labels && taken.clone().all(far_from)
        })
        .unwrap_or_else(|| at(0))
}

/// Cosine and sine of a whole number of degrees, by turning that many times by one degree: the
/// library's own are as much code as this module.
fn direction(degrees: u32) -> (f64, f64) {
    const ONE_DEGREE: (f64, f64) = (0.999_847_695_156_391_2, 0.017_452_406_437_283_51);
    let (cos, sin) = ONE_DEGREE;
    (0..degrees % 360).fold((1.0, 0.0), |(x, y), _| (x * cos - y * sin, x * sin + y * cos))
}

/// A length in the picture with one decimal, as SVG reads it.
pub(crate) fn length(units: f64) -> String {
    // Lengths are far below 2³¹ tenths.
    #[allow(clippy::cast_possible_truncation)]
    let tenths = (units.abs() * 10.0 + 0.5) as u32;
    let sign = if units < 0.0 && tenths > 0 { "-" } else { "" };
    format!("{sign}{}.{}", tenths / 10, tenths % 10)
}

/// FNV-1a, 32 bits.
fn hash(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Heights of the 13 bars drawn from an id, each one of eight steps: a hint for the eye that
/// something changed, never a proof.
pub(crate) fn bars(id: &str) -> [u8; 13] {
    let mut state = hash(id);
    std::array::from_fn(|_| {
        // xorshift32; `| 1` keeps it off its only fixed point.
        state |= 1;
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        u8::try_from(state >> 29).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::types::Role;

    fn peer(id: &str, rtt_ms: Option<u32>, via: Option<&str>) -> Peer {
        Peer {
            peer_id: id.into(),
            link: if via.is_some() { Link::Relayed } else { Link::Webrtc },
            role: Role::Tab,
            rtt_ms,
            addr: String::new(),
            via: via.map(Into::into),
            received: 0,
            sent: 0,
        }
    }

    #[test]
    fn distance_grows_with_the_round_trip_and_stays_inside() {
        let radii = [Some(0), Some(1), Some(3), Some(30), Some(300), Some(90_000), None];
        let radii: Vec<f64> = radii.into_iter().map(radius).collect();
        assert!(radii.is_sorted());
        assert!(radii.iter().all(|r| (NEAR..CENTRE).contains(r)));
    }

    #[test]
    fn directions_are_those_of_the_circle() {
        for degrees in 0..720 {
            let (x, y) = direction(degrees);
            let angle = f64::from(degrees).to_radians();
            assert!((x - angle.cos()).abs() < 1e-9 && (y - angle.sin()).abs() < 1e-9, "{degrees}");
        }
    }

    #[test]
    fn lengths_have_one_decimal() {
        assert_eq!(length(0.0), "0.0");
        assert_eq!(length(-0.01), "0.0");
        assert_eq!(length(12.36), "12.4");
        assert_eq!(length(-8.0), "-8.0");
        assert_eq!(length(259.97), "260.0");
    }

    #[test]
    fn the_same_peers_give_the_same_picture_in_any_order() {
        let peers = [peer("a", Some(5), None), peer("b", Some(5), None), peer("c", None, None)];
        let mut turned = peers.to_vec();
        turned.reverse();
        let mut second = place(&turned);
        second.reverse();
        assert_eq!(place(&peers), second);
    }

    #[test]
    fn marks_keep_apart_and_off_the_ring_labels() {
        let peers: Vec<Peer> = (0..20).map(|i| peer(&format!("p{i}"), Some(60), None)).collect();
        let spots = place(&peers);
        for (i, a) in spots.iter().enumerate() {
            assert!((a.x - CENTRE).abs() >= 26.0 || a.y <= CENTRE);
            for b in &spots[i + 1..] {
                assert!((a.x - b.x).hypot(a.y - b.y) >= APART, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_relayed_line_starts_at_its_relay_if_that_is_drawn() {
        let peers = [peer("relay", Some(2), None), peer("tab", Some(9), Some("relay"))];
        let spots = place(&peers);
        assert_eq!(spots[1].from, (spots[0].x, spots[0].y));
        assert_eq!(place(&[peer("tab", Some(9), Some("gone"))])[0].from, (CENTRE, CENTRE));
    }

    #[test]
    fn a_crowd_is_cut_to_the_nearest() {
        let peers: Vec<Peer> = (0..200).map(|i| peer(&format!("p{i}"), Some(i), None)).collect();
        assert_eq!(place(&peers).len(), DRAWN);
    }

    #[test]
    fn bars_follow_the_id() {
        assert_eq!(bars("x"), bars("x"));
        assert_ne!(bars("x"), bars("y"));
        assert!(bars("").iter().all(|&step| step < 8));
    }
}
