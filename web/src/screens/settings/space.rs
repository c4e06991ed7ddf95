//! What is stored here, what is lent, and whether the browser keeps it.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::{
    browser,
    node::{
        NodeState,
        types::{Failure, Storage},
    },
    parts::{
        marks::{icon, scale},
        strip::disk_full,
        words::{failed, waiting},
    },
    say,
};

/// Steps of the slider: 0.1 GB.
const LEND_STEP_BYTES: u64 = 100_000_000;
/// The most that the slider offers where the browser doesn't say what it allows.
const LEND_MOST_BYTES: u64 = 20_000_000_000;

/// Storage: what is used, what is lent, and whether the browser keeps it.
#[component]
pub(super) fn Space() -> impl IntoView {
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
                {move || storage.get().filter(|now| now.full).map(|now| disk_full(&now))}
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
    let state = expect_context::<NodeState>();
    let refused = RwSignal::new(false);
    spawn_local(async move { state.kept.set(browser::storage_is_kept().await) });
    let ask = move |_| {
        spawn_local(async move {
            let answer = browser::keep_storage().await;
            state.kept.set(answer);
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
    move || {
        match state.kept.get() {
        Some(true) => view! {
            <p class="st s">
                {icon("#i-ok")}
                " The browser keeps this data until you clear it. Clearing this site’s data, or the \
                 loss of this device, still takes all of it."
            </p>
        }
        .into_any(),
        _ => view! {
            <div class="note warn">
                {icon("#i-warn")}
                <p role="status">
                    <b>"The browser may clear this when the disk runs low."</b>
                    " Then everything here goes at once, your identity too: only your 24 words or a \
                     backup bring it back, and what you published lives on where others hold it. "
                    {why}
                </p>
                <div class="row"><button class="b small" on:click=ask>"Keep my data"</button></div>
            </div>
        }
        .into_any(),
    }
    }
}
