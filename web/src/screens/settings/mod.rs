//! Settings: identity, backup words and files, storage, what others may take, theme, version.

mod file;
mod share;
mod space;

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::{
    app::titled,
    browser::Theme,
    node::{NodeState, types::Failure},
    parts::{
        marks::print,
        words::{Copy, failed, waiting, warning},
    },
    say,
};
use file::BackupFile;
use share::Share;
use space::Space;

/// The screen.
#[component]
pub(crate) fn Settings() -> impl IntoView {
    titled("Settings");
    view! {
        <div class="head"><div>
            <h1>"Settings"</h1>
            <p>"Everything here is about this browser. There is no account behind it."</p>
        </div></div>
        <Identity/>
        <Words/>
        <BackupFile/>
        <Space/>
        <Share/>
        <Appearance/>
        <About/>
    }
}

#[component]
fn Identity() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let ids = Memo::new(move |_| {
        state.status.with(|s| s.as_ref().map(|s| (s.did.clone(), s.peer_id.clone())))
    });
    let body = move || {
        match ids.get() {
        None => waiting(state).into_any(),
        Some((did, peer)) => view! {
            <div class="row idr">
                {print(&did)}
                <span class="id">{did.clone()}</span>
                <Copy text=did name="Copy identity"/>
            </div>
            <div class="row idr">
                {print(&peer)}
                <span class="id">{peer.clone()}</span>
                <Copy text=peer name="Copy peer id"/>
            </div>
            <p class="s dim">
                "The first is you; the second is this browser’s connection key, and losing it loses \
                 nothing. The bars change when the id does: a hint for the eye, never the proof."
            </p>
            <Card/>
        }
        .into_any(),
    }
    };
    view! {
        <section class="set" aria-labelledby="s1">
            <header><h2 id="s1">"Identity"</h2><p>"Who you are to other nodes."</p></header>
            <div class="stack">{body}</div>
        </section>
    }
}

/// What others need to share something with this identity.
#[component]
fn Card() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let card = RwSignal::new(None::<Result<String, Failure>>);
    // Before it is asked for: a browser copies only right after the click.
    spawn_local(async move {
        let answer = state.card().await;
        let _gone = card.try_set(Some(answer));
    });
    let field = |card: &String| {
        view! {
            <div class="f">
                <label for="card">"Your card"</label>
                <div class="join">
                    <input class="in id" id="card" readonly prop:value=card.clone()
                        aria-describedby="cardhelp"/>
                    <Copy text=card.clone() name="Copy your card" class="b"/>
                </div>
                <p class="help" id="cardhelp">
                    "Give it to those who want to share a database with you. Nothing in it is secret."
                </p>
            </div>
        }
    };
    move || {
        card.with(|card| match card {
            None => ().into_any(),
            Some(Err(failure)) => failed(failure).into_any(),
            Some(Ok(card)) => field(card).into_any(),
        })
    }
}

/// The words, only when asked for.
#[component]
fn Words() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let words = RwSignal::new(None::<Result<Vec<String>, Failure>>);
    let show = move |_| {
        spawn_local(async move {
            let answer = state.backup_words().await;
            words.set(Some(answer));
        });
    };
    let hide = move |_| words.set(None);
    let body = move || {
        words.with(|words| match words {
            None => view! {
                <div class="row"><button class="b" on:click=show>"Show the words"</button></div>
                <p class="s dim">"Make sure that nobody looks on."</p>
            }
            .into_any(),
            Some(Err(failure)) => failed(failure).into_any(),
            Some(Ok(list)) => {
                let row = |word: &String| view! { <li><span class="id">{word.clone()}</span></li> };
                view! {
                    <ol class="phrase" aria-label="Backup words">
                        {list.iter().map(row).collect_view()}
                    </ol>
                    <div class="row">
                        <button class="b" on:click=hide>"Hide them"</button>
                    </div>
                }
                .into_any()
            }
        })
    };
    view! {
        <section class="set" aria-labelledby="s2">
            <header>
                <h2 id="s2">"Backup words"</h2>
                <p>"24 words bring back your identity in any browser. Nobody else can."</p>
            </header>
            <div class="stack wide">
                {warning(
                    "Whoever has these words is you.".into(),
                    "Write them on paper, in order. For now this browser keeps them unencrypted: \
                     someone who can use this browser profile can read them.",
                )}
                {body}
            </div>
        </section>
    }
}

#[component]
fn Appearance() -> impl IntoView {
    let theme = RwSignal::new(Theme::chosen());
    let choice = move |this: Theme, name: &'static str| {
        let choose = move |_| {
            this.choose();
            theme.set(this);
        };
        view! {
            <label class="check">
                <input type="radio" name="theme" value=this.key()
                    prop:checked=move || theme.get() == this on:change=choose/>
                <span>{name}</span>
            </label>
        }
    };
    view! {
        <section class="set" aria-labelledby="s5">
            <header><h2 id="s5">"Theme"</h2><p>"Light, dark, or as your system is."</p></header>
            <fieldset class="row themes">
                <legend class="vh">"Theme"</legend>
                {choice(Theme::System, "System")}
                {choice(Theme::Light, "Light")}
                {choice(Theme::Dark, "Dark")}
            </fieldset>
        </section>
    }
}

#[component]
fn About() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let agent = move || state.status.with(|s| s.as_ref().map(|s| s.agent.clone()));
    let up = move || state.status.with(|s| s.as_ref().map(|s| say::duration(s.uptime_ms)));
    view! {
        <section class="set" aria-labelledby="s6">
            <header><h2 id="s6">"About"</h2><p>"What runs here."</p></header>
            <dl class="facts">
                <dt>"App"</dt><dd>"Craftec " {env!("CARGO_PKG_VERSION")}</dd>
                <dt>"Node"</dt><dd>{move || agent().unwrap_or_else(|| "Not running".into())}</dd>
                <dt>"Up"</dt><dd>{move || up().unwrap_or_else(|| "–".into())}</dd>
                <dt>"Licence"</dt><dd>"MIT or Apache-2.0"</dd>
            </dl>
        </section>
    }
}
