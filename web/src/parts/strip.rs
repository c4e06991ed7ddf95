//! The strip on top of every screen: whether the node runs, with whom, and how the data is.

use std::collections::BTreeMap;

use leptos::prelude::*;

use super::marks::{icon, wire};
use crate::{
    copies,
    node::{
        NodeState, Phase,
        types::{Copies, Link, Peer, Storage, TabRole},
    },
    say,
};

/// Peers by the way they are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Without anyone between.
    pub(crate) direct: u64,
    /// Through a relay.
    pub(crate) relayed: u64,
    /// Relays, over a WebSocket.
    pub(crate) relays: u64,
}

impl Reach {
    /// Counts them.
    pub(crate) fn of(peers: &[Peer]) -> Self {
        peers.iter().fold(Self::default(), |mut reach, peer| {
            match peer.link {
                Link::Webrtc | Link::Quic | Link::Tcp => reach.direct += 1,
                Link::Relayed => reach.relayed += 1,
                Link::Websocket => reach.relays += 1,
            }
            reach
        })
    }

    /// `5 direct, 3 through a relay, 2 relays`.
    pub(crate) fn words(self) -> String {
        let parts = [
            (self.direct, "direct".to_owned()),
            (self.relayed, "through a relay".to_owned()),
            (self.relays, if self.relays == 1 { "relay".into() } else { "relays".into() }),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{} {what}", say::count(n)))
            .collect();
        if parts.is_empty() { "Nobody connected yet".into() } else { parts.join(", ") }
    }
}

/// The reader's data in two words and the figures behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataHealth {
    /// `Healthy`, `Nothing yet`, `2 short`.
    pub(crate) title: String,
    /// Copies wanted, all roots together.
    pub(crate) wanted: u64,
    /// Of these, signed for.
    pub(crate) signed: u64,
    /// Roots.
    pub(crate) roots: u64,
    /// Roots with fewer signed copies than wanted.
    pub(crate) short: u64,
}

impl DataHealth {
    /// Sums up every root once.
    pub(crate) fn of(roots: &BTreeMap<String, Copies>) -> Self {
        let (wanted, signed) = copies::total(roots.values().copied());
        let short = roots.values().filter(|c| c.signed < c.wanted).count() as u64;
        let title = match (roots.len(), short) {
            (0, _) => "Nothing yet".into(),
            (_, 0) => "Healthy".into(),
            (_, n) => format!("{} short", say::count(n)),
        };
        Self { title, wanted, signed, roots: roots.len() as u64, short }
    }
}

/// Every root of the reader with its copies: a site that is also listed as an object counts once.
pub(crate) fn roots(state: NodeState) -> BTreeMap<String, Copies> {
    let mut roots = BTreeMap::new();
    state.sites.with(|rows| {
        roots.extend(rows.iter().flatten().map(|row| (row.cid.clone(), row.health)));
    });
    state.objects.with(|rows| {
        roots.extend(rows.iter().flatten().map(|row| (row.cid.clone(), row.health)));
    });
    roots
}

/// The node's state in a few words.
pub(crate) fn phase_words(state: NodeState) -> &'static str {
    state.phase.with(|phase| match phase {
        Phase::Loading => "Loading",
        Phase::Opening => "Starting",
        Phase::Running => match state.tab.get() {
            TabRole::Leader => "Running in this tab",
            TabRole::Follower => "Running in another tab",
            TabRole::Remote => "Running outside the browser",
        },
        Phase::Reconnecting => "Moving to another tab",
        Phase::Failed(_) => "Not running",
    })
}

/// What a full disk means, with its figures.
pub(crate) fn disk_full(storage: &Storage) -> impl IntoView + use<> {
    let whole = storage.used.saturating_add(storage.free.unwrap_or_default());
    let figures = say::bytes_of(storage.used, whole);
    view! {
        <div class="note warn" role="status">
            {icon("#i-warn")}
            <p>
                <b>"Your disk is full: " {figures} "."</b>
                " Nothing is lost, but new files wait. Let go of a file, lend less, or make room on \
                 the disk; then they go on."
            </p>
        </div>
    }
}

