//! One database, or a snapshot of it.

use std::rc::Rc;

use leptos::{ev::SubmitEvent, prelude::*};
use wasm_bindgen_futures::spawn_local;

use super::{
    branches::{Branches, WorkHere},
    history::History,
    query::Query,
    readers::Readers,
    retention::Kept,
};
use crate::{
    location::Location,
    node::{
        NodeState,
        databases::Database,
        types::{Failure, Snapshot},
    },
    parts::{
        marks::icon,
        words::{Copy, failed, warning, when},
    },
    say,
};

/// The database, once it is open.
pub(super) type Opened = StoredValue<Rc<Database>, LocalStorage>;

/// How addresses begin.
pub(super) const SCHEME: &str = "craftobj://";

/// A database by its name or address, or its snapshot with the root `at`.
#[component]
pub(super) fn One(
    name: String,
    at: Option<String>,
    failure: RwSignal<Option<Failure>>,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let opened = RwSignal::new_local(None::<Result<Opened, Failure>>);
    let (own, asked) = (!name.starts_with(SCHEME), name.clone());
    let address = at.as_ref().map_or_else(|| asked.clone(), |root| format!("{SCHEME}{root}"));
    let owner = Owner::current();
    spawn_local(async move {
        let open = state.open_database(&address).await;
        let open = match owner {
            Some(owner) => owner.with(|| open.map(|open| StoredValue::new_local(Rc::new(open)))),
            None => return,
        };
        // Gone from the screen meanwhile: it closes again.
        let _gone = opened.try_set(Some(open));
        if own {
            drop(state.refresh_databases().await);
        }
    });
    let looks = RwSignal::new(0);
    let is_mine = move |name: &str| {
        let did =
            state.status.with_untracked(|status| status.as_ref().map(|status| status.did.clone()));
        let owner = name.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/')).map(|it| it.0);
        owner.is_some_and(|owner| owner == "me" || Some(owner) == did.as_deref())
    };
    let history = (own).then(|| view! { <History name=name.clone() at=at.clone()/> });
    let (title, past) = (name.clone(), at.is_some());
    let body = move || {
        opened.with(|opened| match opened {
            None => view! {
                <p class="dim" role="status">
                    "Opening. The first time, the part of the node that has databases is loaded."
                </p>
            }
            .into_any(),
            Some(Err(failure)) => failed(failure).into_any(),
            Some(Ok(open)) => {
                let open = *open;
                view! {
                    <Facts open past/>
                    {(own && !past).then(|| view! {
                        <Branches open looks/>
                        <Keep name=title.clone() open removal=failure looks/>
                        <Readers open looks/>
                        <Kept open looks/>
                    })}
                    {is_mine(&title).then(|| view! { <WorkHere address=title.clone()/> })}
                    <Query open/>
                }
                .into_any()
            }
        })
    };
    view! {
        <div class="head"><div><h1 class="brk">{name}</h1></div></div>
        {history}
        {body}
    }
}

/// What is known of it.
#[component]
fn Facts(open: Opened, past: bool) -> impl IntoView {
    let facts = open.with_value(|open| open.facts.clone());
    let said = move || {
        let facts = facts.get();
        let how = match (facts.writable, past) {
            (true, _) => "Yours, in this browser",
            (false, true) => "A snapshot, read-only",
            (false, false) => "Somebody’s, read-only: pages are fetched as they are read",
        };
        let disputed = facts.equivocation.then(|| {
            let title = "Its owner signed two different states with one number.".to_owned();
            warning(title, "This is one of them. Somebody else may have the key.")
        });
        let symbol = if facts.writable { "#i-db" } else { "#i-lock" };
        view! {
            <p class="row s">
                <span class="st">{icon(symbol)} " " {how}</span>
                {facts.encrypted.then(encrypted_mark)}
                <span class="faint">{say::bytes(facts.bytes)}</span>
                {facts.time_ms.map(|ms| view! { <span class="faint">"Signed " {when(ms)}</span> })}
            </p>
            {disputed}
        }
    };
    view! { <div>{said}</div> }
}

