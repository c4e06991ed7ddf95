//! What this node announces in the DHT, kept announced: the roots it has, and its signed records.
//!
//! A failure (nobody is connected yet, for instance) is tried again with growing pauses, and at once
//! when a peer comes. It never decides what is announced.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use craftec_p2p::{Key, NetEvent, Record, SharedNetwork};
use craftec_platform::Clock;
use futures::StreamExt;

/// First pause after a failure; doubled each time.
const RETRY: Duration = Duration::from_secs(2);
/// Longest pause after failures.
const RETRY_MOST: Duration = Duration::from_secs(5 * 60);
/// How often what was announced is announced again: several times within the DHT's memory of a day.
const REFRESH: Duration = Duration::from_secs(4 * 60 * 60);
/// Nodes that hold one record of the DHT.
const CLOSEST: usize = 20;
/// Least time between two announcements of one thing to newcomers.
const AGAIN: Duration = Duration::from_secs(20);
/// How often the list is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Announcements on their way at one time: each costs the DHT some twenty messages.
const AT_ONCE: usize = 8;

/// Announces roots and records. Cloning shares it.
#[derive(Clone)]
pub struct Announcer(Rc<Inner>);

struct Inner {
    network: SharedNetwork,
    clock: Rc<dyn Clock>,
    items: RefCell<BTreeMap<(Kind, [u8; 32]), Item>>,
    running: Cell<usize>,
    ticking: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Record,
    Provider,
}

struct Item {
    /// A record's bytes.
    value: Vec<u8>,
    due: Duration,
    /// When it was last announced well.
    done: Option<Duration>,
    failures: u32,
    running: bool,
    /// Told apart from what replaced it while it was on its way.
    version: u64,
}

impl Announcer {
    /// Announces over `network` from now on.
    pub fn start(network: SharedNetwork, clock: Rc<dyn Clock>) -> Self {
        let inner = Rc::new(Inner {
            network,
            clock,
            items: RefCell::default(),
            running: Cell::new(0),
            ticking: Cell::new(false),
        });
        inner.follow_peers();
        Self(inner)
    }

    /// Announces that we hold what `key` names.
    pub fn provide(&self, key: Key) {
        let known = self.0.items.borrow().contains_key(&(Kind::Provider, key.0));
        if !known {
            self.0.add(Kind::Provider, key, Vec::new());
        }
    }

    /// Announces it once more: those in the DHT who were told may be gone.
    pub fn provide_again(&self, key: Key) {
        let known = self.0.items.borrow().contains_key(&(Kind::Provider, key.0));
        if known {
            self.0.add(Kind::Provider, key, Vec::new());
        }
    }

    /// Stops announcing it.
    pub fn stop_providing(&self, key: Key) {
        self.0.items.borrow_mut().remove(&(Kind::Provider, key.0));
        self.0.network.stop_providing(key);
    }

    /// Puts a signed record in the DHT, in the place of an older one.
    pub fn put_record(&self, record: Record) {
        self.0.add(Kind::Record, record.key, record.value);
    }

    /// Stops putting a record; what others hold of it ends by itself.
    pub fn forget_record(&self, key: Key) {
        self.0.items.borrow_mut().remove(&(Kind::Record, key.0));
    }

    /// Ends all of it.
    pub fn stop(&self) {
        self.0.items.borrow_mut().clear();
    }
}

impl Inner {
    fn add(self: &Rc<Self>, kind: Kind, key: Key, value: Vec<u8>) {
        let mut items = self.items.borrow_mut();
        let version = items.get(&(kind, key.0)).map_or(0, |item| item.version + 1);
        let due = self.clock.monotonic();
        let item = Item { value, due, done: None, failures: 0, running: false, version };
        items.insert((kind, key.0), item);
        drop(items);
        self.advance();
        self.tick();
    }

    fn tick(self: &Rc<Self>) {
        if self.ticking.replace(true) {
            return;
        }
        let (weak, clock) = (Rc::downgrade(self), self.clock.clone());
        self.clock.spawn(Box::pin(async move {
            loop {
                clock.sleep(TICK).await;
                let Some(inner) = weak.upgrade() else { return };
                if inner.items.borrow().is_empty() {
                    inner.ticking.set(false);
                    return;
                }
                inner.advance();
            }
        }));
    }

    /// A peer that comes may be the first: what failed before is due now.
    fn follow_peers(self: &Rc<Self>) {
        let weak = Rc::downgrade(self);
        let mut events = self.network.events();
        self.clock.spawn(Box::pin(async move {
            while let Some(event) = events.next().await {
                let Some(inner) = weak.upgrade() else { return };
                if let NetEvent::Connected(_) = event {
                    inner.newcomer();
                }
            }
        }));
    }

    /// What failed before is due now. While few are connected, a newcomer belongs to those who are
    /// to hold every record, and it may be a relay that forgot what it held.
    fn newcomer(self: &Rc<Self>) {
        let now = self.clock.monotonic();
        let few = self.network.peers().len() <= CLOSEST;
        for item in self.items.borrow_mut().values_mut() {
            let old = item.done.is_some_and(|done| now.saturating_sub(done) >= AGAIN);
            if item.failures > 0 || (few && old) {
                item.due = now;
            }
        }
        self.tick();
    }

    /// Starts what is due.
    fn advance(self: &Rc<Self>) {
        let now = self.clock.monotonic();
        while self.running.get() < AT_ONCE {
            let next = {
                let mut items = self.items.borrow_mut();
                let due = items.iter_mut().find(|(_, item)| !item.running && item.due <= now);
                due.map(|((kind, key), item)| {
                    item.running = true;
                    (*kind, *key, item.value.clone(), item.version)
                })
            };
            let Some((kind, key, value, version)) = next else { return };
            self.running.set(self.running.get() + 1);
            let announced = match kind {
                Kind::Provider => self.network.provide(Key(key)),
                Kind::Record => self.network.put_record(Record { key: Key(key), value }),
            };
            let inner = self.clone();
            self.clock.spawn(Box::pin(async move {
                let result = announced.await;
                inner.running.set(inner.running.get() - 1);
                if let Err(error) = &result {
                    tracing::debug!(%error, ?kind, "not announced yet");
                }
                inner.done(kind, key, version, result.is_ok());
            }));
        }
    }

    fn done(self: &Rc<Self>, kind: Kind, key: [u8; 32], version: u64, well: bool) {
        let now = self.clock.monotonic();
        if let Some(item) = self.items.borrow_mut().get_mut(&(kind, key))
            && item.version == version
        {
            item.running = false;
            item.failures = if well { 0 } else { item.failures + 1 };
            item.done = if well { Some(now) } else { item.done };
            item.due = now
                + match item.failures {
                    0 => REFRESH,
                    n => (RETRY * (1 << (n - 1).min(10))).min(RETRY_MOST),
                };
        }
        self.advance();
    }
}
