//! Files: what was put or pinned here, putting another, and what is known of one of them.

use leptos::prelude::*;
use wasm_bindgen::JsCast as _;

use crate::{
    app::titled,
    copies,
    location::Location,
    node::{
        NodeState, Putting,
        types::{Kind, ObjectRow},
    },
    parts::{
        lookup::{Facts, LookUp},
        marks::{cid, icon, kind_words, verdict_mark},
        words::{failed, waiting, when},
    },
    say,
};

/// The screen.
#[component]
pub(crate) fn Files() -> impl IntoView {
    titled("Files");
    let state = expect_context::<NodeState>();
    let location = expect_context::<Location>();
    // What is shown is in the address, so that reload and back work.
    let chosen = location.query("cid");
    let show = move |root: String, _| location.go(&format!("/files?cid={root}"));
    let summary = move || {
        state.objects.with(|rows| {
            let rows = rows.as_ref()?;
            let bytes = rows.iter().map(|row| row.size).sum();
            Some(format!(
                "{}, {}, put or kept here.",
                say::counted(rows.len() as u64, "object"),
                say::bytes(bytes)
            ))
        })
    };
    view! {
        <div class="head">
            <div><h1>"Files"</h1><p>{summary}</p></div>
            <div class="row"><PutFiles/></div>
        </div>
        <Progress/>
        <div class="two">
            <List chosen/>
            <aside class="stack wide" aria-label="Details">
                <section aria-labelledby="byaddr">
                    <h2 id="byaddr">"Find by address"</h2>
                    <LookUp verb="Look up" arrived=show/>
                </section>
                {move || chosen.get().map(|root| view! {
                    <section aria-labelledby="about">
                        <h2 id="about">"Details"</h2>
                        <Facts root/>
                    </section>
                })}
            </aside>
        </div>
    }
}

/// The button that puts files.
#[component]
fn PutFiles() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let chosen = move |event: web_sys::Event| {
        let input = event.target().and_then(|t| t.dyn_into::<web_sys::HtmlInputElement>().ok());
        let Some((input, list)) = input.and_then(|input| Some((input.clone(), input.files()?)))
        else {
            return;
        };
        let files = (0..list.length()).filter_map(|i| list.get(i)).collect();
        input.set_value("");
        state.put_files(files);
    };
    view! {
        <label class="b go">
            {icon("#i-up")} " Put files"
            <input class="vh" type="file" multiple on:change=chosen/>
        </label>
    }
}

/// What is being put, and what came of it.
#[component]
fn Progress() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let row = |p: Putting| match p.done {
        None => view! {
            <li class="stack">
                <span class="s">
                    {format!("Putting {}: {}", p.name, say::bytes_of(p.read, p.bytes))}
                </span>
                <progress value=p.read.to_string() max=p.bytes.max(1).to_string()
                    aria-label=format!("Putting {}", p.name)></progress>
            </li>
        }
        .into_any(),
        Some(Ok(stored)) => view! {
            <li class="note">
                {icon("#i-ok")}
                <p>
                    <b class="brk">{p.name} " is stored in this browser."</b>
                    " " {say::bytes(stored.size)} ". Its address is " {cid(&stored.cid)}
                    "; copies go out by themselves."
                </p>
                <div class="row">
                    <a class="b small" href=format!("/files?cid={}", stored.cid)>"Details"</a>
                </div>
            </li>
        }
        .into_any(),
        Some(Err(failure)) => view! { <li>{failed(&failure)}</li> }.into_any(),
    };
    view! {
        <ul class="stack puts" role="status">{move || state.puts.get().into_iter().map(row).collect_view()}</ul>
    }
}

/// Everything that was put or pinned.
#[component]
fn List(chosen: Memo<Option<String>>) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let body = move || {
        let chosen = chosen.get();
        state.objects.with(|rows| match rows.as_deref() {
            None => waiting(state).into_any(),
            Some([]) => view! {
                <div class="panel stack">
                    <h2>"No files yet"</h2>
                    <p class="dim">
                        "Put a file and it is listed here with its address and its copies. Anyone \
                         who has the address can read it."
                    </p>
                </div>
            }
            .into_any(),
            Some(rows) => view! {
                <table class="files">
                    <thead><tr>
                        <th scope="col">"Name"</th>
                        <th scope="col" class="num p2">"Size"</th>
                        <th scope="col" class="p4">"Put"</th>
                        <th scope="col">"Copies"</th>
                    </tr></thead>
                    <tbody>
                        {rows.iter().map(|row| list_row(row, chosen.as_deref())).collect_view()}
                    </tbody>
                </table>
            }
            .into_any(),
        })
    };
    view! { <div>{body}</div> }
}

fn list_row(row: &ObjectRow, chosen: Option<&str>) -> impl IntoView + use<> {
    let verdict = copies::verdict(row.health);
    let on = chosen == Some(row.cid.as_str());
    let symbol = if row.kind == Kind::Folder { "#i-files" } else { "#i-doc" };
    let href = format!("/files?cid={}", row.cid);
    let name = match &row.name {
        Some(name) => name.clone().into_any(),
        None => cid(&row.cid).into_any(),
    };
    let mark = verdict_mark(&verdict);
    view! {
        <tr class:on=on aria-current=on.then_some("true")>
            <th scope="row">
                <span class="fn">
                    {icon(symbol)}
                    <span class="fb">
                        <a href=href data-noscroll="">{name}</a>
                        <small>
                            {kind_words(row.kind)} ", " {cid(&row.cid)}
                            <span class="only-s">", " {say::bytes(row.size)}</span>
                        </small>
                    </span>
                </span>
            </th>
            <td class="num p2">{say::bytes(row.size)}</td>
            <td class="nb p4">{when(row.time_ms)}</td>
            <td>{mark}<small>{verdict.figures}</small></td>
        </tr>
    }
}
