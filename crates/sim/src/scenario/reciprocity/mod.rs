//! `reciprocity`: three days of nodes that give, nodes that only take, and newcomers, with less space
//! than all of them want and less upload than all of them would use.
//!
//! Contributors lend as much as they want of others; free riders lend nothing and send nothing.
//! Everybody puts small objects all the time, wants three copies of each, and lets go of them after
//! half a day, so that space is given out anew all the time. Every six hours a contributor puts
//! something large that all others want to read at once. On the last day newcomers arrive.
//!
//! Must hold: first, while nobody has given anything yet, both kinds fare alike; in the end the
//! contributors' share of the copies they want has risen and the riders' has fallen, the
//! contributors read much faster, and newcomers get their first copy soon.
//!
//! Shares are copies there over copies wanted, sampled every hour; speeds are kB/s.

mod life;
mod reading;

use std::{cell::RefCell, rc::Rc, time::Duration};

use craftec_api::{Command, Limit};
use craftec_p2p::Role;
use craftec_platform::Clock;
use futures::future::{join_all, join3};

use super::client;
use crate::{Cluster, ClusterError, Report, Weather};

/// Virtual time that a run may take.
const LIMIT: Duration = hours(80);
/// How long the nodes live.
const END: Duration = hours(72);
/// Nodes that lend and serve; the first ones.
const CONTRIBUTORS: usize = 8;
/// Nodes that do neither; the next ones. Two of them are at one place.
const RIDERS: usize = 4;
/// Nodes that arrive on the last day; the last ones.
const NEWCOMERS: usize = 3;
/// When they arrive.
const ARRIVAL: Duration = hours(48);
/// What a contributor lends: as much as it wants of others.
const LEND_BYTES: u64 = 1_440_000;
/// What a contributor sends in a second at most.
const SERVE_RATE: u64 = 16_000;
/// What is compared: when space was short and nobody had given anything for long, and the end.
const FIRST: (Duration, Duration) = (hours(5), hours(9));
const LAST: (Duration, Duration) = (hours(60), hours(72));

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// Of which kind a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Contributor,
    Rider,
    Newcomer,
}

impl Kind {
    fn of(index: usize) -> Self {
        match index {
            _ if index < CONTRIBUTORS => Self::Contributor,
            _ if index < CONTRIBUTORS + RIDERS => Self::Rider,
            _ => Self::Newcomer,
        }
    }
}

/// A sum of parts and of wholes.
#[derive(Clone, Copy, Debug, Default)]
struct Ratio {
    part: u64,
    whole: u64,
}

impl Ratio {
    fn add(&mut self, part: u64, whole: u64) {
        self.part += part;
        self.whole += whole;
    }

    fn value(&self) -> f64 {
        self.part as f64 / self.whole.max(1) as f64
    }
}

/// What is found, for contributors and riders.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// Copies there, and wanted.
    share: [Ratio; 2],
    /// Bytes read, and milliseconds taken.
    speed: [Ratio; 2],
}

#[derive(Default)]
struct Tally {
    first: Found,
    last: Found,
    /// Seconds until newcomers had a first copy, and how many did.
    newcomers: Ratio,
    puts: u64,
    reads: u64,
    receipts: u64,
    failures: Vec<String>,
}

impl Tally {
    /// Where what happens now belongs.
    fn window(&mut self, now: Duration) -> Option<&mut Found> {
        let within = |(from, to): (Duration, Duration)| now >= from && now <= to;
        match () {
            () if within(FIRST) => Some(&mut self.first),
            () if within(LAST) => Some(&mut self.last),
            () => None,
        }
    }
}

type SharedTally = Rc<RefCell<Tally>>;

/// Runs the scenario in a world of `seed`.
pub fn reciprocity(seed: u64) -> Result<Report, ClusterError> {
    Cluster::run(seed, Weather::FAIR, LIMIT, scenario)
}

async fn scenario(cluster: Cluster) -> Result<Report, ClusterError> {
    for index in 0..CONTRIBUTORS + RIDERS {
        arrive(&cluster, index).await?;
    }
    let tally = SharedTally::default();
    let lives = join_all((0..CONTRIBUTORS + RIDERS).map(|node| life::live(&cluster, node, &tally)));
    let newcomers = life::newcomers(&cluster, &tally);
    let watch = join3(life::sample(&cluster, &tally), reading::rounds(&cluster, &tally), newcomers);
    let (lived, (sampled, read, arrived)) = futures::join!(lives, watch);
    lived.into_iter().chain([sampled, read, arrived]).collect::<Result<(), _>>()?;
    count_receipts(&cluster, &tally)?;
    Ok(report(&cluster, &tally))
}

