//! Network: the picture, the table that has every fact of it, this node's addresses.

use leptos::{html::Dialog, prelude::*};
use wasm_bindgen_futures::spawn_local;

use crate::{
    app::titled,
    node::{
        NodeState,
        types::{Failure, Link, Peer, Role},
    },
    parts::{
        marks::{icon, link_words, peer_id, role_words, wire, wire_class},
        strip::Reach,
        words::{Copy, failed},
    },
    picture::{self, CENTRE, RINGS, Spot, length},
    say,
};

/// The screen.
#[component]
pub(crate) fn Network() -> impl IntoView {
    titled("Network");
    let state = expect_context::<NodeState>();
    let lead = move || {
        let reach = state.peers.with(|peers| Reach::of(peers));
        let (all, direct) = (reach.direct + reach.relayed, reach.direct);
        match (all + reach.relays, all) {
            (0, _) => "Nobody is connected yet. Your node goes on looking.".to_owned(),
            (_, 0) => "A relay answers; no other tab is connected yet.".to_owned(),
            _ => format!("Everyone this tab is talking to. {}", reach_words(direct, all)),
        }
    };
    view! {
        <div class="head">
            <div><h1>"Network"</h1><p role="status">{lead}</p></div>
            <div class="row"><ConnectPeer/></div>
        </div>
        <div class="nett">
            <figure>{move || state.peers.with(|peers| drawing(peers))}</figure>
            <Legend/>
        </div>
        <Peers/>
    }
}

/// How many peers are reached directly, relays left aside.
fn reach_words(direct: u64, all: u64) -> String {
    match (direct, all) {
        (1, 1) => "The only peer is reached directly.".into(),
        (0, 1) => "The only peer is reached through a relay.".into(),
        (direct, all) if direct == all => {
            format!("All {} are reached directly.", say::counted(all, "peer"))
        }
        (direct, all) => {
            let is = if direct == 1 { "is" } else { "are" };
            let (direct, all) = (say::small_number(direct), say::counted(all, "peer"));
            format!("{direct} of {all} {is} reached directly; a relay only carries what it must.")
        }
    }
}

/// The picture.
fn drawing(peers: &[Peer]) -> impl IntoView + use<> {
    let spots = picture::place(peers);
    let roles: Vec<Role> = peers.iter().map(|peer| peer.role).collect();
    let rings = RINGS.map(|ms| {
        let r = length(picture::radius(Some(ms)));
        view! { <circle class="ring" cx="260" cy="260" r=r/> }
    });
    let labels = RINGS.map(|ms| {
        let y = length(CENTRE + picture::radius(Some(ms)) + 4.0);
        let unit = if Some(&ms) == RINGS.last() { " ms" } else { "" };
        view! { <text class="ax" x="260" y=y text-anchor="middle">{ms} {unit}</text> }
    });
    let line = |spot: &Spot| {
        let [from_x, from_y] = [spot.from.0, spot.from.1].map(length);
        let [x, y] = [spot.x, spot.y].map(length);
        let class = format!("w wire-{}", wire_class(spot.link));
        let path = format!("M{from_x} {from_y}L{x} {y}");
        view! { <path class=class d=path/> }
    };
    let lines = spots.iter().map(line).collect_view();
    let marks = spots.iter().zip(roles).map(|(spot, role)| mark(spot, role)).collect_view();
    view! {
        <svg class="map" viewBox="-36 0 592 520" role="img" aria-labelledby="mapt">
            <title id="mapt">
                "This tab and the peers it is connected to, placed by round trip time. The table has \
                 the same facts."
            </title>
            {rings.collect_view()}
            {labels.collect_view()}
            {lines}
            {marks}
            <circle class="self" cx="260" cy="260" r="11"/>
            <text class="you" x="260" y="238" text-anchor="middle">"This tab"</text>
        </svg>
    }
}

fn mark(spot: &Spot, role: Role) -> impl IntoView + use<> {
    let (x, y) = (spot.x, spot.y);
    let shape = if role == Role::Tab {
        view! { <circle class="n" cx=length(x) cy=length(y) r="8"/> }.into_any()
    } else {
        let path = format!("M{} {}h16v16h-16z", length(x - 8.0), length(y - 8.0));
        view! { <path class="n" d=path/> }.into_any()
    };
    // Labels point away from the middle.
    let (dx, anchor) = if x < CENTRE { (-14.0, "end") } else { (14.0, "start") };
    let name = say::tail(&spot.peer_id, 4).to_owned();
    let (at_x, at_y) = (length(x + dx), length(y + 4.0));
    view! { <g>{shape}<text x=at_x y=at_y text-anchor=anchor>{name}</text></g> }
}

