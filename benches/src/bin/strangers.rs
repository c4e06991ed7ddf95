//! Objects from nodes that are strangers to their reader, after their author is gone: how soon the
//! first byte is there, and how fast a large one comes, beside the plain transfer of one whole copy
//! from one node, in the same run, in turn. Everything is a process of its own, on loopback, read
//! over HTTP.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use craftec_benches::{
    content,
    daemon::Daemon,
    median,
    web::{Took, fetch},
};
use serde_json::Value;

/// Nodes that hold what the author put.
const STRANGERS: usize = 24;
/// How many of them go at last: the first, whom everybody else was told of.
const GONE: usize = STRANGERS / 2;
/// The objects of which the first byte counts, and how many of them.
const SMALL_BYTES: usize = 1 << 20;
const SMALL_READS: usize = 50;
/// Of these, so many more warm everything up before.
const WARM_UP: usize = 5;
/// The one whose rate counts, and how often it is read.
const LARGE_BYTES: usize = 100 << 20;
const LARGE_READS: usize = 5;
/// How soon the first byte should be there, in milliseconds.
const FIRST_BYTE_MS: f64 = 100.0;
/// What the rate should be, of the plain one's: with nothing lost, and with half of the holders gone.
const WHOLE_GOAL: f64 = 0.8;
const HALF_GOAL: f64 = 0.5;
/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_secs(300);
const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";
/// What a stranger keeps for others.
const LEND: &str = "2GiB";

/// An object and its address.
struct Object {
    cid: String,
    content: Vec<u8>,
}

/// Who holds what.
struct Field {
    strangers: Vec<Daemon>,
    /// Holds one whole object, which nobody else has.
    plain: Daemon,
}

impl Field {
    fn start() -> anyhow::Result<Self> {
        let mut strangers = Vec::<Daemon>::new();
        for _ in 0..STRANGERS {
            strangers.push(node(strangers.iter(), LEND)?);
        }
        let plain = node(strangers.iter(), "0")?;
        Ok(Self { strangers, plain })
    }

    fn nodes(&self) -> impl Iterator<Item = &Daemon> {
        self.strangers.iter().chain([&self.plain])
    }

    /// A node that has nothing yet and is connected to all.
    fn reader(&self) -> anyhow::Result<Daemon> {
        let reader = node(self.nodes(), "0")?;
        let all = self.nodes().count();
        until("its connections", || {
            let status = reader.run(["status"])?;
            Ok(status["peers"].as_array().is_some_and(|peers| peers.len() >= all))
        })?;
        Ok(reader)
    }
}

/// Starts a node that is told of `known` and keeps at most `lend` for others. Nobody relays: each would
/// hold a place with each, and tell all of every place that comes or goes.
fn node<'a>(known: impl Iterator<Item = &'a Daemon>, lend: &str) -> anyhow::Result<Daemon> {
    let known: Vec<_> = known.map(|node| node.addr.as_str()).collect();
    let known = known.join(",");
    let args = ["--no-relay", "--lend", lend, "--relay", &known];
    Daemon::start(LISTEN, if known.is_empty() { &args[..3] } else { &args })
}