/// The mark of a database that is encrypted.
pub(super) fn encrypted_mark() -> impl IntoView {
    view! { <span class="st">{icon("#i-lock")} " Encrypted"</span> }
}

/// Snapshots, publishing, files, and removing it.
#[component]
fn Keep(
    name: String,
    open: Opened,
    removal: RwSignal<Option<Failure>>,
    looks: RwSignal<u32>,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let location = expect_context::<Location>();
    let published = name.clone();
    let public = RwSignal::new(String::new());
    let (busy, failure) = (RwSignal::new(false), RwSignal::new(None::<Failure>));
    let taken = RwSignal::new(None::<Snapshot>);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        busy.set(true);
        taken.set(None);
        let name = public.with(|typed| typed.trim().to_owned());
        let database = open.get_value();
        spawn_local(async move {
            let name = (!name.is_empty()).then_some(name.as_str());
            match database.snapshot(name).await {
                Ok(snapshot) => {
                    taken.set(Some(snapshot));
                    failure.set(None);
                }
                Err(why) => failure.set(Some(why)),
            }
            looks.update(|looks| *looks += 1);
            busy.set(false);
            drop(state.refresh_databases().await);
        });
    };
    let export_name = name.clone();
    let export = move |_| {
        let (database, name) = (open.get_value(), export_name.clone());
        spawn_local(async move { failure.set(database.export(&name).await.err()) });
    };
    let asked = RwSignal::new(false);
    let remove = move |_| {
        if !asked.get_untracked() {
            return asked.set(true);
        }
        let name = name.clone();
        // Its own hold on it goes with this screen.
        location.go("/databases");
        spawn_local(async move { removal.set(state.remove_database(&name).await.err()) });
    };
    let remove_name = move || if asked.get() { "Remove for ever" } else { "Remove…" };
    view! {
        <form class="row" on:submit=submit>
            <label class="vh" for="public">"Publish as"</label>
            <input class="in pub" id="public" bind:value=public placeholder=published
                autocomplete="off" aria-describedby="publichelp"/>
            <button class="b go" disabled=busy>"Take a snapshot"</button>
            <button type="button" class="b" on:click=export>"Export a file"</button>
            <button type="button" class="b risk" class:now=asked on:click=remove>{remove_name}</button>
        </form>
        {help(open)}
        <div role="status">{move || taken.with(|taken| taken.as_ref().map(told))}</div>
        {move || failure.with(|failure| failure.as_ref().map(failed))}
    }
}

/// What a name does, and who can read what is published.
fn help(open: Opened) -> impl IntoView {
    let facts = open.with_value(|open| open.facts.clone());
    let words = move || match facts.with(|facts| facts.encrypted) {
        true => {
            "With a name, you and those you share it with can open it under your identity. Holders \
             keep its pages encrypted; a file that you export is not."
        }
        false => {
            "With a name, anyone can open it under your identity. A snapshot is public: holders keep \
             its pages as they are."
        }
    };
    view! { <p class="s dim" id="publichelp">{words}</p> }
}

fn told(snapshot: &Snapshot) -> impl IntoView + use<> {
    let words = format!(
        "{}, {} of them new. ",
        say::counted(snapshot.blocks, "block"),
        say::count(snapshot.new_blocks)
    );
    let copies = match snapshot.waits {
        true => "It is published as soon as another node is there to be asked for a newer one. ",
        false => "Copies go out by themselves. ",
    };
    let address = snapshot.uri.clone().unwrap_or_else(|| format!("{SCHEME}{}", snapshot.cid));
    view! {
        <div class="note">
            {icon("#i-ok")}
            <p>
                <b>"The snapshot is durable here."</b> " " {words}
                {copies} <span class="id brk" id="dbaddress">{address.clone()}</span>
            </p>
            <div class="row"><Copy text=address name="Copy address"/></div>
        </div>
    }
}