/// How to read the picture, and where others find this node.
#[component]
fn Legend() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let me = move || {
        state.status.with(|s| {
            s.as_ref().map(|s| {
                let (did, peer) = (s.did.clone(), s.peer_id.clone());
                let short_did = format!("{}…{}", say::lead(&did, 16), say::tail(&did, 6));
                view! {
                    <dt>"Identity"</dt><dd><span class="id" title=did>{short_did}</span></dd>
                    <dt>"Peer id"</dt><dd>{peer_id(&peer)}</dd>
                }
            })
        })
    };
    let reachable = move || {
        let reach = state.peers.with(|peers| Reach::of(peers));
        let n = state.status.with(|s| s.as_ref().map_or(0, |s| s.addresses.len()));
        match (n, reach.relays) {
            (0, _) => "Not by others yet".to_owned(),
            (_, 0) => "Only by those connected now".to_owned(),
            (_, relays) => format!("Yes, through {}", say::counted(relays, "relay")),
        }
    };
    view! {
        <div class="stack wide">
            <div>
                <h2>"How to read it"</h2>
                <ul class="legend">
                    <li>{wire(Link::Webrtc)} " Direct, browser to browser (WebRTC)"</li>
                    <li>{wire(Link::Relayed)} " Carried by a relay, encrypted end to end"</li>
                    <li>{wire(Link::Websocket)} " To a relay (WebSocket)"</li>
                    <li>
                        <svg viewBox="0 0 28 14" aria-hidden="true"><circle cx="14" cy="7" r="5.5"/></svg>
                        " A tab"
                    </li>
                    <li>
                        <svg viewBox="0 0 28 14" aria-hidden="true"><path d="M8.5 1.5h11v11h-11z"/></svg>
                        " A relay, always on"
                    </li>
                </ul>
                <p class="s dim sec2">
                    "Distance from the centre is the round trip, on a logarithmic scale. Direction \
                     means nothing."
                </p>
            </div>
            <dl class="facts">
                {me}
                <dt>"Reachable"</dt><dd>{reachable}</dd>
            </dl>
            <Addresses/>
        </div>
    }
}

#[component]
fn Addresses() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let addresses = Memo::new(move |_| {
        state.status.with(|s| s.as_ref().map(|s| s.addresses.clone()).unwrap_or_default())
    });
    let row = |address: String| {
        let text = address.clone();
        view! {
            <li><span class="id brk">{address}</span> <Copy text name="Copy address"/></li>
        }
    };
    move || {
        let addresses = addresses.get();
        let name = match addresses.len() {
            1 => "Your address".to_owned(),
            n => format!("Your {} addresses", say::count(n as u64)),
        };
        (!addresses.is_empty()).then(|| {
            view! {
                <details class="s">
                    <summary>{name}</summary>
                    <ul class="addresses">{addresses.into_iter().map(row).collect_view()}</ul>
                </details>
            }
        })
    }
}

