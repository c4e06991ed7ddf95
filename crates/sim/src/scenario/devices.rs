//! `devices`: two devices of one owner write one database. Each is away now and then, loses power, and
//! publishes when it likes; whoever finds that the other was first merges.
//!
//! Must hold: nothing that was acknowledged is lost, and no contradiction is decided in silence. At the
//! end, when both are there and have merged, they hold the same. A row without a key that either wrote is
//! there once. Of a cell that either wrote, the last value of one of them is there; the other's was seen
//! by whoever wrote that, or the row was named as a conflict. Where both published in the same moment, the
//! name may have two heads with one number; both are told, and go on once one has merged the other's. If
//! both have, rows without a key may be there twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use craftec_api::{ApiError, Command, ErrorCode, MergeStrategy, Reply, SqlValue};
use craftec_core::Cid;
use craftec_node::Session;
use craftec_p2p::Role;
use craftec_platform::sim::Damage;

use super::client;
use crate::{Cluster, ClusterError, Report, Weather};

/// Virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(6 * 3600);
/// Nodes that keep what is published; the devices come after them.
const KEEPERS: usize = 5;
const DEVICES: [usize; 2] = [KEEPERS, KEEPERS + 1];
/// Rounds in which each device does something.
const ROUNDS: u64 = 14;
/// Rows with a key: so few that both change the same now and then.
const ROWS: u64 = 24;
/// How often both may take turns at the end until they hold the same.
const TURNS: usize = 4;

/// Runs the scenario in a world of `seed`.
pub fn devices(seed: u64) -> Result<Report, ClusterError> {
    Cluster::run(seed, Weather::CALM, LIMIT, scenario)
}

/// A value that was acknowledged, and where.
struct Written {
    value: i64,
    device: usize,
    /// Values that this device had seen by then, its own among them.
    seen: BTreeSet<i64>,
}

/// A device as its owner sees it.
#[derive(Default)]
struct Device {
    session: Option<Session>,
    handle: u64,
    away: bool,
    seen: BTreeSet<i64>,
}

struct Owner {
    cluster: Cluster,
    devices: [Device; 2],
    next: i64,
    /// Everything acknowledged, by row and column.
    cells: BTreeMap<(i64, &'static str), Vec<Written>>,
    lines: Vec<i64>,
    /// What each published state holds.
    published: BTreeMap<Cid, BTreeSet<i64>>,
    /// Rows that were named as conflicts.
    named: BTreeSet<i64>,
    /// Two heads with one number were seen.
    disputed: bool,
    /// Where a reader finds it.
    address: Option<String>,
    counts: [u64; 5],
    failures: Vec<String>,
}

/// What is counted.
const PUBLISHED: usize = 0;
const REFUSED: usize = 1;
const WAITED: usize = 2;
const MERGED: usize = 3;
const CRASHED: usize = 4;

async fn scenario(cluster: Cluster) -> Result<Report, ClusterError> {
    cluster.start(KEEPERS, Role::Relay).await?;
    client::mesh(&cluster, 2).await?;
    let first = cluster.start(1, Role::Tab).await?;
    cluster.start_device_of(first, Role::Tab).await?;
    let mut owner = Owner {
        cluster,
        devices: Default::default(),
        next: 1,
        cells: BTreeMap::new(),
        lines: Vec::new(),
        published: BTreeMap::new(),
        named: BTreeSet::new(),
        disputed: false,
        address: None,
        counts: [0; 5],
        failures: Vec::new(),
    };
    owner.begin().await?;
    for _ in 0..ROUNDS {
        for device in 0..DEVICES.len() {
            owner.round(device).await?;
            // Seldom at once: nobody's two hands are on two devices.
            let pause = if owner.dice(8) == 0 { 0 } else { owner.dice(20) };
            owner.cluster.sleep(Duration::from_secs(pause)).await;
        }
    }
    owner.come_together().await?;
    owner.judge().await?;
    Ok(owner.report())
}

impl Owner {
    fn dice(&self, sides: u64) -> u64 {
        self.cluster.dice().below(sides)
    }

