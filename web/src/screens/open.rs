//! Open: paste a link, see where it comes from, read it here or in a tab of its own.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::{
    address,
    app::titled,
    location::Location,
    node::{
        NodeState,
        types::{Failure, Kind, Link, Peer, Stat, Way},
    },
    parts::{
        lookup::{LookUp, copies_fact},
        marks::{cid, icon, kind_words, link_words, peer_id, wire},
        words::failed,
    },
    say,
};

/// What a site in our frame may do: all but lead the app's own window elsewhere.
const VIEWED: &str = "allow-scripts allow-same-origin allow-forms allow-modals allow-downloads \
                      allow-popups allow-popups-to-escape-sandbox";

/// The screen. What is open is in the address, so that reload and back work.
#[component]
pub(crate) fn Open() -> impl IntoView {
    titled("Open");
    let location = expect_context::<Location>();
    let (root, path) = (location.query("root"), location.query("path"));
    let root = Memo::new(move |_| root.get().filter(|root| address::is_cid(root)));
    let arrived = move |root: String, path: String| {
        let path = match address::encode_path(&path) {
            path if path.is_empty() => path,
            path => format!("&path={path}"),
        };
        location.go(&format!("/open?root={root}{path}"));
    };
    view! {
        <div class="head"><div>
            <h1>"Open a site or a file"</h1>
            <p>"Your browser fetches it from its holders and checks every block against the link."</p>
        </div></div>
        <LookUp verb="Open" arrived/>
        {move || root.get().map(|root| {
            let path = path.get().unwrap_or_default();
            view! { <Target root path/> }
        })}
    }
}

#[component]
fn Target(root: String, path: String) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let stat = RwSignal::new(None::<Result<Stat, Failure>>);
    let asked = root.clone();
    let ask = move || {
        let asked = asked.clone();
        stat.set(None);
        spawn_local(async move {
            let answer = state.stat(asked).await;
            stat.set(Some(answer));
        });
    };
    ask();
    let framed = RwSignal::new(false);
    let url = format!("{}{}", state.site_url(&root), address::encode_path(&path));
    let (frame_url, tab_url) = (url.clone(), url);
    let again = move |_| ask();
    let facts = move || {
        stat.with(|stat| match stat {
            None => view! {
                <p class="dim" role="status">
                    "Looking for holders. Leave this open and it loads by itself."
                </p>
            }
            .into_any(),
            Some(Err(failure)) => view! {
                <div class="stack">
                    {failed(failure)}
                    <div class="row">
                        <button class="b small" on:click=again.clone()>"Try again"</button>
                    </div>
                </div>
            }
            .into_any(),
            Some(Ok(stat)) => found(stat).into_any(),
        })
    };
    let known = Signal::derive(move || stat.with(|stat| matches!(stat, Some(Ok(_)))));
    let view_name = move || if framed.get() { "Close the view" } else { "View it here" };
    let frame = move || {
        framed.get().then(|| {
            view! {
                <iframe class="viewer" src=frame_url.clone() title="The opened site"
                    sandbox=VIEWED referrerpolicy="no-referrer"></iframe>
            }
        })
    };
    view! {
        <section class="target" aria-labelledby="targett">
            <div class="sechead">
                <h2 id="targett">{cid(&root)}</h2>
                <div class="row tight">
                    <button class="b" aria-expanded=move || framed.get().to_string()
                        on:click=move |_| framed.update(|open| *open = !*open)>{view_name}</button>
                    <a class="b" href=tab_url target="_blank" rel="noopener">
                        {icon("#i-ext")} " Open in a new tab"
                    </a>
                </div>
            </div>
            {facts}
            <Sources root=root.clone() known/>
            {frame}
        </section>
    }
}

fn found(stat: &Stat) -> impl IntoView + use<> {
    let here = format!("{} of {} blocks", say::count(stat.local_blocks), say::count(stat.blocks));
    let files =
        (stat.kind == Kind::Folder).then(|| format!(", {}", say::counted(stat.files, "file")));
    view! {
        <dl class="facts">
            <dt>"Kind"</dt><dd>{kind_words(stat.kind)} {files}</dd>
            <dt>"Size"</dt><dd>{say::bytes(stat.size)}</dd>
            <dt>"Already here"</dt><dd>{here}</dd>
            {copies_fact(stat.health)}
        </dl>
    }
}

/// One peer that bytes came from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    peer_id: String,
    bytes: u64,
    done: bool,
}

/// Who the bytes come from, live.
#[component]
fn Sources(
    root: String,
    /// The content was found.
    known: Signal<bool>,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let sources = Memo::new(move |_| {
        state.transfers.with(|all| {
            let ours = all.values().filter(|t| t.cid == root && t.kind == Way::Receive);
            ours.map(|t| Source { peer_id: t.peer.clone(), bytes: t.bytes, done: t.done })
                .collect::<Vec<_>>()
        })
    });
    move || {
        let sources = sources.get();
        (!sources.is_empty() || known.get()).then(|| {
            let words = state.peers.with(|peers| received_words(&sources, peers));
            let table =
                (!sources.is_empty()).then(|| state.peers.with(|peers| table(&sources, peers)));
            view! {
                <div class="note sec2" role="status">{icon("#i-lock")}<p>{words}</p></div>
                {table}
            }
        })
    }
}

/// How much came, from how many, and how much of it directly.
fn received_words(sources: &[Source], peers: &[Peer]) -> String {
    if sources.is_empty() {
        return "Every file is checked in this browser. Nothing had to be fetched yet: what is \
                already here is shown from here."
            .to_owned();
    }
    let is_direct = |source: &&Source| {
        peers.iter().any(|p| p.peer_id == source.peer_id && p.link != Link::Relayed)
    };
    let bytes = sources.iter().map(|s| s.bytes).sum();
    let direct = sources.iter().filter(is_direct).map(|s| s.bytes).sum();
    let from = say::counted(sources.len() as u64, "peer");
    format!(
        "Every file is checked in this browser: {} received from {from}, {} of it directly.",
        say::bytes(bytes),
        say::bytes(direct),
    )
}

fn table(sources: &[Source], peers: &[Peer]) -> impl IntoView + use<> {
    let row = |source: &Source| {
        let reached = match peers.iter().find(|p| p.peer_id == source.peer_id) {
            Some(peer) => view! {
                <span class="st">{wire(peer.link)} " " <span>{link_words(peer)}</span></span>
            }
            .into_any(),
            None => "Gone meanwhile".into_any(),
        };
        let state = if source.done { "Checked" } else { "Arriving, checked block by block" };
        view! {
            <tr>
                <th scope="row">{peer_id(&source.peer_id)}</th>
                <td>{reached}</td>
                <td class="num">{say::bytes(source.bytes)}</td>
                <td>{state}</td>
            </tr>
        }
    };
    view! {
        <div class="over">
            <table class="dense">
                <caption class="vh">"Where it comes from"</caption>
                <thead><tr>
                    <th scope="col">"From"</th>
                    <th scope="col">"Reached"</th>
                    <th scope="col" class="num">"Received"</th>
                    <th scope="col">"State"</th>
                </tr></thead>
                <tbody>{sources.iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}
