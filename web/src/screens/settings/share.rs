//! What others may take from here: bytes a second and a month, and what they took.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::{
    browser,
    node::{
        Limit, NodeState,
        types::{Failure, Serving},
    },
    parts::{
        marks::scale,
        words::{failed, waiting},
    },
    say,
};

/// The field of the rate counts these.
const RATE_UNIT: u64 = 1_000_000;
/// The field of the month counts these.
const MONTH_UNIT: u64 = 1_000_000_000;
/// More of either than any line or month can carry is a slip of the finger.
const MOST: u64 = 1_000_000;
/// Characters of `MOST`.
const MOST_DIGITS: usize = 7;

/// The section.
#[component]
pub(super) fn Share() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let serving = Memo::new(move |_| state.status.with(|s| s.as_ref().and_then(|s| s.serving)));
    let known = Memo::new(move |_| serving.with(Option::is_some));
    view! {
        <section class="set" aria-labelledby="s7">
            <header>
                <h2 id="s7">"Sharing"</h2>
                <p>"Others read what you hold from here. You say how much of your line that takes."</p>
            </header>
            <div class="stack wide">
                {move || match (known.get(), serving.get_untracked()) {
                    (true, Some(now)) => view! { <Limits now/> }.into_any(),
                    _ => waiting(state).into_any(),
                }}
                {move || serving.get().map(sent)}
            </div>
        </section>
    }
}

fn sent(now: Serving) -> impl IntoView {
    let Serving { monthly, sent, month_ends_ms, .. } = now;
    let words = match monthly {
        Some(limit) => format!("{} sent this month", say::bytes_of(sent, limit)),
        None => format!("{} sent this month", say::bytes(sent)),
    };
    let meter = monthly.map(|limit| {
        let class = if sent >= limit { "warn" } else { "" };
        scale(sent.min(limit), limit, class, words.clone())
    });
    let over = monthly.is_some_and(|limit| sent >= limit).then_some(
        " Nothing more is sent until then, except copies of your own. Your own reading goes on.",
    );
    let now = browser::now();
    let ends = say::moment(month_ends_ms, now);
    view! {
        <div class="qt">
            {meter}
            <p class="s dim" role="status">{words} ". It counts anew on " {ends} "." {over}</p>
        </div>
    }
}

/// What a field says: nothing is no limit, anything that is no number is nothing at all.
fn limit_of(text: &str, unit: u64) -> Option<Limit> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Limit::Unlimited);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = [whole, part].concat().bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || whole.len() + part.len() == 0 || whole.len() > MOST_DIGITS {
        return None;
    }
    let value = |digit: u8| u64::from(digit - b'0');
    let mut bytes = whole.bytes().fold(0, |sum, digit| sum * 10 + value(digit)) * unit;
    let mut worth = unit;
    for digit in part.bytes() {
        worth /= 10;
        bytes += value(digit) * worth;
    }
    (bytes <= MOST * unit).then_some(Limit::Bytes(bytes))
}

/// A limit as its field shows it.
fn text_of(limit: Option<u64>, unit: u64) -> String {
    let Some(bytes) = limit else { return String::new() };
    let (whole, rest) = (bytes / unit, bytes % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    format!("{whole}.{rest:0digits$}").trim_end_matches('0').to_owned()
}

#[component]
fn Limits(now: Serving) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let rate = RwSignal::new(text_of(now.rate, RATE_UNIT));
    let monthly = RwSignal::new(text_of(now.monthly, MONTH_UNIT));
    let failure = RwSignal::new(None::<Failure>);
    let said = RwSignal::new("");
    let set = move |rate_limit: Limit, month_limit: Limit| {
        said.set("");
        failure.set(None);
        spawn_local(async move {
            match state.serve_limits(rate_limit, month_limit).await {
                Ok(()) => {
                    said.set("Kept.");
                    // Only the node knows its own limits. Otherwise what was typed stays: somebody
                    // may be typing in the other field now.
                    let now = state.status.with_untracked(|s| s.as_ref().and_then(|s| s.serving));
                    if let (Some(now), Limit::Usual) = (now, rate_limit) {
                        rate.set(text_of(now.rate, RATE_UNIT));
                        monthly.set(text_of(now.monthly, MONTH_UNIT));
                    }
                }
                Err(why) => failure.set(Some(why)),
            }
        });
    };
    let chosen = move |_| {
        let rate = rate.with_untracked(|text| limit_of(text, RATE_UNIT));
        let monthly = monthly.with_untracked(|text| limit_of(text, MONTH_UNIT));
        match (rate, monthly) {
            (Some(rate), Some(monthly)) => set(rate, monthly),
            _ => failure.set(Some(Failure::here(
                "bad_input",
                "That is not a number. Write digits, or leave the field empty for no limit.",
            ))),
        }
    };
    let usual = move |_| set(Limit::Usual, Limit::Usual);
    view! {
        <div class="f">
            <label for="rate">"Send to others, MB a second"</label>
            <input class="in" id="rate" inputmode="decimal" autocomplete="off"
                aria-describedby="ratehelp" prop:value=rate
                on:input=move |event| rate.set(event_target_value(&event)) on:change=chosen/>
            <p class="help" id="ratehelp">
                "A page and its pictures come at full speed; what is larger comes at this rate. Empty \
                 is no limit."
            </p>
        </div>
        <div class="f">
            <label for="monthly">"Send to others, GB a month"</label>
            <input class="in" id="monthly" inputmode="decimal" autocomplete="off"
                aria-describedby="monthlyhelp" prop:value=monthly
                on:input=move |event| monthly.set(event_target_value(&event)) on:change=chosen/>
            <p class="help" id="monthlyhelp">
                "Beyond it, others read from other holders. What you read, and copies of your own \
                 files, are never held back. " <span role="status">{said}</span>
            </p>
        </div>
        <div class="row">
            <button class="b small" type="button" on:click=usual>"Use the usual limits"</button>
        </div>
        {move || failure.with(|f| f.as_ref().map(failed))}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_written() {
        assert_eq!(limit_of(" ", RATE_UNIT), Some(Limit::Unlimited));
        assert_eq!(limit_of("2", RATE_UNIT), Some(Limit::Bytes(2_000_000)));
        assert_eq!(limit_of("0.5", MONTH_UNIT), Some(Limit::Bytes(500_000_000)));
        assert_eq!(limit_of("0", RATE_UNIT), Some(Limit::Bytes(0)));
        assert_eq!(limit_of("0.0000019", RATE_UNIT), Some(Limit::Bytes(1)));
        assert_eq!(limit_of("1000000", MONTH_UNIT), Some(Limit::Bytes(1_000_000_000_000_000)));
        assert_eq!(limit_of(".5", RATE_UNIT), Some(Limit::Bytes(500_000)));
        for bad in ["-1", "1,5", "NaN", "inf", "1e30", "two", ".", "1.2.3", "1000001", "99999999"] {
            assert_eq!(limit_of(bad, RATE_UNIT), None, "{bad}");
        }
        assert_eq!(text_of(Some(1_500_000), RATE_UNIT), "1.5");
        assert_eq!(text_of(Some(2_000_000), RATE_UNIT), "2");
        assert_eq!(text_of(Some(50_000), RATE_UNIT), "0.05");
        assert_eq!(text_of(None, RATE_UNIT), "");
    }
}
