//! Which snapshots of a database stay.

use leptos::{ev::SubmitEvent, prelude::*};
use wasm_bindgen_futures::spawn_local;

use super::one::Opened;
use crate::{
    node::{
        NodeState,
        types::{Failure, Retention},
    },
    parts::words::failed,
    say,
};

/// What the fields say before there is a rule.
const OFFERED: Retention = Retention { last: 24, days: 30 };

/// The rule of an open database.
#[component]
pub(super) fn Kept(open: Opened, looks: RwSignal<u32>) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let rule = RwSignal::new(None::<Retention>);
    let (last, days) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let (busy, failure) = (RwSignal::new(false), RwSignal::new(None::<Failure>));
    let gone = RwSignal::new(None::<u64>);
    // The screen may be gone once there is an answer.
    let show = move |now: Option<Retention>| {
        let Retention { last: newest, days: young } = now.unwrap_or(OFFERED);
        let _gone = (last.try_set(newest.to_string()), days.try_set(young.to_string()));
        let _gone = rule.try_set(now);
    };
    let database = open.get_value();
    spawn_local(async move {
        match database.retention().await {
            Ok(now) => show(now),
            Err(why) => drop(failure.try_set(Some(why))),
        }
    });
    let set = move |wanted: Option<Retention>| {
        busy.set(true);
        let database = open.get_value();
        spawn_local(async move {
            let why = match database.retain(wanted).await {
                Ok(dropped) => {
                    show(wanted);
                    let _gone = gone.try_set(Some(dropped));
                    None
                }
                Err(why) => Some(why),
            };
            let _gone = (failure.try_set(why), busy.try_set(false));
            let _gone = looks.try_update(|looks| *looks += 1);
            drop(state.refresh_databases().await);
        });
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let number = |typed: RwSignal<String>| typed.with_untracked(|typed| typed.parse().ok());
        if let (Some(last), Some(days)) = (number(last), number(days)) {
            set(Some(Retention { last, days }));
        }
    };
    let all = move |_| set(None);
    view! {
        <section class="stack" aria-labelledby="kt">
            <h2 id="kt">"Which snapshots stay"</h2>
            <p>{move || rule.with(said)}</p>
            <form class="row" on:submit=submit>
                <label for="last">"The newest"</label>
                <input class="in num" id="last" type="number" min="1" max="4096" required bind:value=last/>
                <label for="days">"and all of the last"</label>
                <input class="in num" id="days" type="number" min="0" max="36500" required bind:value=days/>
                <span>"days"</span>
                <button class="b" disabled=busy>"Keep these only"</button>
                {move || rule.with(Option::is_some).then(|| view! {
                    <button type="button" class="b" disabled=busy on:click=all>"Keep all"</button>
                })}
            </form>
            <p class="s dim">
                "Older ones go at once, and after each snapshot from then on. What is published, or \
                 what somebody’s work stands on, stays."
            </p>
            <p role="status">{move || gone.get().map(went)}</p>
            {move || failure.with(|failure| failure.as_ref().map(failed))}
        </section>
    }
}

fn said(rule: &Option<Retention>) -> String {
    match rule {
        None => "All of them.".to_owned(),
        Some(Retention { last, days: 0 }) => format!("The newest {last}."),
        Some(Retention { last, days }) => {
            format!("The newest {last}, and all of the last {}.", say::counted(*days, "day"))
        }
    }
}

fn went(count: u64) -> String {
    match count {
        0 => "None had to go.".to_owned(),
        count => format!("{} let go.", say::counted(count, "snapshot")),
    }
}
