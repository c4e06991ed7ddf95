//! Multiaddrs of circuits and of what runs beside them: `<relay>/p2p-circuit/p2p/<peer>` and
//! `<relay>/p2p-circuit/webrtc/p2p/<peer>`. Pure.

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// Whether a connection with this address runs over data channels.
pub(crate) fn is_webrtc(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::WebRTC)
}

/// The peer at the end of a plain circuit.
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
pub(crate) fn circuit_peer(address: &Multiaddr) -> Option<PeerId> {
    let parts: Vec<_> = address.iter().collect();
    match parts.as_slice() {
        [.., Protocol::P2pCircuit, Protocol::P2p(peer)] => Some(*peer),
        _ => None,
    }
}

/// `/webrtc` beside a circuit: to `peer`, or to whom the circuit leads.
pub(crate) fn over_webrtc(circuit: &Multiaddr, peer: Option<PeerId>) -> Option<Multiaddr> {
    let mut out = Multiaddr::empty();
    let mut parts = circuit.iter();
    loop {
        let part = parts.next()?;
        let done = part == Protocol::P2pCircuit;
        out.push(part);
        if done {
            break;
        }
    }
    let end = match (parts.next(), parts.next()) {
        (Some(Protocol::P2p(end)), None) => Some(end),
        (None, _) => None,
        _ => return None,
    };
    out.push(Protocol::WebRTC);
    if let Some(peer) = peer.or(end) {
        out.push(Protocol::P2p(peer));
    }
    Some(out)
}

/// Splits `<circuit>/webrtc/p2p/<peer>` into the circuit's own address and the peer.
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
pub(crate) fn split_webrtc(address: &Multiaddr) -> Option<(Multiaddr, PeerId)> {
    let parts: Vec<_> = address.iter().collect();
    let [before @ .., Protocol::WebRTC, Protocol::P2p(peer)] = parts.as_slice() else {
        return None;
    };
    let [.., Protocol::P2pCircuit] = before else { return None };
    let mut circuit: Multiaddr = before.iter().cloned().collect();
    circuit.push(Protocol::P2p(*peer));
    Some((circuit, *peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circuits_and_webrtc_addresses_turn_into_each_other() {
        let (relay, peer) = (PeerId::random(), PeerId::random());
        let prefix = format!("/ip4/127.0.0.1/tcp/4001/ws/p2p/{relay}/p2p-circuit");
        let circuit: Multiaddr = format!("{prefix}/p2p/{peer}").parse().unwrap();
        let webrtc: Multiaddr = format!("{prefix}/webrtc/p2p/{peer}").parse().unwrap();
        let listening: Multiaddr = prefix.parse().unwrap();
        assert_eq!(over_webrtc(&circuit, None).as_ref(), Some(&webrtc));
        assert_eq!(over_webrtc(&listening, Some(peer)).as_ref(), Some(&webrtc));
        assert_eq!(split_webrtc(&webrtc), Some((circuit.clone(), peer)));
        assert_eq!(circuit_peer(&circuit), Some(peer));
        assert!(is_webrtc(&webrtc) && !is_webrtc(&circuit));
    }

    #[test]
    fn other_addresses_are_left_alone() {
        let peer = PeerId::random();
        let plain: Multiaddr = format!("/ip4/1.2.3.4/tcp/1/ws/p2p/{peer}").parse().unwrap();
        let bare: Multiaddr = format!("/webrtc/p2p/{peer}").parse().unwrap();
        for address in [&plain, &bare] {
            assert_eq!(over_webrtc(address, None), None);
            assert_eq!(split_webrtc(address), None);
            assert_eq!(circuit_peer(address), None);
        }
    }
}
