//! The steps of a publication, each with its own figures and its own progress.

use leptos::prelude::*;

use crate::{
    browser,
    node::{
        Job, NodeState, Step,
        types::{Copies, PublishPhase, Published, Way},
    },
    parts::marks::{self, icon},
    plan, say,
};

/// One step's figures.
struct StepView {
    name: &'static str,
    figure: AnyView,
    value: u64,
    max: u64,
    label: String,
    words: String,
    done: bool,
    now: bool,
}

fn step(view: StepView) -> impl IntoView {
    let class = if view.done {
        "done"
    } else if view.now {
        "now"
    } else {
        ""
    };
    view! {
        <li class=class aria-current=view.now.then_some("step")>
            <h2>{view.done.then(|| icon("#i-ok"))} " " {view.name}</h2>
            <p class="v" class:faint=!view.done && !view.now>{view.figure}</p>
            <progress value=view.value.to_string() max=view.max.max(1).to_string()
                aria-label=view.label></progress>
            <p class="s dim">{view.words}</p>
        </li>
    }
}

/// Read, hashed, stored, announced: each with its own figures.
#[component]
pub(super) fn Steps(
    published: Memo<Option<Published>>,
    copies: Memo<Option<Copies>>,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    move || {
        let job = state.job.get()?;
        let published = published.get();
        let copies = copies.get();
        Some(view! {
            <ol class="steps" aria-label="Progress">
                {step(read_step(&job))}
                {step(hash_step(&job, published.as_ref()))}
                {step(store_step(state, &job, published.as_ref(), copies))}
                {step(announce_step(published.as_ref(), copies))}
            </ol>
        })
    }
}

/// Files and bytes that the node has taken so far.
fn taken(job: &Job) -> (u64, u64) {
    match job.progress {
        _ if job.read_ms.is_some() => (job.files, job.bytes),
        Some(progress) if progress.phase > PublishPhase::Reading => {
            (progress.files, progress.bytes)
        }
        _ => (0, 0),
    }
}

fn read_step(job: &Job) -> StepView {
    let (_, bytes) = taken(job);
    let done = job.read_ms.is_some();
    let elapsed_ms = job.read_ms.unwrap_or_else(browser::page_age_ms).saturating_sub(job.began_ms);
    let left: Vec<&str> = job.left_out.iter().map(|file| file.path.as_str()).collect();
    let left = match left.len() as u64 {
        0 => String::new(),
        n => format!(". {} left out: {}", say::counted(n, "file"), plan::left_out_words(&left)),
    };
    let words = if done {
        format!("{} in {}{left}", say::counted(job.files, "file"), say::seconds(elapsed_ms))
    } else {
        let rate = say::rate(bytes, elapsed_ms).unwrap_or_else(|| "Listing the files".into());
        format!("{rate}{left}")
    };
    let figure = if done { say::bytes(bytes) } else { say::bytes_of(bytes, job.bytes) };
    StepView {
        name: if done { "Read" } else { "Reading" },
        figure: figure.into_any(),
        value: if done { 1 } else { bytes },
        max: if done { 1 } else { job.bytes },
        label: format!("Reading: {}", say::bytes_of(bytes, job.bytes)),
        words,
        done,
        now: !done && job.step == Step::Reading,
    }
}

fn hash_step(job: &Job, published: Option<&Published>) -> StepView {
    let (files, _) = taken(job);
    let now = files > 0 && published.is_none() && job.step == Step::Reading;
    let figure = match published {
        Some(published) => marks::cid(&published.cid).into_any(),
        None if now => {
            let of = format!(" of {}", say::counted(job.files, "file"));
            view! { {say::count(files)} <small>{of}</small> }.into_any()
        }
        None => "Next".into_any(),
    };
    StepView {
        name: if published.is_some() { "Hashed" } else { "Hashing" },
        figure,
        value: if published.is_some() { job.files } else { files },
        max: job.files,
        label: format!("Hashing: {} of {}", say::count(files), say::counted(job.files, "file")),
        words: "BLAKE3. This is the address; any change makes another".into(),
        done: published.is_some(),
        now,
    }
}

fn store_step(
    state: NodeState,
    job: &Job,
    published: Option<&Published>,
    copies: Option<Copies>,
) -> StepView {
    let Some((published, copies)) = published.zip(copies) else {
        return StepView {
            name: "Storing",
            figure: "Next".into_any(),
            value: 0,
            max: 1,
            label: "Storing".into(),
            words: "Other nodes take copies and sign for them".into(),
            done: false,
            now: false,
        };
    };
    let done = copies.signed >= copies.wanted;
    let (sent, total) = state.transfers.with(|all| {
        let ours = all.values().filter(|t| t.cid == published.cid && t.kind == Way::Replicate);
        ours.fold((0, 0), |(sent, total), t| (sent + t.bytes, total + t.total.unwrap_or(t.bytes)))
    });
    let signed = copies.signed.to_string();
    let of = format!(" of {} holders", copies.wanted);
    let elapsed_ms = browser::page_age_ms().saturating_sub(job.stored_ms.unwrap_or_default());
    let words = match (done, sent) {
        (true, 0) => "Every copy that was asked for is signed for".to_owned(),
        (true, _) => format!("{} sent. Every copy asked for is signed for", say::bytes(sent)),
        (false, 0) => "Stored in this browser. Looking for holders".to_owned(),
        (false, _) => {
            let rate = say::rate(sent, elapsed_ms).map(|r| format!(", {r}")).unwrap_or_default();
            format!("{} sent{rate}", say::bytes_of(sent, total))
        }
    };
    StepView {
        name: if done { "Stored" } else { "Storing" },
        figure: view! { {signed} <small>{of}</small> }.into_any(),
        value: u64::from(copies.signed.min(copies.wanted)),
        max: u64::from(copies.wanted),
        label: format!("Storing: {} of {} holders signed", copies.signed, copies.wanted),
        words,
        done,
        now: !done,
    }
}

fn announce_step(published: Option<&Published>, copies: Option<Copies>) -> StepView {
    let signed = copies.map_or(0, |c| c.signed);
    let done = published.is_some() && signed > 0;
    let figure = if done {
        say::counted(signed.into(), "holder").into_any()
    } else if published.is_some() {
        "This browser".into_any()
    } else {
        "Next".into_any()
    };
    StepView {
        name: if done { "Announced" } else { "Announcing" },
        figure,
        value: u64::from(done),
        max: 1,
        label: "Announcing".into(),
        words: if done {
            "Each of them announces its copy, so others find it without you".into()
        } else {
            "Every holder announces its copy, so that others find it".into()
        },
        done,
        now: published.is_some() && !done,
    }
}
