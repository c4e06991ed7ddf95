//! One site: its link, its files, its holders, and how to let go of it.

use leptos::{html::Dialog, prelude::*};
use wasm_bindgen_futures::spawn_local;

use crate::{
    address,
    app::titled,
    copies,
    location::Location,
    node::{
        NodeState,
        types::{Copies, Entry, Failure, Holder, Kind, SiteRow, Stat},
    },
    parts::{
        holders::Holders,
        marks::{icon, kind_words, scale, verdict_mark},
        share::{LinkField, NewestLink, qr_figure},
        words::{failed, when},
    },
    plan, say,
};

/// Entries shown of a folder; the rest is a number.
const LISTED: usize = 200;

/// What the node said about the site.
type Asked<T> = RwSignal<Option<Result<T, Failure>>>;

/// The screen.
#[component]
pub(crate) fn Site() -> impl IntoView {
    titled("Site");
    let cid = expect_context::<Location>().site();
    move || {
        let cid = cid.get().unwrap_or_default();
        if address::is_cid(&cid) {
            view! { <About cid/> }.into_any()
        } else {
            let failure = Failure {
                hint: Some("Go back to Sites, or paste the link under Open.".into()),
                ..Failure::here("bad_input", "The address of this page holds no CID of a site.")
            };
            failed(&failure).into_any()
        }
    }
}

#[component]
fn About(cid: String) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let stat: Asked<Stat> = RwSignal::new(None);
    let entries: Asked<Vec<Entry>> = RwSignal::new(None);
    let asked = cid.clone();
    spawn_local(async move {
        let answer = state.stat(asked.clone()).await;
        let folder = answer.as_ref().is_ok_and(|stat| stat.kind == Kind::Folder);
        stat.set(Some(answer));
        if folder {
            entries.set(Some(state.entries(asked).await));
        }
    });
    let wanted = cid.clone();
    let row = Memo::new(move |_| {
        state.sites.with(|rows| rows.iter().flatten().find(|row| row.cid == wanted).cloned())
    });
    let copies = copies_of(state, cid.clone(), row, stat);
    let known = Signal::derive(move || -> Option<Vec<Holder>> {
        stat.with(|stat| match stat.as_ref()? {
            Ok(stat) => Some(stat.holders.clone()),
            Err(_) => Some(Vec::new()),
        })
    });
    let failure = move || {
        stat.with(|stat| match stat {
            Some(Err(failure)) => Some(failed(failure)),
            _ => None,
        })
    };
    let newest = move || {
        let label = row.with(|row| row.as_ref().and_then(|row| row.label.clone()));
        label.map(|label| view! { <NewestLink url=state.site_url(&label)/> })
    };
    let url = state.site_url(&cid);
    let code = qr_figure(&url);
    view! {
        <Heading cid=cid.clone() url=url.clone() row/>
        {failure}
        <div class="two">
            <div class="stack wide">
                <LinkField url/>
                {newest}
                <Health copies/>
                <div>
                    <div class="sechead"><h2>"Holders"</h2></div>
                    <Holders root=cid.clone() known
                        none="No other node has a copy yet. Peers are asked as they connect."/>
                </div>
                <Contents entries/>
            </div>
            <aside class="stack wide" aria-label="Share and details">
                {code}
                <Facts row stat/>
                <Stop cid/>
            </aside>
        </div>
    }
}

/// Copies by the last event, else by the list, else by `stat`.
fn copies_of(
    state: NodeState,
    root: String,
    row: Memo<Option<SiteRow>>,
    stat: Asked<Stat>,
) -> Memo<Option<Copies>> {
    Memo::new(move |_| {
        let event = state.health.with(|all| all.get(&root).map(|h| h.health));
        let listed = row.with(|row| row.as_ref().map(|row| row.health));
        let asked = stat.with(|stat| stat.as_ref().and_then(|s| s.as_ref().ok().map(|s| s.health)));
        event.or(listed).or(asked)
    })
}

#[component]
fn Heading(cid: String, url: String, row: Memo<Option<SiteRow>>) -> impl IntoView {
    let title = move || {
        let name = row.with(|row| row.as_ref().and_then(|row| row.name.clone()));
        name.unwrap_or_else(|| format!("{}…{}", say::lead(&cid, 8), say::tail(&cid, 5)))
    };
    let published = move || {
        row.get().map(|row| view! { "Published " {when(row.time_ms)} " from this browser." })
    };
    view! {
        <div class="head">
            <div>
                <p class="s faint"><a href="/sites">"Sites"</a> " / " {title.clone()}</p>
                <h1 class="brk">{title}</h1>
                <p>{published}</p>
            </div>
            <div class="row">
                <a class="b go" href=url target="_blank" rel="noopener">
                    {icon("#i-ext")} " Open site"
                </a>
            </div>
        </div>
    }
}

