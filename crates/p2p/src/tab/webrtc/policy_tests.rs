//! The upgrade policy, moment by moment.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Two peer ids, the smaller first.
fn ids() -> (PeerId, PeerId) {
    let (a, b) = (PeerId::random(), PeerId::random());
    (a.min(b), a.max(b))
}

fn id(n: usize) -> ConnectionId {
    ConnectionId::new_unchecked(n)
}

fn address() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/1/ws/p2p-circuit/webrtc".parse().unwrap()
}

fn relayed() -> Path {
    Path::Relayed { webrtc: address() }
}

#[test]
fn the_initiator_dials_once_the_peer_is_known_to_signal() {
    let ((us, peer), now) = (ids(), Instant::now());
    let mut policy = Policy::new(us);
    policy.connected(peer, id(1), relayed(), true, now);
    assert_eq!(policy.due(now), (vec![], None));
    policy.signals(peer, true);
    assert_eq!(policy.due(now).0, [Action::Dial(peer, address())]);
    policy.dialing(peer, id(2));
    assert_eq!(policy.due(now), (vec![], None));
    policy.signals(peer, false);
    policy.dial_failed(peer, id(2), now);
    assert_eq!(policy.due(now + BACK_OFF_MAX), (vec![], None));
}

#[test]
fn the_other_side_waits_and_then_steps_in() {
    let ((us, peer), now) = (ids(), Instant::now());
    let mut policy = Policy::new(us);
    policy.connected(peer, id(1), relayed(), false, now);
    policy.signals(peer, true);
    assert_eq!(policy.due(now), (vec![], Some(now + PATIENCE)));
    assert_eq!(policy.due(now + PATIENCE).0, [Action::Dial(peer, address())]);
}

#[test]
fn when_both_dialed_the_relayed_connection_the_smaller_one_upgrades() {
    let ((small, large), now) = (ids(), Instant::now());
    for (us, peer, at_once) in [(small, large, true), (large, small, false)] {
        let mut policy = Policy::new(us);
        policy.connected(peer, id(1), relayed(), true, now);
        policy.connected(peer, id(2), relayed(), false, now);
        policy.signals(peer, true);
        assert_eq!(!policy.due(now).0.is_empty(), at_once);
    }
}

#[test]
fn failures_back_off_up_to_a_limit_and_success_resets_it() {
    let ((us, peer), mut now) = (ids(), Instant::now());
    let mut policy = Policy::new(us);
    policy.connected(peer, id(1), relayed(), true, now);
    policy.signals(peer, true);
    let mut pauses = Vec::new();
    for n in 2..40 {
        policy.dialing(peer, id(n));
        policy.dial_failed(peer, id(n), now);
        let (actions, next) = policy.due(now);
        assert_eq!(actions, []);
        pauses.push(next.unwrap() - now);
        now = next.unwrap();
        assert_eq!(policy.due(now).0.len(), 1);
    }
    assert_eq!(pauses[..3], [BACK_OFF, BACK_OFF * 2, BACK_OFF * 4]);
    assert_eq!(*pauses.last().unwrap(), BACK_OFF_MAX);
    // Failures of dials that are not ours count for nothing.
    policy.dial_failed(peer, id(99), now);
    assert_eq!(policy.due(now).0.len(), 1);
    policy.connected(peer, id(50), Path::WebRtc, true, now);
    policy.closed(peer, id(50));
    policy.dialing(peer, id(51));
    policy.dial_failed(peer, id(51), now);
    assert_eq!(policy.due(now).1, Some(now + BACK_OFF));
}

#[test]
fn a_direct_connection_ends_the_attempts() {
    let ((us, peer), now) = (ids(), Instant::now());
    let mut policy = Policy::new(us);
    policy.connected(peer, id(1), relayed(), true, now);
    policy.signals(peer, true);
    policy.connected(peer, id(2), Path::WebRtc, true, now + MS);
    assert_eq!(policy.due(now + MS), (vec![], None));
    assert_eq!(policy.relayed(&peer), Some(id(1)));
    assert_eq!(policy.webrtc_address(&peer, id(1)), Some(address()));
    assert_eq!(policy.webrtc_address(&peer, id(2)), None);
    // Lost again while the relayed one is still there: upgraded again.
    policy.closed(peer, id(2));
    assert_eq!(policy.due(now + MS).0.len(), 1);
    policy.closed(peer, id(1));
    assert!(policy.peers.is_empty());
}

#[test]
fn of_two_that_dial_at_once_the_smaller_goes_on() {
    let ((small, large), now) = (ids(), Instant::now());
    for (us, peer, admitted) in [(small, large, false), (large, small, true)] {
        let mut policy = Policy::new(us);
        assert!(!policy.admits(peer, now), "nobody without a connection");
        policy.connected(peer, id(1), relayed(), true, now);
        policy.signals(peer, true);
        policy.dialing(peer, id(2));
        assert_eq!(policy.admits(peer, now), admitted);
    }
    // A handshake that the peer began keeps us from beginning one.
    let mut policy = Policy::new(small);
    policy.connected(large, id(1), relayed(), true, now);
    policy.signals(large, true);
    assert!(policy.admits(large, now));
    assert_eq!(policy.due(now), (vec![], Some(now + HANDSHAKE)));
}

#[test]
fn of_two_direct_connections_both_sides_keep_the_same() {
    let ((small, large), now) = (ids(), Instant::now());
    // Connection 1 was dialed by the smaller peer, 2 by the larger, and 2 came first.
    for (us, peer) in [(small, large), (large, small)] {
        let mut policy = Policy::new(us);
        policy.connected(peer, id(2), Path::WebRtc, us == large, now);
        policy.connected(peer, id(1), Path::WebRtc, us == small, now + MS);
        assert_eq!(policy.due(now + MS).0, []);
        assert_eq!(policy.due(now + DUPLICATE_GRACE + MS).0, [Action::Close(peer, id(2))]);
    }
}

#[test]
fn a_direct_connection_of_another_kind_needs_no_webrtc() {
    let ((us, peer), now) = (ids(), Instant::now());
    let mut policy = Policy::new(us);
    policy.connected(peer, id(1), relayed(), true, now);
    policy.connected(peer, id(2), Path::Other, true, now);
    policy.signals(peer, true);
    assert_eq!(policy.due(now + BACK_OFF_MAX), (vec![], None));
}
