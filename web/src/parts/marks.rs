//! The small drawings: icons, line styles, the graduated scale, key bars. Each stands beside words
//! that say the same.

use leptos::prelude::*;

use crate::{
    copies::{Level, Verdict},
    node::types::{Kind, Link, Peer, Role},
    picture, say,
};

/// An icon of the sprite in `index.html`, hidden from screen readers.
pub(crate) fn icon(symbol: &'static str) -> impl IntoView {
    view! { <svg class="i" aria-hidden="true"><use href=symbol/></svg> }
}

/// The mark of the app.
pub(crate) fn logo() -> impl IntoView {
    view! {
        <svg viewBox="0 0 18 18" aria-hidden="true">
            <path d="M1 2h3v14H1zM5.5 2h3v14h-3zM14.5 2h3v14h-3z"/>
            <path class="gap" d="M10 11h3v5h-3z"/>
        </svg>
    }
}

/// The line style of a link: solid direct, dashed relayed, dotted WebSocket.
pub(crate) fn wire(link: Link) -> impl IntoView {
    let class = format!("wire {}", wire_class(link));
    view! { <svg class=class viewBox="0 0 28 8" aria-hidden="true"><path d="M1 4h26"/></svg> }
}

/// The style's name in the sheet.
pub(crate) const fn wire_class(link: Link) -> &'static str {
    match link {
        Link::Webrtc | Link::Quic | Link::Tcp => "direct",
        Link::Relayed => "relayed",
        Link::Websocket => "ws",
    }
}

/// A link in words: `Direct, WebRTC`, `Through …9wQx`.
pub(crate) fn link_words(peer: &Peer) -> String {
    match (peer.link, peer.via.as_deref()) {
        (Link::Webrtc, _) => "Direct, WebRTC".into(),
        (Link::Quic, _) => "Direct, QUIC".into(),
        (Link::Tcp, _) => "Direct, TCP".into(),
        (Link::Websocket, _) => "WebSocket".into(),
        (Link::Relayed, Some(via)) => format!("Through …{}", say::tail(via, 4)),
        (Link::Relayed, None) => "Through a relay".into(),
    }
}

/// A role in words.
pub(crate) const fn role_words(role: Role) -> &'static str {
    match role {
        Role::Tab => "Tab",
        Role::Relay => "Relay",
        Role::Foreign => "Other software",
    }
}

/// A kind in words.
pub(crate) const fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "File",
        Kind::Folder => "Folder",
    }
}

/// The graduated scale: `have` of `of` ticks are counted. Wholes beyond 48 are drawn as 48 ticks.
pub(crate) fn scale(have: u64, of: u64, class: &'static str, label: String) -> impl IntoView {
    let of = of.max(1);
    let ticks = of.min(48);
    // A part that is there shows at least one tick, and only the whole shows all of them.
    let drawn = match have.min(of) {
        0 => 0,
        part if part == of => ticks,
        part => {
            let share = u128::from(part) * u128::from(ticks) / u128::from(of);
            u64::try_from(share).unwrap_or(0).max(1)
        }
    };
    view! {
        <span
            class=format!("scale {class}")
            style=("--of", ticks.to_string())
            style=("--have", drawn.to_string())
            role="meter"
            aria-valuemin="0"
            aria-valuemax=of.to_string()
            aria-valuenow=have.min(of).to_string()
            aria-label=label
        ></span>
    }
}

/// Bars drawn from an id.
pub(crate) fn print(id: &str) -> impl IntoView + use<> {
    let path: String = picture::bars(id)
        .into_iter()
        .enumerate()
        .map(|(i, step)| {
            let (x, height) = (i * 3, 3 * (usize::from(step) + 1));
            format!("M{x} {}h2v{height}h-2z", 24 - height)
        })
        .collect();
    view! {
        <svg class="print" viewBox="0 0 38 24" aria-hidden="true"><path d=path/></svg>
    }
}

/// A verdict's glyph and title.
pub(crate) fn verdict_mark(verdict: &Verdict) -> impl IntoView + use<> {
    let (class, symbol) = match verdict.level {
        Level::Fine => ("st", "#i-ok"),
        Level::Attention => ("st warn", "#i-warn"),
    };
    view! { <span class=class>{icon(symbol)} " " {verdict.title}</span> }
}

/// A peer's id, shortened to its end, whole in the tooltip.
pub(crate) fn peer_id(id: &str) -> impl IntoView + use<> {
    let short = say::tail(id, 4).to_owned();
    view! { <span class="id nb" title=id.to_owned()>"…"{short}</span> }
}

/// A CID, shortened in the middle, whole in the tooltip.
pub(crate) fn cid(cid: &str) -> impl IntoView + use<> {
    let (lead, tail) = (say::lead(cid, 8).to_owned(), say::tail(cid, 5).to_owned());
    view! {
        <span class="id" title=cid.to_owned()>{lead}<span class="e">"…"</span>{tail}</span>
    }
}