/// Starts a node, at its place, and links it to all that are there.
async fn arrive(cluster: &Cluster, index: usize) -> Result<(), ClusterError> {
    cluster.start(1, Role::Relay).await?;
    // The first two riders are neighbours; the last newcomer is behind a relay.
    let place = match Kind::of(index) {
        Kind::Rider if index < CONTRIBUTORS + 2 => Some(200),
        Kind::Newcomer if index + 1 == CONTRIBUTORS + RIDERS + NEWCOMERS => None,
        _ => Some(index),
    };
    if let Some(place) = place {
        let at = format!("/ip4/203.0.{place}.{}/tcp/4001", index + 1);
        cluster.fabric().locate(&cluster.peer(index)?, &at);
    }
    for other in 0..index {
        client::join(cluster, index, other).await?;
    }
    let (lend, rate) = match Kind::of(index) {
        Kind::Contributor | Kind::Newcomer => (LEND_BYTES, SERVE_RATE),
        Kind::Rider => (0, 0),
    };
    let session = cluster.session(index)?;
    let lending = Command::LendSpace { bytes: Some(lend) };
    let serving = Command::ServeLimits { rate: Limit::Bytes(rate), monthly: Limit::Default };
    for command in [lending, serving] {
        if let Err(error) = session.call(command).await {
            tracing::warn!(%error, index, "a node could not be told its limits");
        }
    }
    Ok(())
}

/// How many contributors hold a receipt of another one.
fn count_receipts(cluster: &Cluster, tally: &SharedTally) -> Result<(), ClusterError> {
    let now_ms = cluster.clock().now().0;
    for index in 0..CONTRIBUTORS {
        let ledger = cluster.ledger(index)?;
        for other in (0..CONTRIBUTORS).filter(|other| *other != index) {
            let entry = ledger.entry(&cluster.peer(other)?);
            let receipt = entry.and_then(|entry| entry.receipt);
            let valid = receipt.is_some_and(|receipt| receipt.verify(now_ms).is_ok());
            tally.borrow_mut().receipts += u64::from(valid);
        }
    }
    Ok(())
}

fn report(cluster: &Cluster, tally: &SharedTally) -> Report {
    let mut tally = tally.take();
    let mut failures = std::mem::take(&mut tally.failures);
    let Found { share: [contributors, riders], speed: [fast, slow] } = tally.last;
    let Found { share: [first_contributors, first_riders], speed: [first_fast, first_slow] } =
        tally.first;
    let mut must = |holds: bool, what: &str| {
        if !holds {
            failures.push(format!("{what}: first {:?}, last {:?}", tally.first, tally.last));
        }
    };
    must(contributors.value() > first_contributors.value(), "the contributors' share did not rise");
    must(riders.value() < 0.7 * first_riders.value(), "the riders' share did not fall");
    must(contributors.value() > 2.0 * riders.value(), "the shares are too near to each other");
    must(fast.value() > 1.5 * slow.value(), "contributors do not read faster");
    must(tally.newcomers.whole == NEWCOMERS as u64, "a newcomer never had a copy");
    must(tally.receipts > 0, "nobody holds a receipt");
    let ratio = |name, ratio: Ratio| (name, ratio.part, ratio.whole);
    let trace = cluster.fabric().trace();
    Report {
        failures,
        ratios: vec![
            ratio("contributor_share", contributors),
            ratio("rider_share", riders),
            ratio("contributor_speed", fast),
            ratio("rider_speed", slow),
            ratio("newcomer_first_hold_s", tally.newcomers),
            ratio("first_contributor_share", first_contributors),
            ratio("first_rider_share", first_riders),
            ratio("first_contributor_speed", first_fast),
            ratio("first_rider_speed", first_slow),
        ],
        numbers: vec![
            ("puts", tally.puts),
            ("reads", tally.reads),
            ("receipts", tally.receipts),
            ("messages", trace.messages()),
            ("bytes", trace.bytes()),
        ],
        times: Vec::new(),
        trace: trace.hash(),
    }
}