    async fn call(&self, device: usize, command: Command) -> Result<Reply, ApiError> {
        match &self.devices[device].session {
            Some(session) => session.call(command).await,
            None => Err(ApiError::new(ErrorCode::Internal, "It is down.")),
        }
    }

    /// Both have the same database, and a keeper or two.
    async fn begin(&mut self) -> Result<(), ClusterError> {
        for device in 0..DEVICES.len() {
            self.connect(device).await?;
            self.open(device).await?;
        }
        let schema =
            "CREATE TABLE item (id INTEGER PRIMARY KEY, a INT, b INT); CREATE TABLE line (v INT);";
        self.script(0, schema).await;
        self.publish(0).await;
        self.cluster.sleep(Duration::from_secs(30)).await;
        self.merge(1, "craftobj://me/shop", MergeStrategy::Stop).await;
        Ok(())
    }

    async fn connect(&self, device: usize) -> Result<(), ClusterError> {
        let index = DEVICES[device];
        for _ in 0..2 {
            let keeper = self.dice(KEEPERS as u64) as usize;
            client::join(&self.cluster, index, keeper).await?;
        }
        Ok(())
    }

    async fn open(&mut self, device: usize) -> Result<(), ClusterError> {
        self.devices[device].session = Some(self.cluster.session(DEVICES[device])?);
        let open = Command::SqlOpen { database: "shop".to_owned(), encrypt: false };
        match self.call(device, open).await {
            Ok(Reply::Database(opened)) => self.devices[device].handle = opened.handle,
            other => self.failures.push(format!("device {device} does not open it: {other:?}")),
        }
        Ok(())
    }

    async fn script(&mut self, device: usize, sql: &str) -> bool {
        let handle = self.devices[device].handle;
        let ran = self.call(device, Command::SqlScript { handle, sql: sql.to_owned() }).await;
        if let Err(error) = &ran {
            self.failures.push(format!("device {device}, {sql}: {error}"));
        }
        ran.is_ok()
    }

    async fn round(&mut self, device: usize) -> Result<(), ClusterError> {
        match self.dice(8) {
            0 | 1 => self.travel(device).await?,
            2 => self.crash(device).await?,
            _ => {}
        }
        for _ in 0..self.dice(4) {
            self.write(device).await;
        }
        if self.dice(2) == 0 {
            let refused = self.publish(device).await == Some(false);
            if refused && self.dice(3) > 0 {
                let strategies = [MergeStrategy::Stop, MergeStrategy::Ours, MergeStrategy::Theirs];
                let strategy = strategies[self.dice(3) as usize];
                self.merge(device, "published", strategy).await;
            }
        }
        Ok(())
    }

    /// Leaves, or comes back.
    async fn travel(&mut self, device: usize) -> Result<(), ClusterError> {
        self.devices[device].away ^= true;
        self.cut()?;
        if !self.devices[device].away {
            self.connect(device).await?;
        }
        Ok(())
    }

    /// Cuts off whoever is away.
    fn cut(&self) -> Result<(), ClusterError> {
        let fabric = self.cluster.fabric();
        fabric.heal();
        let all: Vec<_> = (0..self.cluster.len())
            .map(|index| self.cluster.peer(index))
            .collect::<Result<_, _>>()?;
        for (device, index) in self.devices.iter().zip(DEVICES) {
            if device.away {
                let peer = [self.cluster.peer(index)?];
                fabric.cut(&peer, &all);
                fabric.cut(&all, &peer);
            }
        }
        Ok(())
    }

