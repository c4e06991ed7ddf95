//! The node as the screens see it: signals that follow its events, and typed calls.
//!
//! The only module that talks to the SDK. It starts the node once, keeps the last word of every
//! event, bounded, and never draws anything.

pub(crate) mod databases;
mod js;
mod keep;
mod publish;
mod puts;
mod sdk;
pub(crate) mod types;

use std::collections::BTreeMap;

use futures::{
    FutureExt as _,
    future::{LocalBoxFuture, Shared},
};
use leptos::prelude::*;
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};
use wasm_bindgen_futures::spawn_local;

use js::FromJs;
pub(crate) use keep::Limit;
pub(crate) use publish::{Job, Step};
pub(crate) use puts::Putting;
use types::{
    ByteProgress, DatabaseRow, Entry, Failure, Health, LinkState, ObjectRow, Peer, Resolved,
    SiteRow, Stat, StateChange, Status, TabRole, Transfer, Way,
};

use crate::{browser, order};

/// Roots whose last health and transfers are kept; the oldest go first. A page of rows needs far
/// fewer, and `stat` brings any of them back.
const ROOTS_REMEMBERED: usize = 512;

/// Downloads up to this are gathered in memory and saved without a question; larger ones are
/// written to a file that the reader picks, where the browser can do that.
const GATHERED_BYTES: u64 = 64_000_000;

/// How far the start is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Fetching the SDK and the node.
    Loading,
    /// The node opens its identity and its disk.
    Opening,
    /// It answers.
    Running,
    /// The tab that ran it went away; another takes over.
    Reconnecting,
    /// It can't run here.
    Failed(Failure),
}

/// Milliseconds from the start of the page to each step of the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Started {
    /// The SDK is here.
    pub(crate) loaded_ms: Option<u64>,
    /// Identity and disk are open.
    pub(crate) opened_ms: Option<u64>,
    /// A first peer answered.
    pub(crate) peer_ms: Option<u64>,
    /// A first peer is reached directly.
    pub(crate) direct_ms: Option<u64>,
}

/// One transfer: root, direction, other side.
pub(crate) type TransferKey = (String, Way, String);

type Starting = Shared<LocalBoxFuture<'static, Result<sdk::Node, Failure>>>;

/// Everything the screens know of the node.
#[derive(Clone, Copy)]
pub(crate) struct NodeState {
    /// How far the start is.
    pub(crate) phase: RwSignal<Phase>,
    /// When each step of the start was done.
    pub(crate) started: RwSignal<Started>,
    /// Which tab runs the node.
    pub(crate) tab: RwSignal<TabRole>,
    /// Its last status.
    pub(crate) status: RwSignal<Option<Status>>,
    /// Who is connected, nearest first.
    pub(crate) peers: RwSignal<Vec<Peer>>,
    /// Last word about each transfer since the page was opened.
    pub(crate) transfers: RwSignal<BTreeMap<TransferKey, Transfer>>,
    /// Last word about the copies of each root since the page was opened.
    pub(crate) health: RwSignal<BTreeMap<String, Health>>,
    /// What was put or pinned here, newest first.
    pub(crate) objects: RwSignal<Option<Vec<ObjectRow>>>,
    /// What was published here, newest first.
    pub(crate) sites: RwSignal<Option<Vec<SiteRow>>>,
    /// The databases of this node, once they were asked for.
    pub(crate) databases: RwSignal<Option<Vec<DatabaseRow>>>,
    /// Files being put, and the last ones that were.
    pub(crate) puts: RwSignal<Vec<Putting>>,
    /// Whether the browser keeps this origin's data; `None` until it said so.
    pub(crate) kept: RwSignal<Option<bool>>,
    /// The publication under way, or the last one.
    pub(crate) job: RwSignal<Option<Job>>,
    node: StoredValue<Starting, LocalStorage>,
    abort: StoredValue<Option<web_sys::AbortController>, LocalStorage>,
}

impl NodeState {
    /// Starts loading the node and makes its state known to the screens.
    pub(crate) fn provide() -> Self {
        let phase = RwSignal::new(Phase::Loading);
        let started = RwSignal::new(Started::default());
        let state = Self {
            phase,
            started,
            tab: RwSignal::new(TabRole::Leader),
            status: RwSignal::new(None),
            peers: RwSignal::new(Vec::new()),
            transfers: RwSignal::new(BTreeMap::new()),
            health: RwSignal::new(BTreeMap::new()),
            objects: RwSignal::new(None),
            sites: RwSignal::new(None),
            databases: RwSignal::new(None),
            puts: RwSignal::new(Vec::new()),
            kept: RwSignal::new(None),
            job: RwSignal::new(None),
            node: StoredValue::new_local(start(phase, started).boxed_local().shared()),
            abort: StoredValue::new_local(None),
        };
        provide_context(state);
        spawn_local(async move {
            match state.node().await {
                Ok(node) => state.follow(&node).await,
                Err(failure) => state.phase.set(Phase::Failed(failure)),
            }
        });
        state
    }

