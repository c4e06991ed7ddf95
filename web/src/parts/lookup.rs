//! Finding content by what a person pastes, and what the node knows of it.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::{
    holders::Holders,
    marks::{cid, icon, kind_words, verdict_mark},
    words::{Copy, failed, warning, when},
};
use crate::{
    address::{self, Target},
    browser, copies,
    node::{
        NodeState,
        types::{ByteProgress, Copies, Failure, Kind, ObjectRow, Resolved, Stat},
    },
    say,
};

/// A field for a link, a CID or a name; `arrived` gets the root that it leads to, and the path
/// below that.
#[component]
pub(crate) fn LookUp(
    /// The button's name.
    verb: &'static str,
    /// Gets root and path.
    arrived: impl Fn(String, String) + Clone + Send + Sync + 'static,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let text = RwSignal::new(String::new());
    let error = RwSignal::new(None::<String>);
    let asking = RwSignal::new(false);
    let named = RwSignal::new(None::<Resolved>);
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        error.set(None);
        named.set(None);
        let arrive = arrived.clone();
        match text.with_untracked(|text| address::parse(text)) {
            Ok(Target::Content { cid, path }) => arrive(cid, path),
            Ok(Target::Name { name, path }) => {
                asking.set(true);
                spawn_local(async move {
                    let found = state.resolve(name).await;
                    asking.set(false);
                    match found {
                        Ok(found) => {
                            arrive(found.cid.clone(), path);
                            named.set(Some(found));
                        }
                        Err(failure) => error.set(Some(failure.message)),
                    }
                });
            }
            Err(wrong) => error.set(Some(wrong.sentence())),
        }
    };
    let help = move || match error.get() {
        Some(why) => view! {
            <p class="err" id="addrhelp" role="alert">{icon("#i-stop")} " " <span>{why}</span></p>
        }
        .into_any(),
        None if asking.get() => {
            view! { <p class="help" id="addrhelp">"Asking where the name points."</p> }.into_any()
        }
        None => view! {
            <p class="help" id="addrhelp">"A site’s link, bafy…, bafk…, or a name"</p>
        }
        .into_any(),
    };
    view! {
        <form class="f" on:submit=submit novalidate>
            <label for="addr">"Link, CID or name"</label>
            <div class="join">
                <input class="in id" id="addr" autocomplete="off" spellcheck="false"
                    aria-describedby="addrhelp"
                    aria-invalid=move || error.with(|e| e.is_some().then_some("true"))
                    prop:value=text on:input=move |event| text.set(event_target_value(&event))/>
                <button class="b go">{verb}</button>
            </div>
            {help}
            {move || named.get().map(|found| name_words(&found))}
        </form>
    }
}

/// When a name was pointed to what it shows, and what speaks against believing that.
fn name_words(found: &Resolved) -> impl IntoView + use<> {
    let forked = found.equivocation.then(|| {
        warning(
            "Two different versions carry the same number, both signed by the owner.".into(),
            "That is proof that the owner, or a thief of the key, wrote twice. This is the first \
             of the two that was found.",
        )
    });
    let stale = (found.expires_ms < browser::now().time_ms).then(|| {
        warning(
            "The name was not confirmed lately.".into(),
            "Its owner may have published a newer version that your node did not find.",
        )
    });
    let since =
        view! { <p class="help">"The name points here since " {when(found.time_ms)} "."</p> };
    view! { {forked} {stale} {since} }
}

/// What the node knows of a root, and what can be done with it.
#[component]
pub(crate) fn Facts(
    /// The root.
    root: String,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let stat = RwSignal::new(None::<Result<Stat, Failure>>);
    let asked = root.clone();
    let ask = move || {
        let asked = asked.clone();
        spawn_local(async move {
            let answer = state.stat(asked).await;
            stat.set(Some(answer));
        });
    };
    ask();
    let again = ask.clone();
    let name = {
        let root = root.clone();
        move || {
            let named = |row: &&ObjectRow| row.cid == root;
            let rows = state.objects.get_untracked().unwrap_or_default();
            rows.iter().find(named).and_then(|row| row.name.clone())
        }
    };
    let address = root.clone();
    let body = move || {
        stat.with(|answer| match answer {
            None => view! {
                <p class="dim" role="status">"Looking for it here and with its holders."</p>
            }
            .into_any(),
            Some(Err(failure)) => {
                let again = again.clone();
                let retry = move |_| {
                    stat.set(None);
                    again();
                };
                view! {
                    {failed(failure)}
                    <div class="row"><button class="b small" on:click=retry>"Try again"</button></div>
                }
                .into_any()
            }
            Some(Ok(found)) => {
                let name = name().unwrap_or_else(|| default_name(found));
                view! { <Found stat=found.clone() name changed=again.clone()/> }.into_any()
            }
        })
    };
    view! {
        <div class="stack">
            <div class="row tight">
                {cid(&root)}
                <Copy text=address name="Copy CID"/>
            </div>
            {body}
        </div>
    }
}