/// Copies in words, with the scale.
#[component]
fn Health(copies: Memo<Option<Copies>>) -> impl IntoView {
    move || {
        let copies = copies.get()?;
        let verdict = copies::verdict(copies);
        let (signed, wanted) = (u64::from(copies.signed), u64::from(copies.wanted));
        let class = if signed < wanted { "big warn" } else { "big" };
        let label = format!("{signed} of {wanted} copies signed for");
        let meter = (wanted > 0).then(|| scale(signed, wanted, class, label));
        let left = copies.reachable;
        let means = match (left, wanted) {
            (_, 0) => "It can be opened while this browser is here.".to_owned(),
            (0, _) => "Visitors reach it only while this browser is here.".to_owned(),
            (1, _) => "It opens without this browser while that holder stays.".to_owned(),
            (n, _) => format!("It opens without this browser while any 1 of these {n} stays."),
        };
        Some(view! {
            <div class="panel">
                <div class="sechead"><h2>"Health"</h2>{verdict_mark(&verdict)}</div>
                {meter}
                <p class="survive" role="status">{verdict.figures} "."</p>
                <p class="s dim">{means}</p>
            </div>
        })
    }
}

/// The files at the top of the site.
#[component]
fn Contents(entries: Asked<Vec<Entry>>) -> impl IntoView {
    let row = |entry: &Entry| {
        let symbol = if entry.kind == Kind::Folder { "#i-files" } else { "#i-doc" };
        let main = (entry.name == plan::ENTRY_PAGE).then_some("the page that the link opens");
        view! {
            <tr>
                <th scope="row">
                    <span class="fn">
                        {icon(symbol)}
                        <span class="fb">{entry.name.clone()} <small>{main}</small></span>
                    </span>
                </th>
                <td class="p2">{kind_words(entry.kind)}</td>
                <td class="num">{say::bytes(entry.size)}</td>
            </tr>
        }
    };
    move || {
        entries.with(|entries| {
            let entries = match entries.as_ref()? {
                Ok(entries) => entries,
                Err(failure) => return Some(failed(failure).into_any()),
            };
            let more = entries.len().saturating_sub(LISTED) as u64;
            let more = (more > 0).then(|| format!("And {} more.", say::count(more)));
            Some(
                view! {
                    <div>
                        <div class="sechead"><h2>"At the top"</h2></div>
                        <table class="dense">
                            <thead><tr>
                                <th scope="col">"Name"</th>
                                <th scope="col" class="p2">"Kind"</th>
                                <th scope="col" class="num">"Size"</th>
                            </tr></thead>
                            <tbody>{entries.iter().take(LISTED).map(row).collect_view()}</tbody>
                        </table>
                        <p class="s faint">{more}</p>
                    </div>
                }
                .into_any(),
            )
        })
    }
}

#[component]
fn Facts(row: Memo<Option<SiteRow>>, stat: Asked<Stat>) -> impl IntoView {
    let facts = move || {
        let row = row.get();
        let stat = stat.with(|stat| stat.clone().and_then(Result::ok));
        let files = stat.as_ref().map(|s| s.files).or(row.as_ref().map(|r| r.files));
        let bytes = stat.as_ref().map(|s| s.size).or(row.as_ref().map(|r| r.bytes));
        (files, bytes, stat)
    };
    move || {
        let (files, bytes, stat) = facts();
        let here = stat.map(|s| {
            let part = format!("{} of {} blocks", say::count(s.local_blocks), say::count(s.blocks));
            view! { <dt>"In this browser"</dt><dd>{part}</dd> }
        });
        view! {
            <dl class="facts">
                <dt>"Files"</dt><dd>{files.map_or_else(|| "–".into(), say::count)}</dd>
                <dt>"Size"</dt><dd>{bytes.map_or_else(|| "–".into(), say::bytes)}</dd>
                {here}
            </dl>
        }
    }
}

/// Letting go, after a question.
#[component]
fn Stop(cid: String) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let dialog = NodeRef::<Dialog>::new();
    let failure = RwSignal::new(None::<Failure>);
    let location = expect_context::<Location>();
    let ask = move |_| {
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
    let stop = move |_| {
        let cid = cid.clone();
        spawn_local(async move {
            match state.unpin(cid).await {
                Ok(()) => {
                    close();
                    location.go("/sites");
                }
                Err(why) => failure.set(Some(why)),
            }
        });
    };
    view! {
        <div class="row"><button class="b risk" on:click=ask>"Stop keeping it…"</button></div>
        <dialog node_ref=dialog aria-labelledby="stopt">
            <header>
                <h2 id="stopt">"Stop keeping this site?"</h2>
                <button class="b quiet icon" aria-label="Close" on:click=move |_| close()>
                    {icon("#i-x")}
                </button>
            </header>
            <div class="body">
                <p>
                    "This browser lets go of its copy and frees the space. Holders and visitors who \
                     have copies keep them, so the link may go on working."
                </p>
                {move || failure.with(|f| f.as_ref().map(failed))}
            </div>
            <footer>
                <button class="b" autofocus on:click=move |_| close()>"Keep it"</button>
                <button class="b risk now" on:click=stop>"Stop keeping it"</button>
            </footer>
        </dialog>
    }
}
