//! Home: how the node is, the drop zone, what the reader has, what the node does for others.

use leptos::prelude::*;

use crate::{
    app::titled,
    copies,
    node::{
        NodeState, Phase, Started,
        types::{Copies, Kind, Link, Storage},
    },
    order,
    parts::{
        drop_zone::DropZone,
        marks::{icon, kind_words, scale, verdict_mark, wire_class},
        strip::{DataHealth, Reach, phase_words, roots},
        words::{failed, waiting, when},
    },
    say,
};

/// Rows shown of what the reader has; the rest is under Sites and Files.
const RECENT: usize = 6;

/// The screen.
#[component]
pub(crate) fn Home() -> impl IntoView {
    titled("Home");
    let state = expect_context::<NodeState>();
    let failure = move || {
        state.phase.with(|phase| match phase {
            Phase::Failed(failure) => Some(view! { <div class="sec">{failed(failure)}</div> }),
            _ => None,
        })
    };
    view! {
        <div class="home">
            <h1 class="vh">"Your node"</h1>
            <Readings/>
            {failure}
            <Boot/>
            <DropZone lead="Your node hashes it and hands copies to tabs and relays around you. \
                            You get a link that works when this tab is closed."/>
            <Have/>
            <Doing/>
        </div>
    }
}

/// The four readings.
#[component]
fn Readings() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let reach = Memo::new(move |_| state.peers.with(|peers| Reach::of(peers)));
    let storage = move || state.status.with(|s| s.as_ref().map(|s| s.storage));
    let for_others = move || match storage() {
        None => "–".into_any(),
        Some(s) => {
            let (figure, unit) = say::byte_parts(s.for_others);
            view! { {figure} " " <small>{unit} " of " {say::bytes(s.lend_limit)}</small> }
                .into_any()
        }
    };
    let data = Memo::new(move |_| DataHealth::of(&roots(state)));
    let data_words = move || match data.get() {
        DataHealth { roots: 0, .. } => "Drop a folder to begin".to_owned(),
        d => format!("{} of {} copies signed for", say::count(d.signed), say::count(d.wanted)),
    };
    view! {
        <dl class="readings" aria-label="This node">
            <div>
                <dt>"This node"</dt>
                <dd class="val">{move || running_words(state)}</dd>
                <dd class="g">{move || boot_line(state.started.get())}</dd>
                <dd class="s">{move || ready_words(state)}</dd>
            </div>
            <div>
                <dt>"Peers"</dt>
                <dd class="val">{move || say::count(state.peers.with(Vec::len) as u64)}</dd>
                <dd class="g">{move || lanes(state)}</dd>
                <dd class="s">{move || reach.get().words()}</dd>
            </div>
            <div>
                <dt>"Stored for others"</dt>
                <dd class="val">{for_others}</dd>
                <dd class="g">{move || storage().map(lent_scale)}</dd>
                <dd class="s">"Copies that others asked for"</dd>
            </div>
            <div>
                <dt>"Your data"</dt>
                <dd class="val">{move || data.get().title}</dd>
                <dd class="g">{move || data_scale(&data.get())}</dd>
                <dd class="s">{data_words}</dd>
            </div>
        </dl>
    }
}

fn running_words(state: NodeState) -> &'static str {
    state.phase.with(|phase| match phase {
        Phase::Loading => "Loading",
        Phase::Opening => "Starting",
        Phase::Running => "Running",
        Phase::Reconnecting => "Moving",
        Phase::Failed(_) => "Not running",
    })
}

fn ready_words(state: NodeState) -> String {
    match state.started.get().opened_ms {
        Some(ms) => format!("{}, ready in {}", phase_words(state), say::seconds(ms)),
        None if state.phase.with(|p| matches!(p, Phase::Failed(_))) => "See below why".to_owned(),
        None => "The page works meanwhile".to_owned(),
    }
}

/// What is lent and used, as a part of what may be.
fn lent_scale(storage: Storage) -> impl IntoView {
    let Storage { for_others, lend_limit, .. } = storage;
    let label = format!("{} lent to others in use", say::bytes_of(for_others, lend_limit));
    let share = u128::from(for_others) * 48 / u128::from(lend_limit.max(1));
    let ticks = u64::try_from(share).unwrap_or(48).max(u64::from(for_others > 0));
    scale(ticks, 48, "", label)
}

