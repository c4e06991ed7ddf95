//! The mesh over values: what is asked, dialed and kept, and when it rests.

use super::*;

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key([n; 32])
}

fn info(n: u8, link: Link, role: Role) -> PeerInfo {
    PeerInfo {
        peer: peer(n),
        link,
        role,
        rtt_ms: None,
        addr: String::new(),
        agent: String::new(),
        via: None,
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn tab() -> (Mesh, PeerInfo) {
    (Mesh::new(peer(0), Role::Tab), info(200, Link::WebSocket, Role::Relay))
}

#[test]
fn a_relay_is_asked_once_and_again_only_later() {
    let (mut mesh, relay) = tab();
    let connected = [relay.clone()];
    assert_eq!(mesh.steps(&connected, secs(0), 7), [Step::Ask(relay.peer)]);
    assert_eq!(mesh.steps(&connected, secs(29), 7), []);
    assert_eq!(mesh.steps(&connected, secs(30), 7), [Step::Ask(relay.peer)]);
    mesh.told_to_wait(relay.peer, secs(100));
    assert_eq!(mesh.steps(&connected, secs(99), 7), []);
    assert_eq!(mesh.steps(&connected, secs(100), 7), [Step::Ask(relay.peer)]);
    let foreign = [info(9, Link::Quic, Role::Foreign)];
    assert_eq!(mesh.steps(&foreign, secs(500), 7), [], "it speaks another language");
}

#[test]
fn it_dials_two_at_a_time_until_it_has_enough_and_keeps_them() {
    let (mut mesh, relay) = tab();
    (1..=20).for_each(|n| mesh.heard_of(peer(n)));
    mesh.heard_of(peer(0));
    let mut connected = vec![relay];
    let mut now = secs(0);
    for round in 0..20 {
        let steps = mesh.steps(&connected, now, 0x1234_5678_9abc_def0 + round);
        let dials: Vec<PeerId> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Dial(peer) => Some(*peer),
                _ => None,
            })
            .collect();
        assert!(dials.len() <= DIALS && !dials.contains(&peer(0)));
        for dialed in dials {
            mesh.dialed(dialed, true, now, round);
            connected.push(PeerInfo { peer: dialed, ..info(1, Link::WebRtc, Role::Tab) });
        }
        now += secs(1);
    }
    assert_eq!(connected.len(), 1 + WANTED);
    assert!(mesh.is_content());
    assert_eq!(mesh.steps(&connected, secs(500), 3), [], "content, it asks and dials nobody");
    // Others choose us: kept up to a number.
    connected.extend((30..40).map(|n| info(n, Link::WebRtc, Role::Tab)));
    let kept = mesh.steps(&connected, secs(501), 3);
    assert_eq!(kept.len(), KEPT - WANTED);
    assert!(kept.iter().all(|step| matches!(step, Step::Keep(_, true))));
}

#[test]
fn who_is_lost_is_dialed_again_after_growing_pauses_and_forgotten_at_last() {
    let (mut mesh, relay) = tab();
    let linked = [relay.clone(), info(1, Link::WebRtc, Role::Tab)];
    assert!(mesh.steps(&linked, secs(0), 0).contains(&Step::Keep(peer(1), true)));
    mesh.lost(peer(1), secs(1), 0);
    let alone = [relay];
    let (mut now, mut last) = (secs(1), Duration::ZERO);
    for failures in 0..FAILURES {
        let begun = now;
        while !mesh.steps(&alone, now, 5).contains(&Step::Dial(peer(1))) {
            now += Duration::from_millis(100);
            assert!(now < secs(10_000));
        }
        let waited = now - begun;
        assert!(failures == 0 || waited >= last.min(LONGEST_PAUSE / 2), "{waited:?} {last:?}");
        last = waited;
        mesh.dialed(peer(1), false, now, u64::MAX);
    }
    assert!(!mesh.candidates.contains_key(&peer(1)));
    assert_eq!(mesh.steps(&[], now + secs(10_000), 5), []);
}

#[test]
fn who_can_only_be_relayed_does_not_stand_in_the_way_of_others() {
    let (mut mesh, relay) = tab();
    (1..=20).for_each(|n| mesh.heard_of(peer(n)));
    let mut connected = vec![relay];
    let (mut now, mut tried) = (secs(0), BTreeSet::new());
    // Nobody ever becomes direct, and idle connections end after five minutes.
    for round in 0..1200u64 {
        for step in mesh.steps(&connected, now, round.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            if let Step::Dial(peer) = step {
                tried.insert(peer);
                mesh.dialed(peer, true, now, round);
                connected.push(PeerInfo { peer, ..info(1, Link::Relayed, Role::Tab) });
            }
        }
        now += secs(1);
        if now.as_secs().is_multiple_of(300) {
            for gone in connected.drain(1..) {
                mesh.lost(gone.peer, now, round);
            }
        }
    }
    assert_eq!(tried.len(), 20);
}

#[test]
fn waking_up_dials_at_once() {
    let (mut mesh, relay) = tab();
    mesh.heard_of(peer(1));
    let alone = [relay];
    assert!(mesh.steps(&alone, secs(0), 0).contains(&Step::Dial(peer(1))));
    mesh.dialed(peer(1), false, secs(0), u64::MAX);
    assert!(!mesh.steps(&alone, secs(1), 0).contains(&Step::Dial(peer(1))));
    mesh.resume();
    assert!(mesh.steps(&alone, secs(1), 0).contains(&Step::Dial(peer(1))));
}

#[test]
fn liars_who_name_thousands_cost_no_memory() {
    let (mut mesh, _) = tab();
    for n in 0..10_000u32 {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        mesh.heard_of(PeerId::from_public_key(key));
    }
    assert_eq!(mesh.candidates.len(), CANDIDATES);
}

#[test]
fn pauses_are_between_half_and_all_of_their_length() {
    for failures in 0..40 {
        let full = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE);
        assert_eq!(pause(failures, 0), full / 2);
        let most = pause(failures, u64::MAX);
        assert!(most > full * 9 / 10 && most <= full);
    }
}