/// The strip.
#[component]
pub(crate) fn Strip() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let running = move || state.phase.with(|p| matches!(p, Phase::Running));
    let reach = Memo::new(move |_| state.peers.with(|peers| Reach::of(peers)));
    let for_others = move || {
        let n = state.status.with(|s| s.as_ref().map(|s| s.storage.for_others));
        n.map_or_else(|| "–".to_owned(), say::bytes)
    };
    let data = Memo::new(move |_| DataHealth::of(&roots(state)));
    let up = move || {
        let up = state.status.with(|s| s.as_ref().map(|s| s.uptime_ms));
        up.map(|ms| format!("Up {}", say::duration(ms)))
    };
    let by_transport = move || {
        let Reach { direct, relayed, .. } = reach.get();
        view! {
            {wire(Link::Webrtc)} " " {say::count(direct)} " direct "
            <span class="faint">"\u{a0}"</span>
            {wire(Link::Relayed)} " " {say::count(relayed)} " relayed"
        }
    };
    let your_data = move || {
        let data = data.get();
        let (class, symbol) =
            if data.short > 0 { ("st warn", Some("#i-warn")) } else { ("st", None) };
        let of_copies = (data.short > 0).then_some(" of copies");
        let symbol = symbol.or((data.roots > 0).then_some("#i-ok"));
        view! { <span class=class>{symbol.map(icon)} " " {data.title} {of_copies}</span> }
    };
    let full = move || {
        let storage = state.status.with(|s| s.as_ref().map(|s| s.storage))?;
        let whole = storage.used.saturating_add(storage.free.unwrap_or_default());
        let words = format!("Disk full: {}", say::bytes_of(storage.used, whole));
        storage.full.then(|| {
            view! {
                <div>
                    <dt class="vh">"Disk"</dt>
                    <dd class="st warn" role="status">{icon("#i-warn")} " " {words}</dd>
                </div>
            }
        })
    };
    view! {
        <section class="strip" aria-label="This node">
            <dl>
                <div>
                    <dt class="vh">"Node"</dt>
                    <dd class="st" role="status">
                        <span class="dot" class:off=move || !running()></span>
                        {move || phase_words(state)}
                    </dd>
                </div>
                <div>
                    <dt>"Peers"</dt>
                    <dd>{move || say::count(state.peers.with(Vec::len) as u64)}</dd>
                </div>
                <div class="wide">
                    <dt class="vh">"By transport"</dt>
                    <dd class="st">{by_transport}</dd>
                </div>
                <div class="wide"><dt>"For others"</dt><dd>{for_others}</dd></div>
                <div><dt>"Your data"</dt><dd class="st">{your_data}</dd></div>
                {full}
            </dl>
            <span class="end faint">{up}</span>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(wanted: u16, signed: u16) -> Copies {
        Copies { wanted, signed, reachable: signed, needed: 1 }
    }

    #[test]
    fn health_counts_roots_that_are_short() {
        let roots = [("a".to_owned(), copies(3, 3)), ("b".to_owned(), copies(3, 1))];
        let health = DataHealth::of(&roots.into());
        assert_eq!(health.title, "1 short");
        assert_eq!((health.wanted, health.signed, health.roots), (6, 4, 2));
        assert_eq!(DataHealth::of(&BTreeMap::new()).title, "Nothing yet");
        assert_eq!(DataHealth::of(&[("a".to_owned(), copies(1, 2))].into()).title, "Healthy");
    }

    #[test]
    fn reach_is_said_in_words() {
        assert_eq!(Reach::default().words(), "Nobody connected yet");
        let reach = Reach { direct: 2, relayed: 0, relays: 1 };
        assert_eq!(reach.words(), "2 direct, 1 relay");
    }
}