    /// Power fails, and comes back.
    async fn crash(&mut self, device: usize) -> Result<(), ClusterError> {
        let index = DEVICES[device];
        let damage =
            if self.dice(2) == 0 { Damage::Lost } else { Damage::Torn(self.dice(1 << 32)) };
        self.devices[device].session = None;
        self.cluster.crash(index, damage);
        self.counts[CRASHED] += 1;
        self.cluster.boot(index).await?;
        self.open(device).await?;
        if !self.devices[device].away {
            self.connect(device).await?;
        }
        Ok(())
    }

    async fn write(&mut self, device: usize) {
        let value = self.next;
        self.next += 1;
        if self.dice(4) == 0 {
            if self.script(device, &format!("INSERT INTO line VALUES ({value})")).await {
                self.lines.push(value);
            }
            return;
        }
        let (id, column) = (self.dice(ROWS) as i64, ["a", "b"][self.dice(2) as usize]);
        let sql = format!(
            "INSERT INTO item (id, {column}) VALUES ({id}, {value}) \
             ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column}"
        );
        if self.script(device, &sql).await {
            self.devices[device].seen.insert(value);
            let seen = self.devices[device].seen.clone();
            self.cells.entry((id, column)).or_default().push(Written { value, device, seen });
        }
    }

    /// `true` if it is published or waits, `false` if it was refused.
    async fn publish(&mut self, device: usize) -> Option<bool> {
        let (handle, name) = (self.devices[device].handle, Some("shop".to_owned()));
        match self.call(device, Command::SqlSnapshot { handle, name, replicas: Some(3) }).await {
            Ok(Reply::Snapshot(taken)) => {
                self.published.insert(taken.cid, self.devices[device].seen.clone());
                self.address = taken.uri;
                self.counts[if taken.waits { WAITED } else { PUBLISHED }] += 1;
                Some(true)
            }
            Err(error) if error.code == ErrorCode::Conflict => {
                self.disputed |= error.message.contains("contradict each other");
                self.counts[REFUSED] += 1;
                Some(false)
            }
            other => {
                self.failures.push(format!("device {device} can't publish: {other:?}"));
                None
            }
        }
    }

    /// Whether it was made.
    async fn merge(&mut self, device: usize, branch: &str, strategy: MergeStrategy) -> bool {
        let (handle, branch) = (self.devices[device].handle, branch.to_owned());
        match self.call(device, Command::SqlMerge { handle, branch, strategy }).await {
            Ok(Reply::Merged(merged)) => {
                if !merged.made {
                    return false;
                }
                self.counts[MERGED] += 1;
                for conflict in &merged.conflicts {
                    if let [SqlValue::Integer(id)] = conflict.key[..] {
                        self.named.insert(id);
                    }
                }
                let held = merged.cid.and_then(|cid| self.published.get(&cid)).cloned();
                match held {
                    Some(held) => self.devices[device].seen.extend(held),
                    None => self.failures.push(format!("{:?} was published by nobody", merged.cid)),
                }
                true
            }
            // Those who have it are out of reach.
            Err(error) if error.code == ErrorCode::Unavailable => false,
            other => {
                self.failures.push(format!("device {device} can't merge: {other:?}"));
                false
            }
        }
    }

    /// Both are there, and take turns until they hold the same.
    async fn come_together(&mut self) -> Result<(), ClusterError> {
        for device in 0..DEVICES.len() {
            if self.devices[device].away {
                self.travel(device).await?;
            }
        }
        // What waits is published, and found.
        self.cluster.sleep(Duration::from_secs(150)).await;
        for _ in 0..TURNS {
            for device in 0..DEVICES.len() {
                self.merge(device, "published", MergeStrategy::Theirs).await;
                if self.publish(device).await == Some(false) {
                    self.merge(device, "published", MergeStrategy::Theirs).await;
                    self.publish(device).await;
                }
                self.cluster.sleep(Duration::from_secs(90)).await;
            }
        }
        self.is_settled().await
    }