fn data_scale(data: &DataHealth) -> Option<impl IntoView + use<>> {
    let class = if data.short > 0 { "warn" } else { "" };
    let label = format!("{} of {} copies signed for", data.signed, data.wanted);
    (data.wanted > 0).then(|| scale(data.signed, data.wanted, class, label))
}

/// The start as a line of time: a tick a step, the last one in the accent.
fn boot_line(started: Started) -> Option<impl IntoView> {
    let steps = [started.loaded_ms, started.opened_ms, started.peer_ms, started.direct_ms];
    let times: Vec<u64> = steps.into_iter().flatten().collect();
    let last = *times.iter().max()?;
    let at = |ms: u64| 189 * ms / last.max(1);
    let early: String =
        times.iter().filter(|ms| **ms < last).map(|ms| format!("M{} 16v-7", at(*ms))).collect();
    let label = format!("Time of each step of the start, {} in all", say::seconds(last));
    Some(view! {
        <svg viewBox="0 0 190 16" width="190" height="16" role="img" aria-label=label class="boot">
            <path class="l" d="M0 15.5h190"/>
            <path class="t" d=early/>
            <path class="a" d="M189.5 16V0"/>
        </svg>
    })
}

/// One dash a peer, in its line style; the first eight.
fn lanes(state: NodeState) -> impl IntoView {
    let links: Vec<Link> =
        state.peers.with(|peers| peers.iter().take(8).map(|peer| peer.link).collect());
    let lane = |(i, link): (usize, Link)| {
        let class = format!("wire-{}", wire_class(link));
        view! { <path class=class d=format!("M{} 12h18", i * 24)/> }
    };
    view! {
        <svg class="lanes" viewBox="0 0 186 16" width="186" height="16" aria-hidden="true">
            {links.into_iter().enumerate().map(lane).collect_view()}
        </svg>
    }
}

/// The steps of the start, each with its own time, until a first peer is there.
#[component]
fn Boot() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let free = move || {
        let free = state.status.with(|s| s.as_ref().and_then(|s| s.storage.free));
        free.map(|n| format!(", {} free", say::bytes(n))).unwrap_or_default()
    };
    let step = |done: Option<u64>, current: bool, words: String| {
        let mark = match (done, current) {
            (Some(_), _) => icon("#i-ok").into_any(),
            (None, true) => view! { <span class="dot"></span> }.into_any(),
            (None, false) => view! { <span class="dot off"></span> }.into_any(),
        };
        let time = done.map(say::seconds);
        view! {
            <li class:mid=current class:faint=done.is_none() && !current>
                {mark} " " {words} " " <span class="push faint">{time}</span>
            </li>
        }
    };
    move || {
        let started = state.started.get();
        let failed = state.phase.with(|p| matches!(p, Phase::Failed(_)));
        if started.peer_ms.is_some() || failed {
            return None;
        }
        let Started { loaded_ms, opened_ms, peer_ms, .. } = started;
        let title = match opened_ms {
            None => "Starting your node",
            Some(_) => "Your node runs and looks for a first peer",
        };
        Some(view! {
            <section class="panel starting" aria-labelledby="boott">
                <h2 id="boott">{title}</h2>
                <ol class="steps2 s" role="status">
                    {step(loaded_ms, loaded_ms.is_none(), "Node fetched".into())}
                    {step(
                        opened_ms,
                        loaded_ms.is_some() && opened_ms.is_none(),
                        format!("Identity and disk opened{}", free()),
                    )}
                    {step(peer_ms, opened_ms.is_some(), "First peer or relay answered".into())}
                </ol>
                <p class="s dim">
                    "You can drop a folder already. It is stored in this browser at once; copies \
                     go out when the first peer answers."
                </p>
            </section>
        })
    }
}

/// A row of what the reader has.
struct Thing {
    name: String,
    what: &'static str,
    time_ms: u64,
    copies: Copies,
    bytes: u64,
    href: String,
}