/// What a download is called where nobody named it.
fn default_name(stat: &Stat) -> String {
    say::tail(&stat.cid, 8).to_owned()
}

/// The copies as one entry of a list of facts, where any are known.
pub(crate) fn copies_fact(copies: Copies) -> impl IntoView {
    copies::known_verdict(copies).map(|verdict| {
        let mark = verdict_mark(&verdict);
        view! {
            <dt>"Copies"</dt>
            <dd>{mark} <small class="figures">{verdict.figures}</small></dd>
        }
    })
}

#[component]
fn Found(stat: Stat, name: String, changed: impl Fn() + Clone + Send + 'static) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let failure = RwSignal::new(None::<Failure>);
    let busy = RwSignal::new(false);

    let here = format!("{} of {} blocks", say::count(stat.local_blocks), say::count(stat.blocks));
    let folder = stat.kind == Kind::Folder;
    let keep = {
        let (root, pinned) = (stat.cid.clone(), stat.pinned);
        move |_| {
            let (root, changed) = (root.clone(), changed.clone());
            failure.set(None);
            busy.set(true);
            spawn_local(async move {
                let done = if pinned { state.unpin(root).await } else { state.pin(root).await };
                busy.set(false);
                match done {
                    Ok(()) => changed(),
                    Err(why) => failure.set(Some(why)),
                }
            });
        }
    };
    let keep_name = if stat.pinned { "Stop keeping it" } else { "Keep it here" };
    let open = folder.then(|| {
        let href = format!("/open?root={}", stat.cid);
        view! { <a class="b small" href=href>"Open as a site"</a> }
    });
    let save = (!folder).then(|| {
        view! { <Download root=stat.cid.clone() name bytes=stat.size failure/> }
    });
    view! {
        <dl class="facts s">
            <dt>"Kind"</dt>
            <dd>
                {kind_words(stat.kind)}
                {folder.then(|| format!(", {}", say::counted(stat.files, "file")))}
            </dd>
            <dt>"Size"</dt><dd>{say::bytes(stat.size)}</dd>
            <dt>"In this browser"</dt><dd>{here}</dd>
            <dt>"Kept"</dt>
            <dd>{if stat.pinned { "Yes, until you stop" } else { "No, it may be cleared for space" }}</dd>
            {copies_fact(stat.health)}
        </dl>
        <div class="row tight">
            {save}
            {open}
            <button class="b small" disabled=busy on:click=keep>{keep_name}</button>
        </div>
        <p class="s dim" role="status">{move || busy.get().then_some("Fetching what is missing, then it stays.")}</p>
        {move || failure.with(|f| f.as_ref().map(failed))}
        <Holders root=stat.cid.clone() known=Some(stat.holders.clone())
            none="No other node is known to have a copy."/>
    }
}

/// The download button and its progress.
#[component]
fn Download(
    root: String,
    name: String,
    bytes: u64,
    failure: RwSignal<Option<Failure>>,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let moved = RwSignal::new(None::<u64>);
    let said = RwSignal::new(String::new());
    let save = move |_| {
        let (root, name) = (root.clone(), name.clone());
        failure.set(None);
        said.set(String::new());
        moved.set(Some(0));
        spawn_local(async move {
            let progress = move |p: ByteProgress| moved.set(Some(p.bytes));
            let done = state.download(root, name.clone(), bytes, progress).await;
            moved.set(None);
            match done {
                Ok(()) => said.set(format!("{name} is saved, every block checked.")),
                Err(why) if why.is_abort() => {}
                Err(why) => failure.set(Some(why)),
            }
        });
    };
    let progress = move || {
        moved.get().map(|n| {
            view! {
                <span class="stack wp">
                    <span class="s dim">{say::bytes_of(n.min(bytes), bytes)}</span>
                    <progress value=n.to_string() max=bytes.max(1).to_string()
                        aria-label="Downloading"></progress>
                </span>
            }
        })
    };
    view! {
        <button class="b small" disabled=move || moved.get().is_some() on:click=save>"Download"</button>
        {progress}
        <p class="s dim after" role="status">{said}</p>
    }
}