/// Every fact of the picture.
#[component]
fn Peers() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let row = |peer: &Peer| {
        let rtt =
            peer.rtt_ms.map_or_else(|| "–".into(), |ms| format!("{} ms", say::count(ms.into())));
        let bytes = format!("{} in, {} out", say::bytes(peer.received), say::bytes(peer.sent));
        view! {
            <tr>
                <th scope="row">{peer_id(&peer.peer_id)}</th>
                <td class="p2">{role_words(peer.role)}</td>
                <td>
                    <span class="st">{wire(peer.link)} " " <span>{link_words(peer)}</span></span>
                    <small class="only-s">{bytes}</small>
                </td>
                <td class="num">{rtt}</td>
                <td class="num p2">{say::bytes(peer.received)}</td>
                <td class="num p2">{say::bytes(peer.sent)}</td>
                <td class="p3"><span class="id addr" title=peer.addr.clone()>{peer.addr.clone()}</span></td>
            </tr>
        }
    };
    let body = move || {
        state.peers.with(|peers| {
            if peers.is_empty() {
                return view! {
                    <p class="dim">
                        "Nobody is connected. Your own sites and files open as before; copies go out \
                         when a peer answers."
                    </p>
                }
                .into_any();
            }
            let received = peers.iter().map(|peer| peer.received).sum();
            let sent = peers.iter().map(|peer| peer.sent).sum();
            view! {
                <table class="dense">
                    <thead><tr>
                        <th scope="col">"Id"</th>
                        <th scope="col" class="p2">"Kind"</th>
                        <th scope="col">"Reached"</th>
                        <th scope="col" class="num" aria-sort="ascending">"Round trip"</th>
                        <th scope="col" class="num p2">"Received"</th>
                        <th scope="col" class="num p2">"Sent"</th>
                        <th scope="col" class="p3">"Address in use"</th>
                    </tr></thead>
                    <tbody>{peers.iter().map(row).collect_view()}</tbody>
                    <tfoot><tr>
                        <th scope="row">{say::count(peers.len() as u64)} " in all"</th>
                        <td class="p2"></td>
                        <td>{Reach::of(peers).words()}</td>
                        <td></td>
                        <td class="num p2">{say::bytes(received)}</td>
                        <td class="num p2">{say::bytes(sent)}</td>
                        <td class="p3"></td>
                    </tr></tfoot>
                </table>
            }
            .into_any()
        })
    };
    view! {
        <section aria-labelledby="pt">
            <div class="sechead">
                <h2 id="pt">"Peers and relays"</h2>
                <span class="s faint">"Nearest first"</span>
            </div>
            {body}
        </section>
    }
}

/// Connecting to an address by hand.
#[component]
fn ConnectPeer() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let dialog = NodeRef::<Dialog>::new();
    let addr = RwSignal::new(String::new());
    let failure = RwSignal::new(None::<Failure>);
    let busy = RwSignal::new(false);
    let open = move |_| {
        if let Some(dialog) = dialog.get_untracked() {
            // Fails only where it is open already.
            drop(dialog.show_modal());
        }
    };
    let close = move || {
        // Gone where the reader went on meanwhile.
        if let Some(dialog) = dialog.try_get_untracked().flatten() {
            dialog.close();
        }
    };
    let connect = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        failure.set(None);
        busy.set(true);
        let text = addr.with_untracked(|addr| addr.trim().to_owned());
        spawn_local(async move {
            let done = state.connect(text).await;
            busy.set(false);
            match done {
                Ok(()) => {
                    addr.set(String::new());
                    close();
                }
                Err(why) => failure.set(Some(why)),
            }
        });
    };
    view! {
        <button class="b" on:click=open>"Connect to a peer…"</button>
        <dialog node_ref=dialog aria-labelledby="connectt">
            <header>
                <h2 id="connectt">"Connect to a peer"</h2>
                <button class="b quiet icon" aria-label="Close" on:click=move |_| close()>
                    {icon("#i-x")}
                </button>
            </header>
            <form class="body" id="connectform" on:submit=connect>
                <div class="f">
                    <label for="addr">"Address"</label>
                    <input class="in id" id="addr" autocomplete="off" spellcheck="false"
                        aria-describedby="addrhelp" placeholder="/ip4/…/tcp/4081/ws/p2p/12D3KooW…"
                        prop:value=addr on:input=move |event| addr.set(event_target_value(&event))/>
                    <p class="help" id="addrhelp">
                        "A multiaddr: of a relay, or of a tab, as its Network page shows it"
                    </p>
                </div>
                <div role="status" class="s dim">{move || busy.get().then_some("Dialling, 10 s at most")}</div>
                {move || failure.with(|f| f.as_ref().map(failed))}
            </form>
            <footer>
                <button class="b" type="button" on:click=move |_| close()>"Not now"</button>
                <button class="b go" form="connectform" disabled=busy>"Connect"</button>
            </footer>
        </dialog>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_is_a_sentence_for_any_count() {
        assert_eq!(reach_words(1, 1), "The only peer is reached directly.");
        assert_eq!(reach_words(3, 3), "All 3 peers are reached directly.");
        assert!(reach_words(1, 2).starts_with("One of 2 peers is reached directly;"));
        assert!(reach_words(0, 2).starts_with("None of 2 peers are reached directly;"));
        assert!(reach_words(0, 1).starts_with("The only peer is reached through"));
    }
}