fn things(state: NodeState) -> Vec<Thing> {
    let site = |row: &crate::node::types::SiteRow| Thing {
        name: row.name.clone().unwrap_or_else(|| short(&row.cid)),
        what: "Site",
        time_ms: row.time_ms,
        copies: row.health,
        bytes: row.bytes,
        href: format!("/sites/{}", row.cid),
    };
    let mut things: Vec<Thing> = state.sites.with(|rows| rows.iter().flatten().map(site).collect());
    state.objects.with(|rows| {
        let known = |cid: &str| things.iter().any(|t| t.href.ends_with(cid));
        let rows: Vec<Thing> = rows
            .iter()
            .flatten()
            .filter(|row| !known(&row.cid))
            .map(|row| Thing {
                name: row.name.clone().unwrap_or_else(|| short(&row.cid)),
                what: if row.kind == Kind::Folder { kind_words(Kind::Folder) } else { "File" },
                time_ms: row.time_ms,
                copies: row.health,
                bytes: row.size,
                href: format!("/files?cid={}", row.cid),
            })
            .collect();
        things.extend(rows);
    });
    order::sort(&mut things, |a, b| b.time_ms.cmp(&a.time_ms).then_with(|| a.href.cmp(&b.href)));
    things.truncate(RECENT);
    things
}

fn short(cid: &str) -> String {
    format!("{}…{}", say::lead(cid, 8), say::tail(cid, 5))
}

/// What the reader has, newest first.
#[component]
fn Have() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let row = |thing: Thing| {
        let verdict = copies::verdict(thing.copies);
        let (mark, figures) = (verdict_mark(&verdict), verdict.figures);
        let label = format!("Open {}", thing.name);
        view! {
            <tr>
                <th scope="row">
                    {thing.name}
                    <small>{thing.what} ", " {when(thing.time_ms)}</small>
                </th>
                <td>{mark}<small>{figures}</small></td>
                <td class="num p2">{say::bytes(thing.bytes)}</td>
                <td class="num">
                    <a class="b small" href=thing.href aria-label=label>"Open"</a>
                </td>
            </tr>
        }
    };
    let body = move || {
        let things = things(state);
        let loaded = state.sites.with(Option::is_some);
        match (things.is_empty(), loaded) {
            (true, false) => waiting(state).into_any(),
            (true, true) => view! {
                <p class="dim">
                    "Nothing yet. Drop a folder above, or " <a href="/files">"put a file"</a> "."
                </p>
            }
            .into_any(),
            _ => view! {
                <table>
                    <thead><tr>
                        <th scope="col">"Thing"</th>
                        <th scope="col">"Copies"</th>
                        <th scope="col" class="num p2">"Size"</th>
                        <th scope="col"><span class="vh">"Action"</span></th>
                    </tr></thead>
                    <tbody>{things.into_iter().map(row).collect_view()}</tbody>
                </table>
            }
            .into_any(),
        }
    };
    view! {
        <section aria-labelledby="have">
            <div class="sechead">
                <h2 id="have">"What you have"</h2>
                <span class="s faint">"It lives in this browser and with its holders"</span>
            </div>
            {body}
        </section>
    }
}

/// What the node does for others, and what else there is to see.
#[component]
fn Doing() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let kept = move || {
        state
            .status
            .with(|s| s.as_ref().map(|s| say::bytes_of(s.storage.for_others, s.storage.lend_limit)))
    };
    let sent = move || state.peers.with(|peers| peers.iter().map(|peer| peer.sent).sum::<u64>());
    let farthest = move || {
        state.peers.with(|peers| {
            let times = || peers.iter().filter_map(|peer| peer.rtt_ms);
            Some(format!("Nearest {} ms, farthest {} ms", times().min()?, times().max()?))
        })
    };
    view! {
        <section aria-labelledby="try">
            <h2 id="try">"Meanwhile"</h2>
            <ul class="tries">
                <li>
                    <h3><a href="/settings">"What your node does for others"</a></h3>
                    <p class="dim">
                        "It keeps copies of what others published and passes them on when asked. \
                         You say how much."
                    </p>
                    <p class="s faint">
                        {move || kept().map(|kept| format!("{kept} lent, "))}
                        {move || say::bytes(sent())} " sent to the peers connected now"
                    </p>
                </li>
                <li>
                    <h3><a href="/open">"Open what someone sent you"</a></h3>
                    <p class="dim">
                        "Paste a link or a CID. Your browser fetches it from its holders and checks \
                         each block as it arrives."
                    </p>
                </li>
                <li>
                    <h3><a href="/network">"See who you are talking to"</a></h3>
                    <p class="dim">"Peers and relays, drawn by how far away they answer."</p>
                    <p class="s faint">{farthest}</p>
                </li>
            </ul>
        </section>
    }
}