fn until(what: &str, mut is: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is()? {
        if begun.elapsed() > PATIENCE {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Has an author put `contents` with the default of redundancy, and go once all of it is kept, in
/// shards, of which half of the nodes have enough to give it back.
fn put(field: &Field, contents: Vec<Vec<u8>>) -> anyhow::Result<Vec<Object>> {
    let author = node(field.strangers.iter(), "0")?;
    let mut objects = Vec::new();
    for content in contents {
        objects.push(Object { cid: author.put(&content, &[])?, content });
    }
    for object in &objects {
        let mut last = Value::Null;
        let kept = until("an object to be kept as wanted", || {
            last = author.run(["stat", &object.cid])?;
            let [wanted, signed, needed] =
                ["wanted", "signed", "needed"].map(|name| count(&last, name));
            Ok(needed? > 1 && signed? >= wanted?)
        });
        kept.with_context(|| last["health"].to_string())?;
        let (left, needed) = (holders(&last, &field.strangers[GONE..]), count(&last, "needed")?);
        if left < needed {
            bail!(
                "{left} shards outlive half of the nodes, {needed} are needed: {}",
                last["holders"]
            );
        }
    }
    Ok(objects)
}

/// A number of an object's health.
fn count(stat: &Value, name: &str) -> anyhow::Result<u64> {
    stat["health"][name].as_u64().with_context(|| format!("no {name} in {stat}"))
}

/// How many of `nodes` hold a part of an object.
fn holders(stat: &Value, nodes: &[Daemon]) -> u64 {
    let holders = stat["holders"].as_array().map(Vec::as_slice).unwrap_or_default();
    let signed = holders.iter().filter(|holder| holder["signed"] == true);
    let peers = signed.filter_map(|holder| holder["peer"].as_str());
    peers.filter(|peer| nodes.iter().any(|node| node.addr.ends_with(peer))).count() as u64
}

fn read(reader: &Daemon, object: &Object) -> anyhow::Result<Took> {
    fetch(reader.http, &reader.host(&object.cid), &object.content)
}

fn main() -> anyhow::Result<()> {
    let mut field = Field::start()?;
    let small = (0..SMALL_READS + WARM_UP).map(|n| content(SMALL_BYTES, n));
    let small = put(&field, small.collect())?;
    let mut large = put(&field, vec![content(LARGE_BYTES, 1000)])?;
    let large = large.pop().context("it was put")?;
    let plain = content(LARGE_BYTES, 1001);
    let plain = Object { cid: field.plain.put(&plain, &["--replicas", "0"])?, content: plain };

    println!("\nbench strangers: objects of an author that is gone, {STRANGERS} nodes, loopback");
    println!("{:<34} {:>10} {:>10} {:>10} {:>10}", "", "plain", "ours", "ratio", "goal");
    first_byte(&field, &small)?;
    rate("nothing lost", "strangers-get", &field, &plain, &large, WHOLE_GOAL)?;
    for mut gone in field.strangers.drain(..GONE) {
        gone.kill()?;
    }
    rate("half of the nodes gone", "strangers-get-half", &field, &plain, &large, HALF_GOAL)
}

/// One after the other, each for the first time, by a reader that is connected.
fn first_byte(field: &Field, objects: &[Object]) -> anyhow::Result<()> {
    let reader = field.reader()?;
    let (warm_up, counted) = objects.split_at(WARM_UP);
    for object in warm_up {
        read(&reader, object)?;
    }
    let firsts = counted.iter().map(|object| Ok(read(&reader, object)?.first.as_secs_f64() * 1e3));
    let p50 = median(firsts.collect::<anyhow::Result<_>>()?);
    let what = format!("first byte of 1 MiB, p50 of {SMALL_READS}, ms");
    println!("{what:<34} {:>10} {p50:>10.1} {:>10} {FIRST_BYTE_MS:>10.1}", "", "");
    println!("ratio strangers-first-byte {:.2}", FIRST_BYTE_MS / p50);
    Ok(())
}

/// Both objects in turn, each time by a reader that has nothing of them.
fn rate(
    what: &str,
    name: &str,
    field: &Field,
    plain: &Object,
    ours: &Object,
    goal: f64,
) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for run in 0..=LARGE_READS {
        let reader = field.reader()?;
        let rate = |object| -> anyhow::Result<f64> {
            Ok(LARGE_BYTES as f64 / 1e6 / read(&reader, object)?.whole.as_secs_f64())
        };
        // Whoever comes second finds the reader's memory grown.
        let row = if run % 2 == 0 {
            let plain = rate(plain)?;
            (plain, rate(ours)?)
        } else {
            let ours = rate(ours)?;
            (rate(plain)?, ours)
        };
        // The first warms both sides up.
        if run > 0 {
            rows.push(row);
        }
    }
    let ratio = median(rows.iter().map(|(plain, ours)| ours / plain).collect());
    let a = median(rows.iter().map(|(plain, _)| *plain).collect());
    let b = median(rows.iter().map(|(_, ours)| *ours).collect());
    let what = format!("100 MiB, MB/s, {what}");
    println!("{what:<34} {a:>10.1} {b:>10.1} {ratio:>10.2} {goal:>10.2}");
    println!("ratio {name} {ratio:.2}");
    Ok(())
}
