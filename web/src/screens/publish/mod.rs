//! Publish: pick, review, watch the real steps, hand on the link.

mod review;
mod steps;

use leptos::prelude::*;

use crate::{
    address,
    app::{Picking, titled},
    copies,
    node::{
        NodeState, Step,
        types::{Copies, Published},
    },
    parts::{
        drop_zone::DropZone,
        holders::Holders,
        marks::{self, icon},
        share::{LinkField, NewestLink, qr_figure},
        words::{failed, warning},
    },
    say,
};
use review::{Review, left_out_list};
use steps::Steps;

/// The screen: the pick under review, else the publication under way, else the drop zone.
#[component]
pub(crate) fn Publish() -> impl IntoView {
    titled("Publish");
    let state = expect_context::<NodeState>();
    let picking = expect_context::<Picking>();
    let has_job = Memo::new(move |_| state.job.with(Option::is_some));
    move || {
        if let Some(picked) = picking.picked.get() {
            return view! { <Review picked/> }.into_any();
        }
        if has_job.get() {
            return view! { <Publication/> }.into_any();
        }
        view! {
            <div class="head"><div>
                <p class="s faint"><a href="/sites">"Sites"</a> " / new"</p>
                <h1>"Publish a site"</h1>
            </div></div>
            <DropZone lead="Any folder with an index.html becomes a site; any file becomes a link."/>
        }
        .into_any()
    }
}

/// What the screen asks of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reading,
    Stored,
    Failed,
}

/// The publication under way, or just done.
#[component]
fn Publication() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let stage = Memo::new(move |_| {
        state.job.with(|job| match job.as_ref().map(|job| &job.step) {
            Some(Step::Stored(_)) => Stage::Stored,
            Some(Step::Failed(_)) => Stage::Failed,
            _ => Stage::Reading,
        })
    });
    let published = Memo::new(move |_| {
        state.job.with(|job| match job.as_ref().map(|job| &job.step) {
            Some(Step::Stored(published)) => Some(published.clone()),
            _ => None,
        })
    });
    let copies = Memo::new(move |_| published.get().map(|p| copies_of(state, &p.cid)));
    let live = move || copies.get().is_some_and(|c| c.signed >= c.wanted);
    let heading = move || {
        let title = state.job.with(|job| job.as_ref().map(|job| job.title.clone()));
        let title = title.unwrap_or_default();
        match (stage.get(), live()) {
            (Stage::Failed, _) => format!("{title} is not published"),
            (_, true) => format!("{title} is live"),
            _ => format!("Publishing {title}"),
        }
    };
    let lead = move || {
        let (files, bytes) =
            state.job.with(|job| job.as_ref().map(|job| (job.files, job.bytes)))?;
        let size = format!("{}, {}. ", say::counted(files, "file"), say::bytes(bytes));
        let works =
            published.get().map(|_| view! { <b class="mid">"The link already works. "</b> });
        let close = match (stage.get(), copies.get()) {
            (Stage::Reading, _) => "Keep this tab open: files are being read.".into(),
            (Stage::Stored, Some(copies)) => copies::may_close(copies),
            _ => String::new(),
        };
        Some(view! { <p role="status">{size} {works} {close}</p> })
    };
    view! {
        <div class="head">
            <div>
                <p class="s faint"><a href="/sites">"Sites"</a> " / publishing"</p>
                <h1 class="brk">{heading}</h1>
                {lead}
            </div>
            <div class="row">{move || buttons(state, stage.get(), published.get())}</div>
        </div>
        {move || failure(state)}
        <Steps published copies/>
        {move || published.get().map(|published| view! { <Outcome published/> })}
    }
}

fn buttons(state: NodeState, stage: Stage, published: Option<Published>) -> impl IntoView {
    if stage == Stage::Reading {
        let stop = move |_| state.stop_publishing();
        return view! { <button class="b" on:click=stop>"Stop publishing"</button> }.into_any();
    }
    let open = published.map(|published| {
        let url = link_of(state, &published);
        view! {
            <a class="b" href=url target="_blank" rel="noopener">{icon("#i-ext")} " Open site"</a>
        }
    });
    let again = move |_| state.job.set(None);
    view! { {open} <button class="b" on:click=again>"Publish another"</button> }.into_any()
}

/// Why it ended early, where it did.
fn failure(state: NodeState) -> Option<AnyView> {
    state.job.with(|job| match &job.as_ref()?.step {
        Step::Failed(failure) if failure.is_abort() => Some(
            warning(
                "Stopped before it was stored.".into(),
                "Nothing of it was published; the files on your disk are as they were.",
            )
            .into_any(),
        ),
        Step::Failed(failure) => Some(failed(failure).into_any()),
        _ => None,
    })
}

/// Copies by the last event, else by the list.
fn copies_of(state: NodeState, cid: &str) -> Copies {
    let event = state.health.with(|all| all.get(cid).map(|h| h.health));
    let row = || {
        state
            .sites
            .with(|rows| rows.iter().flatten().find(|row| row.cid == cid).map(|row| row.health))
    };
    // Until the node has said otherwise: its default is 3.
    event.or_else(row).unwrap_or(Copies { wanted: 3, signed: 0, reachable: 0, needed: 1 })
}

/// The link, which ends in the only file's name where there is no page.
fn link_of(state: NodeState, published: &Published) -> String {
    let entry = state.job.with_untracked(|job| job.as_ref().and_then(|job| job.entry.clone()));
    let path = entry.map(|path| address::encode_path(&path)).unwrap_or_default();
    format!("{}{path}", state.site_url(&published.cid))
}

/// Holders, link and code of what was published.
#[component]
fn Outcome(published: Published) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let url = link_of(state, &published);
    let (cid, facts) = (published.cid.clone(), published.clone());
    let details = format!("/sites/{cid}");
    let newest = published.label.as_ref().map(|label| state.site_url(label));
    let code = qr_figure(&url);
    let late = published.left_out;
    let late = (!late.is_empty()).then(|| {
        warning(
            format!("{} could not be published.", say::counted(late.len() as u64, "file")),
            left_out_list(&late),
        )
    });
    view! {
        {late}
        <Holders root=cid known=Some(Vec::new())
            none="No holder yet. As soon as a tab or a relay is connected, it is asked to keep a copy."/>
        <section class="live" aria-label="Share it">
            <div class="two">
                <div class="stack wide">
                    <LinkField url/>
                    {newest.map(|url| view! { <NewestLink url/> })}
                    <div class="note">
                        {icon("#i-lock")}
                        <p>
                            <b>"Visitors don’t have to trust the holders."</b>
                            " Each visitor’s browser checks every file against the link before it \
                             shows it. A holder that changes a byte is found out and left."
                        </p>
                    </div>
                </div>
                <aside class="stack wide" aria-label="Details">
                    {code}
                    <dl class="facts">
                        <dt>"Files"</dt><dd>{say::count(facts.files)}</dd>
                        <dt>"Size"</dt><dd>{say::bytes(facts.bytes)}</dd>
                        <dt>"Address"</dt><dd>{marks::cid(&facts.cid)}</dd>
                    </dl>
                    <p><a href=details>"All about this site"</a></p>
                </aside>
            </div>
        </section>
    }
}
