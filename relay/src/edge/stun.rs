//! STUN Binding (RFC 8489) over UDP: tells whoever asks the address it is seen at, which lets two
//! tabs behind routers find a direct way.
//!
//! Nothing but Binding, no TURN, no authentication, no state. An answer goes only to where the
//! question came from and is at most 32 bytes longer than it, so forging the sender's address gains
//! an attacker nothing worth having; each prefix gets a bounded number a second.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use craftec_p2p::{
    Limits, Prefix,
    rate::{Buckets, Rate},
};
use stun_types::{
    attribute::{
        AttributeType, ErrorCode, Fingerprint, MessageIntegrity, UnknownAttributes, Username,
        XorMappedAddress,
    },
    message::{BINDING, Message, MessageClass, MessageWriteVec},
    prelude::*,
};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::counters::EdgeCounters;
use crate::error::{RelayError, Result};

/// The port that is registered for STUN.
pub(super) const PORT: u16 = 3478;
/// Longest packet looked at; browsers send 20 or 28 bytes.
const PACKET_BYTES: usize = 548;
/// The most that an answer is longer than its question: a bare question of 20 bytes about an IPv6
/// address, with its checksum.
const LONGER_BYTES: usize = 32;
/// Prefixes told apart.
const PREFIXES: usize = 8192;
/// Attributes that must be understood and that we know not to need.
const KNOWN: [AttributeType; 6] = [
    Username::TYPE,
    MessageIntegrity::TYPE,
    // MESSAGE-INTEGRITY-SHA256, PRIORITY, USE-CANDIDATE, REALM: of checks between peers.
    AttributeType::new(0x001c),
    AttributeType::new(0x0024),
    AttributeType::new(0x0025),
    AttributeType::new(0x0014),
];

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Stun {
    socket: UdpSocket,
    addr: SocketAddr,
    rates: Buckets<Prefix>,
    limits: Limits,
    counters: Arc<EdgeCounters>,
    started: Instant,
}

impl Stun {
    /// Binds; `per_second` answers for each prefix, four times that at once.
    pub(super) async fn bind(
        addr: SocketAddr,
        per_second: u64,
        counters: Arc<EdgeCounters>,
        limits: Limits,
    ) -> Result<Self> {
        let failed = |source| RelayError::Listen { addr: format!("{addr} (STUN, UDP)"), source };
        let socket = match UdpSocket::bind(addr).await {
            // A machine without IPv6.
            Err(_) if addr.is_ipv6() && addr.ip().is_unspecified() => {
                UdpSocket::bind(("0.0.0.0", addr.port())).await.map_err(failed)?
            }
            bound => bound.map_err(failed)?,
        };
        let addr = socket.local_addr().map_err(failed)?;
        let rate = Rate::per_second(per_second, per_second.saturating_mul(4));
        let (rates, started) = (Buckets::new(rate, PREFIXES), Instant::now());
        Ok(Self { socket, addr, rates, limits, counters, started })
    }

    /// The port bound.
    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Answers until `stop`.
    pub(crate) async fn serve(mut self, stop: CancellationToken) {
        let mut packet = [0; PACKET_BYTES];
        loop {
            let received = tokio::select! {
                () = stop.cancelled() => return,
                received = self.socket.recv_from(&mut packet) => received,
            };
            // A host that is not there is told to us as an error of an earlier answer.
            let Ok((bytes, from)) = received else { continue };
            if let Some(answer) = self.consider(&packet[..bytes], from) {
                // A full queue drops it, as the network might; the client asks again.
                if self.socket.try_send_to(&answer, from).is_ok() {
                    self.counters.stun_answers.up();
                }
            }
        }
    }

    fn consider(&mut self, packet: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let prefix = Prefix::of(from.ip());
        let now = self.started.elapsed();
        if self.limits.counts(prefix) && !self.rates.try_take(prefix, 1, now) {
            self.counters.stun_dropped.up();
            return None;
        }
        let answer = answer(packet, from);
        if answer.is_none() {
            self.counters.stun_invalid.up();
        }
        answer
    }
}