    /// The node, once it runs.
    async fn node(self) -> Result<sdk::Node, Failure> {
        self.node.get_value().await
    }

    /// Listens to every event for as long as the page lives, then asks for the present.
    async fn follow(self, node: &sdk::Node) {
        if let Ok(role) = sdk::read(node.role()) {
            self.tab.set(role);
        }
        listen(node, "peers", move |peers: Vec<Peer>| self.take_peers(peers));
        listen(node, "transfer", move |t: Transfer| self.take_transfer(t));
        listen(node, "health", move |h: Health| self.take_health(h));
        listen(node, "status", move |change: StateChange| self.take_state(change));
        self.refresh().await;
        self.refresh_lists().await;
        browser::every(2_000, move || spawn_local(self.refresh()));
    }

    fn take_peers(self, mut peers: Vec<Peer>) {
        let distance = |peer: &Peer| peer.rtt_ms.unwrap_or(u32::MAX);
        order::sort(&mut peers, |a, b| {
            distance(a).cmp(&distance(b)).then_with(|| a.peer_id.cmp(&b.peer_id))
        });
        let elapsed_ms = browser::page_age_ms();
        let direct = peers.iter().any(|p| !matches!(p.link, types::Link::Relayed));
        let tab_direct = peers.iter().any(|p| p.link == types::Link::Webrtc);
        let known = self.started.get_untracked();
        let mut next = known;
        if direct {
            next.peer_ms = next.peer_ms.or(Some(elapsed_ms));
        }
        if tab_direct {
            next.direct_ms = next.direct_ms.or(Some(elapsed_ms));
        }
        if next != known {
            self.started.set(next);
        }
        if self.peers.with_untracked(|old| *old != peers) {
            self.peers.set(peers);
        }
    }

    fn take_transfer(self, transfer: Transfer) {
        let key = (transfer.cid.clone(), transfer.kind, transfer.peer.clone());
        self.transfers.update(|all| {
            // Ended ones go first; which of them is of no account.
            while all.len() >= ROOTS_REMEMBERED && !all.contains_key(&key) {
                let gone = all.iter().find(|(_, t)| t.done).or_else(|| all.iter().next());
                let Some(key) = gone.map(|(key, _)| key.clone()) else { break };
                all.remove(&key);
            }
            all.insert(key, transfer);
        });
    }

    fn take_health(self, health: Health) {
        let (cid, copies) = (health.cid.clone(), health.health);
        self.sites.update(|sites| {
            for row in sites.iter_mut().flatten().filter(|row| row.cid == cid) {
                row.health = copies;
            }
        });
        self.objects.update(|objects| {
            for row in objects.iter_mut().flatten().filter(|row| row.cid == cid) {
                row.health = copies;
            }
        });
        self.health.update(|all| {
            while all.len() >= ROOTS_REMEMBERED && !all.contains_key(&cid) {
                all.pop_first();
            }
            all.insert(cid, health);
        });
    }

    fn take_state(self, change: StateChange) {
        self.tab.set(change.role);
        self.phase.set(match (change.state, change.error) {
            (LinkState::Running, _) => Phase::Running,
            (LinkState::Reconnecting, _) => Phase::Reconnecting,
            (_, Some(error)) => Phase::Failed(error),
            (_, None) => Phase::Failed(Failure::here("aborted", "The node was stopped.")),
        });
    }

    /// Asks for the status. A failure leaves the last one: the event `status` says what is wrong.
    async fn refresh(self) {
        if browser::hidden() {
            return;
        }
        let Ok(node) = self.node().await else { return };
        let Ok(value) = node.status().await else { return };
        let Ok(status) = sdk::read::<Status>(value) else { return };
        self.take_peers(status.peers.clone());
        self.status.set(Some(status));
    }

    /// Asks for sites and objects anew.
    pub(crate) async fn refresh_lists(self) {
        let Ok(node) = self.node().await else { return };
        if let Ok(sites) = node.sites().list_sites().await.map_err(sdk::failure).and_then(sdk::read)
        {
            self.sites.set(Some(sites));
        }
        if let Ok(objects) = node.obj().mine().await.map_err(sdk::failure).and_then(sdk::read) {
            self.objects.set(Some(objects));
        }
        self.refresh().await;
    }

    /// Connects to a multiaddr.
    pub(crate) async fn connect(self, addr: String) -> Result<(), Failure> {
        self.node().await?.connect(&addr).await.map(drop).map_err(sdk::failure)
    }

    /// What others need to share something with this identity, as one line of text.
    pub(crate) async fn card(self) -> Result<String, Failure> {
        sdk::read(self.node().await?.card().await.map_err(sdk::failure)?)
    }

