//! Settings: identity, backup words, storage, theme, version.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::{
    app::titled,
    browser::{self, Theme},
    node::{
        NodeState,
        types::{Failure, Storage},
    },
    parts::{
        marks::{icon, print, scale},
        words::{Copy, failed, waiting, warning},
    },
    say,
};

/// Steps of the slider: 0.1 GB.
const LEND_STEP_BYTES: u64 = 100_000_000;
/// The most that the slider offers where the browser doesn't say what it allows.
const LEND_MOST_BYTES: u64 = 20_000_000_000;

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
        <Backup/>
        <Space/>
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

/// The words, only when asked for.
#[component]
fn Backup() -> impl IntoView {
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
                <h2 id="s2">"Backup"</h2>
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

/// Storage: what is used, what is lent, and whether the browser keeps it.
#[component]
fn Space() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let storage = Memo::new(move |_| state.status.with(|s| s.as_ref().map(|s| s.storage)));
    let known = move || storage.with(Option::is_some);
    let known = Memo::new(move |_| known());
    view! {
        <section class="set" aria-labelledby="s4">
            <header>
                <h2 id="s4">"Storage"</h2>
                <p>"You keep copies for others; they keep yours."</p>
            </header>
            <div class="stack wide">
                {move || match (known.get(), storage.get_untracked()) {
                    (true, Some(now)) => view! { <Lend now/> }.into_any(),
                    _ => waiting(state).into_any(),
                }}
                {move || storage.get().map(used)}
                <Kept/>
            </div>
        </section>
    }
}

fn used(storage: Storage) -> impl IntoView {
    let Storage { used, for_others, free, .. } = storage;
    let own = used.saturating_sub(for_others);
    let whole = free.map(|free| used.saturating_add(free));
    let words = match whole {
        Some(whole) => format!("{} used", say::bytes_of(used, whole)),
        None => format!("{} used. The browser doesn’t say how much it allows", say::bytes(used)),
    };
    let meter = whole.map(|whole| {
        let share = u128::from(used) * 48 / u128::from(whole.max(1));
        let ticks = u64::try_from(share).unwrap_or(48).max(u64::from(used > 0));
        scale(ticks, 48, "", words.clone())
    });
    view! {
        <div class="qt">
            {meter}
            <p class="s dim">
                {words} ": " {say::bytes(own)} " yours, " {say::bytes(for_others)} " for others."
            </p>
        </div>
    }
}

/// The slider for what is lent.
#[component]
fn Lend(now: Storage) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let failure = RwSignal::new(None::<Failure>);
    let said = RwSignal::new("");
    let most = now.free.map_or(LEND_MOST_BYTES, |free| free.saturating_add(now.for_others));
    let most_steps = (most.min(LEND_MOST_BYTES).max(now.lend_limit) / LEND_STEP_BYTES).max(1);
    let steps = RwSignal::new(now.lend_limit / LEND_STEP_BYTES);
    let moved = move |event: web_sys::Event| {
        steps.set(event_target_value(&event).parse().unwrap_or_default());
    };
    let chosen = move |_| {
        let bytes = steps.get_untracked() * LEND_STEP_BYTES;
        said.set("");
        failure.set(None);
        spawn_local(async move {
            match state.lend_space(bytes).await {
                Ok(()) => said.set("Kept."),
                Err(why) => failure.set(Some(why)),
            }
        });
    };
    let words = move || say::bytes(steps.get() * LEND_STEP_BYTES);
    view! {
        <div class="f">
            <label for="lend">"Lend to others"</label>
            <div class="lend">
                <input type="range" id="lend" min="0" max=most_steps.to_string() step="1"
                    prop:value=move || steps.get().to_string() aria-valuetext=words
                    aria-describedby="lendhelp" on:input=moved on:change=chosen/>
                <span class="nb mid">{words}</span>
            </div>
            <p class="help" id="lendhelp">
                "The most that your node keeps for others. Less than is in use now stops new copies; \
                 nothing is dropped at once. " <span role="status">{said}</span>
            </p>
            {move || failure.with(|f| f.as_ref().map(failed))}
        </div>
    }
}

/// Whether the browser may clear the data.
#[component]
fn Kept() -> impl IntoView {
    let kept = RwSignal::new(None::<bool>);
    let refused = RwSignal::new(false);
    spawn_local(async move {
        let answer = browser::storage_is_kept().await;
        kept.set(answer);
    });
    let ask = move |_| {
        spawn_local(async move {
            let answer = browser::keep_storage().await;
            kept.set(answer);
            refused.set(answer != Some(true));
        });
    };
    let why = move || {
        if refused.get() {
            "The browser said no. It tends to agree once the page is bookmarked, installed or used \
             often."
        } else {
            "Ask it to keep the data. It may ask you back."
        }
    };
    move || match kept.get() {
        Some(true) => view! {
            <p class="st s">{icon("#i-ok")} " The browser keeps this data until you clear it"</p>
        }
        .into_any(),
        _ => view! {
            <div class="note warn">
                {icon("#i-warn")}
                <p role="status">
                    <b>"The browser may clear this when the disk runs low."</b> " " {why}
                </p>
                <div class="row"><button class="b small" on:click=ask>"Keep my data"</button></div>
            </div>
        }
        .into_any(),
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