    /// Where two heads contradicted each other, a reader is told so no more.
    async fn is_settled(&mut self) -> Result<(), ClusterError> {
        let name = self.address.as_deref().and_then(|uri| uri.strip_prefix("craftobj://"));
        let resolve = Command::Resolve { name: name.unwrap_or_default().to_owned() };
        match self.cluster.session(0)?.call(resolve).await {
            Ok(Reply::Resolved { equivocation: false, .. }) => {}
            other => self.failures.push(format!("a reader is told {other:?}")),
        }
        Ok(())
    }

    async fn rows(&mut self, device: usize, sql: &str) -> Vec<Vec<SqlValue>> {
        let (handle, sql) = (self.devices[device].handle, sql.to_owned());
        match self.call(device, Command::SqlQuery { handle, sql, params: Vec::new() }).await {
            Ok(Reply::Rows(rows)) => rows.rows,
            other => {
                self.failures.push(format!("device {device} can't be read: {other:?}"));
                Vec::new()
            }
        }
    }

    async fn judge(&mut self) -> Result<(), ClusterError> {
        let items = "SELECT id, a, b FROM item ORDER BY id";
        let lines = "SELECT v FROM line ORDER BY v";
        let found = self.rows(0, items).await;
        let found_lines = self.rows(0, lines).await;
        if found != self.rows(1, items).await || found_lines != self.rows(1, lines).await {
            self.failures.push("the devices hold different things".to_owned());
        }
        let expected: Vec<Vec<SqlValue>> =
            self.lines.iter().map(|value| vec![SqlValue::Integer(*value)]).collect();
        let mut once = found_lines.clone();
        if self.disputed {
            // Both may have merged the other's before they saw that: then there is no one state before both.
            once.dedup();
        }
        if once != expected {
            self.failures.push(format!("lines: {found_lines:?} instead of {expected:?}"));
        }
        let mut wrong = Vec::new();
        for ((id, column), written) in &self.cells {
            let row = found.iter().find(|row| row.first() == Some(&SqlValue::Integer(*id)));
            let there = row.and_then(|row| row.get(if *column == "a" { 1 } else { 2 }));
            wrong.extend(judge_cell(*id, column, written, there, self.named.contains(id)));
        }
        self.failures.extend(wrong);
        Ok(())
    }

    fn report(self) -> Report {
        let trace = self.cluster.fabric().trace();
        let names = ["published", "refused", "waited", "merged", "crashed"];
        let mut numbers: Vec<_> = names.into_iter().zip(self.counts).collect();
        let cells = self.cells.values().map(|written| written.len() as u64).sum::<u64>();
        numbers.extend([
            ("writes", cells + self.lines.len() as u64),
            ("named", self.named.len() as u64),
            ("disputed", u64::from(self.disputed)),
            ("messages", trace.messages()),
        ]);
        Report {
            failures: self.failures,
            ratios: Vec::new(),
            numbers,
            times: Vec::new(),
            trace: trace.hash(),
        }
    }
}

/// What is wrong with a cell, if something is.
fn judge_cell(
    id: i64,
    column: &str,
    written: &[Written],
    there: Option<&SqlValue>,
    named: bool,
) -> Option<String> {
    let last = |device: usize| written.iter().rev().find(|it| it.device == device);
    let last: Vec<&Written> = (0..DEVICES.len()).filter_map(last).collect();
    let winner = last.iter().find(|it| there == Some(&SqlValue::Integer(it.value)));
    let Some(winner) = winner else {
        let values: Vec<i64> = last.iter().map(|it| it.value).collect();
        // Of a row that both added, the other's is there whole.
        return (!named).then(|| format!("{column} of {id} is {there:?}, not one of {values:?}"));
    };
    let lost = last.iter().find(|it| it.value != winner.value && !winner.seen.contains(&it.value));
    lost.filter(|_| !named).map(|lost| {
        format!("{column} of {id}: {} was lost to {} without a word", lost.value, winner.value)
    })
}