    /// The 24 words behind the identity.
    pub(crate) async fn backup_words(self) -> Result<Vec<String>, Failure> {
        let words = self.node().await?.backup_words().await.map_err(sdk::failure)?;
        sdk::read(words)
    }

    /// Sets the most that the node keeps for others.
    pub(crate) async fn lend_space(self, bytes: u64) -> Result<(), Failure> {
        // Whole bytes below 2⁵³ are exact as a JavaScript number; no disk is larger.
        #[allow(clippy::cast_precision_loss)]
        let limit = JsValue::from_f64(bytes as f64);
        self.node().await?.lend_space(&limit).await.map(drop).map_err(sdk::failure)?;
        self.refresh().await;
        Ok(())
    }

    /// Size, kind and holders of a root.
    pub(crate) async fn stat(self, cid: String) -> Result<Stat, Failure> {
        let stat = self.node().await?.obj().stat(&cid).await.map_err(sdk::failure)?;
        sdk::read(stat)
    }

    /// What a folder holds.
    pub(crate) async fn entries(self, address: String) -> Result<Vec<Entry>, Failure> {
        let entries = self.node().await?.obj().list(&address).await.map_err(sdk::failure)?;
        sdk::read(entries)
    }

    /// What a name points to now.
    pub(crate) async fn resolve(self, name: String) -> Result<Resolved, Failure> {
        let found = self.node().await?.sites().resolve(&name).await.map_err(sdk::failure)?;
        sdk::read(found)
    }

    /// Keeps a root here.
    pub(crate) async fn pin(self, cid: String) -> Result<(), Failure> {
        self.node().await?.obj().pin(&cid).await.map(drop).map_err(sdk::failure)?;
        self.refresh_lists().await;
        Ok(())
    }

    /// Lets go of a root.
    pub(crate) async fn unpin(self, cid: String) -> Result<(), Failure> {
        self.node().await?.obj().unpin(&cid).await.map(drop).map_err(sdk::failure)?;
        self.refresh_lists().await;
        Ok(())
    }

    /// Fetches content and hands it to the browser as a download, a piece at a time where the
    /// browser can write to a file.
    pub(crate) async fn download(
        self,
        address: String,
        name: String,
        bytes: u64,
        progress: impl Fn(ByteProgress) + 'static,
    ) -> Result<(), Failure> {
        // The file picker needs the click that led here, so it comes before anything slow.
        let target = if bytes > GATHERED_BYTES {
            browser::pick_save_target(&name).await.map_err(sdk::failure)?
        } else {
            None
        };
        let node = self.node().await?;
        let on_progress = listener(progress);
        let options = sdk::options(&[("onProgress", on_progress.as_ref().clone())]);
        let opened = node.obj().open(&address, &options).await.map_err(sdk::failure)?;
        let done = browser::save_stream(&opened, &name, target).await.map_err(sdk::failure);
        drop(on_progress);
        done
    }

    /// The link of a site.
    pub(crate) fn site_url(self, root: &str) -> String {
        let known = self.node.get_value().peek().cloned().and_then(Result::ok);
        known
            .and_then(|node| node.sites().url(root).ok())
            .and_then(|url| url.as_string())
            .unwrap_or_else(|| browser::home().site_url(root, ""))
    }
}

/// Loads the SDK and creates the node.
async fn start(phase: RwSignal<Phase>, started: RwSignal<Started>) -> Result<sdk::Node, Failure> {
    let module = sdk::load_sdk().await.map_err(|thrown| {
        let why = sdk::failure(thrown).message;
        Failure {
            hint: Some("Check that this page’s server still runs, then reload.".into()),
            ..Failure::here("unavailable", format!("The node could not be fetched: {why}."))
        }
    })?;
    let module: sdk::Sdk = module.unchecked_into();
    started.update(|s| s.loaded_ms = Some(browser::page_age_ms()));
    phase.set(Phase::Opening);
    let node = module.create_node(&sdk::options(&[])).await.map_err(sdk::failure)?;
    started.update(|s| s.opened_ms = Some(browser::page_age_ms()));
    phase.set(Phase::Running);
    // The shell for reloads without a relay; the app works without it.
    drop(module.register_app().await);
    Ok(node.unchecked_into())
}

/// Calls `take` with each event for as long as the page lives. An event that can't be read is
/// dropped: the next one, or the status, brings the present.
fn listen<T: FromJs + 'static>(node: &sdk::Node, event: &str, take: impl Fn(T) + 'static) {
    let closure = listener(take);
    node.on(event, closure.as_ref().unchecked_ref());
    closure.forget();
}

/// A JavaScript function that reads its argument and passes it on.
fn listener<T: FromJs + 'static>(take: impl Fn(T) + 'static) -> Closure<dyn Fn(JsValue)> {
    Closure::new(move |value| {
        if let Ok(value) = sdk::read(value) {
            take(value);
        }
    })
}
