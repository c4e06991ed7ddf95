//! `put-get`: many nodes on rough links put objects, copy them to each other and read them, while
//! some lose power and come back with torn disks.
//!
//! Must hold: every object that `put` acknowledged reaches its copies, every read returns exactly its
//! bytes, also while its author is away, and no disk shows a wrong block afterwards.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use craftec_core::Cid;
use craftec_obj::{pack::pack_links, store::PinReason};
use craftec_p2p::Role;
use craftec_platform::{Clock, sim::Damage};
use futures::future::{join_all, select};

use super::client;
use crate::{Cluster, ClusterError, Report, Weather};

/// Virtual time that a run may take: an hour is far more than any healthy run needs.
const LIMIT: Duration = Duration::from_secs(3600);
/// How long copies may take to be made.
const SETTLE: Duration = Duration::from_secs(180);
/// How long reads go on.
const READING: Duration = Duration::from_secs(60);
/// Lengths of objects: one block of each kind of storage, and files of a few leaves.
const LENGTHS: [u64; 6] = [100, 1_000, 5_000, 60_000, 700_000, 1_500_000];

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Objects put.
    pub objects: usize,
    /// Reads of them.
    pub gets: usize,
    /// Copies wanted on other nodes.
    pub replicas: u16,
    /// Nodes that are down at one time while others read.
    pub churn: usize,
    /// The links.
    pub weather: Weather,
}

impl Size {
    /// What `make sim` runs.
    pub const STANDARD: Self =
        Self { nodes: 50, objects: 24, gets: 100, replicas: 3, churn: 4, weather: Weather::ROUGH };
}

/// Nodes that one which comes back connects to.
const BOOTSTRAP: usize = 3;

struct Object {
    cid: Cid,
    author: usize,
    content: Vec<u8>,
}

#[derive(Default)]
struct Tally {
    failures: Vec<String>,
    puts: Vec<Duration>,
    gets: Vec<Duration>,
    crashes: u64,
    /// Nodes that serve a person now: these are not crashed, so that a failed read means something.
    busy: BTreeMap<usize, usize>,
    /// Nodes that are down, or up and not connected yet: nobody reads there.
    away: BTreeSet<usize>,
}

type SharedTally = Rc<RefCell<Tally>>;

/// Runs the scenario in a world of `seed`.
pub fn put_get(seed: u64, size: Size) -> Result<Report, ClusterError> {
    Cluster::run(seed, size.weather, LIMIT, move |cluster| scenario(cluster, size))
}

async fn scenario(cluster: Cluster, size: Size) -> Result<Report, ClusterError> {
    cluster.start(size.nodes, Role::Relay).await?;
    client::mesh(&cluster, 3).await?;
    let tally = SharedTally::default();
    let objects = put_all(&cluster, size, &tally).await;
    let copies = settle(&cluster, size, &objects, &tally).await?;
    let reads = read_all(&cluster, size, &objects, &tally);
    let churn = churn(&cluster, size, &tally);
    select(Box::pin(reads), Box::pin(churn)).await;
    for index in 0..cluster.len() {
        if !cluster.is_up(index) {
            cluster.boot(index).await?;
        }
    }
    check_disks(&cluster, &tally)?;
    let tally = tally.take();
    let trace = cluster.fabric().trace();
    Ok(Report {
        failures: tally.failures,
        ratios: Vec::new(),
        numbers: vec![
            ("nodes", size.nodes as u64),
            ("objects", objects.len() as u64),
            ("gets", tally.gets.len() as u64),
            ("copies", copies),
            ("crashes", tally.crashes),
            ("messages", trace.messages()),
            ("bytes", trace.bytes()),
        ],
        times: vec![("put", tally.puts), ("get", tally.gets)],
        trace: trace.hash(),
    })
}

async fn put_all(cluster: &Cluster, size: Size, tally: &SharedTally) -> Vec<Rc<Object>> {
    let puts = (0..size.objects).map(|number| async move {
        let dice = cluster.dice();
        let author = dice.below(size.nodes as u64) as usize;
        let length = LENGTHS[number % LENGTHS.len()];
        let content = client::content(dice, (length + dice.below(length)) as usize);
        cluster.sleep(Duration::from_millis(dice.below(5_000))).await;
        let begun = cluster.clock().monotonic();
        let session = cluster.session(author).ok()?;
        let put = client::put(&session, &content, size.replicas).await;
        let mut tally = tally.borrow_mut();
        match put {
            Ok(cid) => {
                tally.puts.push(cluster.clock().monotonic() - begun);
                Some(Rc::new(Object { cid, author, content }))
            }
            Err(error) => {
                tally.failures.push(format!("put {number} at node {author}: {error}"));
                None
            }
        }
    });
    join_all(puts).await.into_iter().flatten().collect()
}

/// Waits until every object has its copies; how many there are.
async fn settle(
    cluster: &Cluster,
    size: Size,
    objects: &[Rc<Object>],
    tally: &SharedTally,
) -> Result<u64, ClusterError> {
    let begun = cluster.clock().monotonic();
    loop {
        let mut copies = 0;
        let mut short = Vec::new();
        for object in objects {
            let held = holders(cluster, object)?;
            copies += held as u64;
            if held < usize::from(size.replicas) {
                short.push(format!("{} has {held} of {} copies", object.cid, size.replicas));
            }
        }
        if short.is_empty() {
            return Ok(copies);
        }
        if cluster.clock().monotonic() - begun > SETTLE {
            tally.borrow_mut().failures.extend(short);
            return Ok(copies);
        }
        cluster.sleep(Duration::from_secs(1)).await;
    }
}