/// The answer to one packet, if it deserves one.
fn answer(packet: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let asked = Message::from_bytes(packet).ok()?;
    if asked.class() != MessageClass::Request || asked.method() != BINDING {
        return None;
    }
    let unknown: Vec<AttributeType> = asked
        .iter_attributes()
        .map(|(_, attribute)| attribute.get_type())
        .filter(|kind| kind.comprehension_required() && !KNOWN.contains(kind))
        .collect();
    let write = MessageWriteVec::with_capacity(packet.len() + LONGER_BYTES);
    let mut said = if unknown.is_empty() {
        let mut said = Message::builder_success(&asked, write);
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        said.add_attribute(&XorMappedAddress::new(from, asked.transaction_id())).ok()?;
        said
    } else {
        let mut said = Message::builder_error(&asked, write);
        said.add_attribute(&ErrorCode::new(420, "").ok()?).ok()?;
        said.add_attribute(&UnknownAttributes::new(&unknown)).ok()?;
        said
    };
    if asked.has_attribute(Fingerprint::TYPE) {
        said.add_fingerprint().ok()?;
    }
    let said = said.finish();
    (said.len() <= packet.len() + LONGER_BYTES).then_some(said)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

    use super::*;

    fn from() -> SocketAddr {
        "203.0.113.9:54321".parse().unwrap()
    }

    fn request(fingerprint: bool) -> Vec<u8> {
        let mut asked = Message::builder_request(BINDING, MessageWriteVec::new());
        if fingerprint {
            asked.add_fingerprint().unwrap();
        }
        asked.finish()
    }

    #[test]
    fn the_address_seen_is_told_with_a_checksum_where_one_was_sent() {
        for (fingerprint, from) in [
            (false, from()),
            (true, from()),
            (false, "[2001:db8::1]:1".parse().unwrap()),
            (true, "[::ffff:203.0.113.9]:7".parse().unwrap()),
        ] {
            let asked = request(fingerprint);
            let said = answer(&asked, from).unwrap();
            let (asked, said) =
                (Message::from_bytes(&asked).unwrap(), Message::from_bytes(&said).unwrap());
            assert!(said.has_class(MessageClass::Success) && said.has_method(BINDING));
            assert_eq!(said.transaction_id(), asked.transaction_id());
            assert_eq!(said.has_attribute(Fingerprint::TYPE), fingerprint);
            let seen = said.attribute::<XorMappedAddress>().unwrap().addr(said.transaction_id());
            assert_eq!(seen, SocketAddr::new(from.ip().to_canonical(), from.port()));
        }
    }

    #[test]
    fn unknown_demands_are_refused_and_everything_else_is_ignored() {
        let mut demanding = request(false);
        demanding[3] = 8;
        demanding.extend([0x00, 0x03, 0x00, 0x04, 0, 0, 0, 2]);
        let said = answer(&demanding, from()).unwrap();
        let said = Message::from_bytes(&said).unwrap();
        assert!(said.has_class(MessageClass::Error));
        assert_eq!(said.attribute::<ErrorCode>().unwrap().code(), 420);
        let mut indication = request(false);
        indication[1] = 0x11;
        let mut broken = request(true);
        broken[27] ^= 1;
        let mut other = request(false);
        other[1] = 0x03;
        for quiet in [&indication[..], &broken, &other, &[], b"GET / HTTP/1.1\r\n\r\n"] {
            assert!(answer(quiet, from()).is_none(), "{quiet:x?}");
        }
    }

    #[tokio::test]
    async fn a_street_that_floods_is_dropped_and_others_are_not() {
        let counters = Arc::<EdgeCounters>::default();
        let addr = ([127, 0, 0, 1], 0).into();
        let limits = Limits::default();
        let mut stun = Stun::bind(addr, 5, counters.clone(), limits).await.unwrap();
        let asked = request(false);
        let answered = (0..100).filter(|_| stun.consider(&asked, from()).is_some()).count();
        assert_eq!(answered, 20);
        assert_eq!(counters.stun_dropped.now(), 80);
        assert!(stun.consider(&asked, "198.51.100.1:9".parse().unwrap()).is_some());
    }

    /// Packets that begin well: random ones are thrown away by the first two bytes.
    fn packet() -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop::collection::vec(any::<u8>(), 0..600);
        let near = (prop::collection::vec(any::<u8>(), 0..64), any::<u16>(), 0_u16..700).prop_map(
            |(rest, kind, length)| {
                let mut packet = (kind & 0x3fff).to_be_bytes().to_vec();
                packet.extend(length.to_be_bytes());
                packet.extend([0x21, 0x12, 0xa4, 0x42]);
                packet.extend([7; 12]);
                packet.extend(rest);
                packet
            },
        );
        let fitting =
            (prop::collection::vec(any::<u32>(), 0..24), Just(())).prop_map(|(rest, ())| {
                let mut packet = request(false);
                packet[3] = (rest.len() * 4) as u8;
                packet.extend(rest.iter().flat_map(|word| (word & 0x7fff_000f).to_be_bytes()));
                packet
            });
        prop_oneof![bytes, near, fitting]
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it_or_is_answered_at_length(packet in packet(), v6 in any::<bool>()) {
            let from = if v6 { "[2001:db8::1]:1".parse().unwrap() } else { from() };
            if let Some(said) = answer(&packet, from) {
                assert!(said.len() <= packet.len() + LONGER_BYTES);
                assert!(Message::from_bytes(&said).unwrap().is_response());
            }
        }
    }
}
