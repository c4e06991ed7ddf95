//! An object outlives its author and its holders, in real processes on loopback: nodes are started,
//! one of them puts an object and is gone with its folder, half of the others are killed at once, and
//! then one after the other is replaced by a node that knows nothing. Meanwhile a stranger reads the
//! whole object, again and again, and every byte must be right.
//!
//! The short forms are part of the ordinary tests. The long ones, of thirty nodes, are run by
//! `make life RUNS=20` on the release build; `LIFE_RUNS` and `LIFE_SEED` are its words to this file.
//! `LIFE_LOG` is what the nodes log.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![allow(clippy::print_stdout, reason = "the figures are what one runs this for")]

mod diary;
mod stranger;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use diary::{Diary, Sum};
use stranger::Wanted;
use support::noise;
use world::World;

/// What one life is like.
#[derive(Clone, Copy)]
struct Life {
    /// Nodes at the start, the author's among them.
    nodes: usize,
    /// Size of the object.
    bytes: usize,
    /// Whole copies that the author asks for; `None` has the object coded.
    copies: Option<usize>,
    /// From one replacement to the next.
    pause: Duration,
    /// How often its holders look after the object.
    mend_seconds: u64,
}

const SHORT: Life =
    Life { nodes: 8, bytes: 8 << 20, copies: None, pause: Duration::from_secs(6), mend_seconds: 2 };

/// Half of the first holders are killed at once, and one copy at least must not be among them.
const COPIES: Life = Life { copies: Some(4), ..SHORT };

const LONG: Life = Life {
    nodes: 30,
    bytes: 100 << 20,
    copies: None,
    pause: Duration::from_secs(20),
    mend_seconds: 5,
};

/// Lives through one life.
fn live(life: Life, seed: u64) -> Sum {
    let content = noise(seed, life.bytes);
    let mut world = World::start(life.nodes, life.mend_seconds, seed);
    let cid = world.author().put(&content, life.copies);
    let wanted = Wanted { cid, content };
    let diary = Diary::begin();
    diary.note(world.alive(), &format!("kept: {}", world.author().kept(&wanted.cid)));
    // One read before anything happens: what comes later is beside it.
    diary.read(world.alive(), &wanted.read(&world.contacts()));
    world.lose_author();
    diary.note(world.alive(), "the author is gone");
    let over = AtomicBool::new(false);
    let contacts = world.board();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            loop {
                // The last read begins when everything has happened.
                let last = over.load(Ordering::Relaxed);
                let read = wanted.read(&contacts.some());
                diary.read(contacts.alive(), &read);
                if last {
                    return;
                }
            }
        });
        happen(life, &mut world, &diary);
        over.store(true, Ordering::Relaxed);
        reading.join().unwrap();
    });
    diary.sum(world.mended())
}

/// Half of the nodes die at once, then the rest one by one, each replaced.
fn happen(life: Life, world: &mut World, diary: &Diary) {
    std::thread::sleep(life.pause);
    let half = world.alive() / 2;
    world.lose(half);
    diary.note(world.alive(), &format!("{half} killed at once"));
    let mut due = Instant::now();
    let rounds = world.old();
    for round in 1..=rounds {
        due += life.pause;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        world.lose(1);
        world.add();
        diary.note(world.alive(), &format!("replaced, {round} of {rounds}"));
    }
    std::thread::sleep(life.pause);
}

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn a_coded_object_outlives_its_author_and_all_of_its_first_holders() {
    let sum = live(SHORT, 1);
    println!("life runs=1 {sum}");
    assert!(sum.all_exact(), "{sum}");
}

#[test]
fn whole_copies_outlive_their_author_and_all_of_their_first_holders() {
    let sum = live(COPIES, 1);
    println!("life runs=1 {sum}");
    assert!(sum.all_exact(), "{sum}");
}

/// With `LIFE_RUNS` runs, each of its own seed; `LIFE_SEED` is the first.
#[test]
#[ignore = "takes some seven minutes each time"]
fn thirty_nodes() {
    let (runs, first) = (number("LIFE_RUNS", 1), number("LIFE_SEED", 1));
    let (mut whole, mut good) = (Sum::default(), 0);
    for seed in first..first + runs {
        let sum = live(LONG, seed);
        println!("run of seed {seed}: {sum}");
        good += u64::from(sum.all_exact());
        whole.add(&sum);
    }
    println!("life runs={runs} good={good} {whole}");
    assert_eq!(good, runs);
}