/// Nodes other than its author that keep the object for it.
fn holders(cluster: &Cluster, object: &Object) -> Result<usize, ClusterError> {
    let mut held = 0;
    for index in (0..cluster.len()).filter(|index| *index != object.author) {
        let store = cluster.store(index)?;
        let broken = |source| ClusterError::Store { index, source };
        let pins = store.pins().map_err(broken)?;
        for (root, _) in pins.into_iter().filter(|(_, pin)| pin.reason == PinReason::Lent) {
            let pack = store.get(&root).map_err(broken)?.as_ref().and_then(pack_links);
            if root == object.cid || pack.is_some_and(|members| members.contains(&object.cid)) {
                held += 1;
                break;
            }
        }
    }
    Ok(held)
}

async fn read_all(cluster: &Cluster, size: Size, objects: &[Rc<Object>], tally: &SharedTally) {
    let gets = (0..size.gets).map(|number| async move {
        let dice = cluster.dice();
        let pause = Duration::from_millis(dice.below(READING.as_millis() as u64));
        let (reader, which) = (dice.below(size.nodes as u64), dice.below(objects.len() as u64));
        cluster.sleep(pause).await;
        // Whoever is up next to the one chosen.
        let from = reader as usize;
        let mut nodes = (from..from + size.nodes).map(|index| index % size.nodes);
        let up = nodes.find(|index| !tally.borrow().away.contains(index));
        let (Some(reader), Some(object)) = (up, objects.get(which as usize)) else { return };
        *tally.borrow_mut().busy.entry(reader).or_default() += 1;
        let begun = cluster.clock().monotonic();
        tracing::debug!(number, reader, cid = %object.cid, at = ?begun, "a read begins");
        let outcome = match cluster.session(reader) {
            Ok(session) => match client::get(&session, object.cid).await {
                Ok(content) if content == object.content => Ok(()),
                Ok(content) => Err(format!("{} wrong bytes", content.len())),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        tracing::debug!(number, reader, at = ?cluster.clock().monotonic(), ?outcome, "a read ends");
        let mut tally = tally.borrow_mut();
        if let Some(busy) = tally.busy.get_mut(&reader) {
            *busy -= 1;
        }
        match outcome {
            Ok(()) => tally.gets.push(cluster.clock().monotonic() - begun),
            Err(reason) => {
                let cid = object.cid;
                tally.failures.push(format!("get {number} of {cid} at node {reader}: {reason}"));
            }
        }
    });
    join_all(gets).await;
}

/// Crashes idle nodes and boots them again, for ever.
async fn churn(cluster: &Cluster, size: Size, tally: &SharedTally) {
    let mut down: BTreeSet<(Duration, usize)> = BTreeSet::new();
    if size.churn == 0 {
        return std::future::pending().await;
    }
    loop {
        let dice = cluster.dice();
        cluster.sleep(Duration::from_millis(500 + dice.below(2_000))).await;
        let now = cluster.clock().monotonic();
        while let Some((due, index)) = down.first().copied() {
            if due > now {
                break;
            }
            down.pop_first();
            if let Err(error) = back_up(cluster, size, index).await {
                tally.borrow_mut().failures.push(error.to_string());
            }
            tally.borrow_mut().away.remove(&index);
        }
        let victim = dice.below(size.nodes as u64) as usize;
        let idle = tally.borrow().busy.get(&victim).is_none_or(|busy| *busy == 0);
        if idle && cluster.is_up(victim) && down.len() < size.churn {
            tracing::debug!(victim, peer = ?cluster.peer(victim), at = ?now, "power is lost");
            cluster.crash(victim, Damage::Torn(dice.below(u64::MAX)));
            let mut tally = tally.borrow_mut();
            tally.crashes += 1;
            tally.away.insert(victim);
            down.insert((now + Duration::from_millis(2_000 + dice.below(10_000)), victim));
        }
    }
}

/// Boots a node and connects it to a few that run, as a shell does with the addresses it remembers.
async fn back_up(cluster: &Cluster, size: Size, index: usize) -> Result<(), ClusterError> {
    cluster.boot(index).await?;
    for step in 1..=BOOTSTRAP {
        let others = (index + step..index + size.nodes).map(|other| other % size.nodes);
        if let Some(other) = others.into_iter().find(|other| cluster.is_up(*other)) {
            // One of them is enough; the others are found when somebody asks.
            let _ = cluster.connect(index, other).await;
        }
    }
    Ok(())
}

/// Reads every block of every disk.
fn check_disks(cluster: &Cluster, tally: &SharedTally) -> Result<(), ClusterError> {
    for index in 0..cluster.len() {
        let store = cluster.store(index)?;
        let broken = |source| ClusterError::Store { index, source };
        let mut cursor = None;
        loop {
            let page = store.iterate(cursor.as_ref(), 256).map_err(broken)?;
            let Some(last) = page.last() else { break };
            cursor = Some(*last);
            for cid in &page {
                if let Err(error) = store.get(cid) {
                    tally.borrow_mut().failures.push(format!("disk of node {index}: {error}"));
                }
            }
        }
    }
    Ok(())
}
