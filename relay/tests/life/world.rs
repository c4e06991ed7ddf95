//! Nodes on loopback, each told of all that live when it starts: how nodes find each other is not
//! what is tried here.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Daemon, Home, noise};

/// How long an object may take until it is kept as wanted.
const KEPT: Duration = Duration::from_secs(240);
/// Nodes that a stranger knows. More than one, since each may die while it reads: of thirty nodes,
/// half killed at once, eight chosen by chance are all dead once in 667 times.
const CONTACTS: usize = 8;
/// Nobody relays: each would hold a place with each, and tell all of every place that comes or goes.
const CONFIG: &str = "lend = '2GiB'\nrelay_for_others = false\n";
/// What the nodes count of the bytes that they moved to mend objects.
const MENDED: [&str; 2] = ["craftec_mend_read_bytes_total", "craftec_mend_written_bytes_total"];

/// The addresses of those who live, for whoever looks at them.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Vec<String>>>);

impl Board {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<String>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn alive(&self) -> usize {
        self.with(|all| all.len())
    }

    /// Some of them, others each time.
    pub(crate) fn some(&self) -> Vec<String> {
        self.with(|all| {
            let turn = CONTACTS.min(all.len());
            all.rotate_left(turn);
            all.iter().take(CONTACTS).cloned().collect()
        })
    }
}

/// The nodes.
pub(crate) struct World {
    /// The first ones. The last of them dies next, which is the author at first.
    old: Vec<Daemon>,
    /// Those that came in their place.
    new: Vec<Daemon>,
    board: Board,
    config: String,
    /// Bytes that those who died had moved to mend objects.
    mended: u64,
}

impl World {
    /// Starts so many nodes, which look after coded objects so often; `seed` decides in which order
    /// they die.
    pub(crate) fn start(nodes: usize, mend_seconds: u64, seed: u64) -> Self {
        let mut config = format!("{CONFIG}mend_seconds = {mend_seconds}\n");
        if let Ok(log) = std::env::var("LIFE_LOG") {
            config.push_str(&format!("log = '{log}'\n"));
        }
        let (old, new) = (Vec::new(), Vec::new());
        let mut world = Self { old, new, board: Board::default(), config, mended: 0 };
        let mut all: Vec<_> = (0..nodes).map(|_| world.node()).collect();
        let author = all.pop().expect("a node");
        let chance = noise(seed, 2 * all.len());
        let mut order: Vec<_> = chance.chunks(2).zip(all).collect();
        order.sort_by_key(|(chance, _)| *chance);
        world.old = order.into_iter().map(|(_, node)| node).collect();
        world.old.push(author);
        world
    }

    fn node(&self) -> Daemon {
        let home = Home::new();
        home.write("data/craftec.toml", &self.config);
        let known = self.board.with(|all| all.join(","));
        let relay = ["--relay", known.as_str()];
        let args: &[&str] = if known.is_empty() { &[] } else { &relay };
        let node =
            Daemon::start_with(home, &[&["--listen", "/ip4/127.0.0.1/tcp/0"], args].concat());
        self.board.with(|all| all.push(node.addr()));
        node
    }

    pub(crate) fn board(&self) -> Board {
        self.board.clone()
    }

    pub(crate) fn contacts(&self) -> Vec<String> {
        self.board.some()
    }

    pub(crate) fn alive(&self) -> usize {
        self.old.len() + self.new.len()
    }

    /// How many of the first ones live.
    pub(crate) fn old(&self) -> usize {
        self.old.len()
    }

    pub(crate) fn author(&self) -> Author<'_> {
        Author(self.old.last().expect("the author lives"))
    }

    pub(crate) fn lose_author(&mut self) {
        let author = self.old.pop().expect("the author lives");
        self.bury(vec![author]);
    }

    /// Kills the next ones of the first, at once, and deletes their folders.
    pub(crate) fn lose(&mut self, count: usize) {
        let left = self.old.len().checked_sub(count).expect("so many live");
        let dying = self.old.split_off(left);
        self.bury(dying);
    }

    /// Starts one that has nothing.
    pub(crate) fn add(&mut self) {
        self.new.push(self.node());
    }

    fn bury(&mut self, mut dying: Vec<Daemon>) {
        // Nobody is sent to whom will not answer.
        let gone: Vec<String> = dying.iter().map(Daemon::addr).collect();
        self.board.with(|all| all.retain(|addr| !gone.contains(addr)));
        self.mended += dying.iter().map(mended).sum::<u64>();
        dying.iter_mut().for_each(Daemon::kill);
    }

    /// Bytes that all of them moved to mend objects.
    pub(crate) fn mended(&self) -> u64 {
        self.mended + self.old.iter().chain(&self.new).map(mended).sum::<u64>()
    }
}

/// A node that mended nothing counts nothing.
fn mended(node: &Daemon) -> u64 {
    MENDED.iter().filter_map(|name| node.metric(name)).sum()
}

/// Whoever puts the object.
pub(crate) struct Author<'a>(&'a Daemon);

impl Author<'_> {
    /// Puts it, and waits until it is kept as wanted.
    pub(crate) fn put(&self, content: &[u8], copies: Option<usize>) -> String {
        let home = &self.0.home;
        let file = home.write("object", content);
        let mut args = vec!["put".to_owned(), file.to_str().expect("UTF-8").to_owned()];
        args.extend(copies.map(|copies| format!("--replicas={copies}")));
        let cid = home.run(&args).ok()["cid"].as_str().expect("a CID").to_owned();
        let begun = Instant::now();
        loop {
            let stat = home.run(["stat", &cid]).ok();
            let count = |name: &str| stat["health"][name].as_u64().expect("a count");
            let as_asked = copies.is_some() || count("needed") > 1;
            if as_asked && count("wanted") > 0 && count("signed") >= count("wanted") {
                return cid;
            }
            assert!(begun.elapsed() < KEPT, "it is not kept as wanted: {}", stat["holders"]);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// How it is kept, in words.
    pub(crate) fn kept(&self, cid: &str) -> String {
        let health: &Value = &self.0.home.run(["stat", cid]).ok()["health"];
        let count = |name: &str| health[name].as_u64().expect("a count");
        format!("{} of {} signed, {} enough", count("signed"), count("wanted"), count("needed"))
    }
}
