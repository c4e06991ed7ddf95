//! How good the links are, and what the dice say about one of them.

use std::time::Duration;

use craftec_core::PeerId;
use craftec_platform::sim::SimEntropy;

/// Payload of one packet on the wire.
const PACKET_BYTES: usize = 1400;
/// A lost packet is noticed and sent again after this many one-way delays…
const RESEND_DELAYS: u32 = 3;
/// …but not before this.
const RESEND_LEAST: Duration = Duration::from_millis(50);
/// Losses of one segment in a row after which its connection is given up.
const RESENDS: u32 = 8;

/// What every link is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Shortest one-way delay; each pair of peers has its own, fixed, between the two.
    pub delay_least: Duration,
    /// Longest one-way delay.
    pub delay_most: Duration,
    /// Up to this much is added to each segment.
    pub jitter: Duration,
    /// Packets (of 1,400 bytes) lost in a million.
    pub loss_per_million: u32,
    /// Segments in a million that take their whole connection with them.
    pub broken_per_million: u32,
    /// Connections in a million lost by the weather of which only one side learns at once.
    pub half_open_per_million: u32,
    /// Messages to the DHT in a million that are delivered once more, up to [`Weather::REPLAY`] later.
    pub replay_per_million: u32,
    /// Bytes per second and direction of one stream.
    pub bytes_per_second: u64,
}

impl Weather {
    /// 1 to 2 ms, 100 MB/s, nothing lost.
    pub const CALM: Self = Self {
        delay_least: Duration::from_millis(1),
        delay_most: Duration::from_millis(2),
        jitter: Duration::ZERO,
        loss_per_million: 0,
        broken_per_million: 0,
        half_open_per_million: 0,
        replay_per_million: 0,
        bytes_per_second: 100_000_000,
    };

    /// Home connections across continents: 5 to 120 ms, 10 MB/s, 1% of packets lost, and now and
    /// then a connection.
    pub const ROUGH: Self = Self {
        delay_least: Duration::from_millis(5),
        delay_most: Duration::from_millis(120),
        jitter: Duration::from_millis(20),
        loss_per_million: 10_000,
        broken_per_million: 1_000,
        half_open_per_million: 0,
        replay_per_million: 0,
        bytes_per_second: 10_000_000,
    };

    /// Rough, and nothing breaks for good: what a network is like once the faults have stopped.
    pub const FAIR: Self = Self { loss_per_million: 2_000, broken_per_million: 0, ..Self::ROUGH };

    /// Everything that links do to each other: long and uneven delays, 3% of packets lost,
    /// connections that break, half of them for one side only, and every tenth message of the DHT
    /// once more and late.
    pub const STORM: Self = Self {
        delay_least: Duration::from_millis(5),
        delay_most: Duration::from_millis(250),
        jitter: Duration::from_millis(150),
        loss_per_million: 30_000,
        broken_per_million: 3_000,
        half_open_per_million: 500_000,
        replay_per_million: 100_000,
        bytes_per_second: 4_000_000,
    };

    /// The longest time after which a message of the DHT is delivered once more.
    pub const REPLAY: Duration = Duration::from_secs(60);

    /// The one-way delay between two peers in a world of `seed`: the same in both directions.
    pub(super) fn delay(&self, seed: u64, a: &PeerId, b: &PeerId) -> Duration {
        let (low, high) = (a.min(b), a.max(b));
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(low.public_key()).update(high.public_key());
        let mut dice = [0; 8];
        hasher.finalize_xof().fill(&mut dice);
        let spread = self.delay_most.saturating_sub(self.delay_least).as_micros() as u64;
        let extra = u64::from_le_bytes(dice).checked_rem(spread + 1).unwrap_or(0);
        self.delay_least + Duration::from_micros(extra)
    }

    /// How long `bytes` take to be sent.
    pub(super) fn sending(&self, bytes: usize) -> Duration {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000);
        Duration::from_nanos(nanos.checked_div(self.bytes_per_second).unwrap_or(0))
    }

    /// How long one segment is under way beyond the link's delay; none if its connection is lost.
    pub(super) fn mishap(
        &self,
        dice: &SimEntropy,
        delay: Duration,
        bytes: usize,
    ) -> Option<Duration> {
        if dice.chance(self.broken_per_million) {
            return None;
        }
        let mut late = match self.jitter.as_micros() as u64 {
            0 => Duration::ZERO,
            most => Duration::from_micros(dice.below(most + 1)),
        };
        // Of small chances, the chance that any of the packets is lost is about their sum. What is
        // sent again is only what was lost: a packet or two.
        let chance = |packets: u64| {
            packets.saturating_mul(u64::from(self.loss_per_million)).min(900_000) as u32
        };
        let mut lost = chance(bytes.div_ceil(PACKET_BYTES).max(1) as u64);
        let mut resend = (delay * RESEND_DELAYS).max(RESEND_LEAST);
        for _ in 0..RESENDS {
            if !dice.chance(lost) {
                return Some(late);
            }
            late += resend;
            resend *= 2;
            lost = chance(2);
        }
        None
    }
}
