//! Sites: everything that was published from this browser.

use leptos::prelude::*;

use crate::{
    app::titled,
    copies,
    node::{NodeState, types::SiteRow},
    parts::{
        marks::{cid, icon, scale, verdict_mark},
        words::{waiting, when},
    },
    say,
};

/// The screen.
#[component]
pub(crate) fn Sites() -> impl IntoView {
    titled("Sites");
    let state = expect_context::<NodeState>();
    let summary = move || {
        state.sites.with(|rows| {
            let rows = rows.as_ref()?;
            let bytes = rows.iter().map(|row| row.bytes).sum();
            Some(format!(
                "{}, {}. Each link shows the same for ever.",
                say::counted(rows.len() as u64, "site"),
                say::bytes(bytes)
            ))
        })
    };
    let body = move || {
        state.sites.with(|rows| match rows.as_deref() {
            None => waiting(state).into_any(),
            Some([]) => view! {
                <div class="panel stack">
                    <h2>"No sites yet"</h2>
                    <p class="dim">
                        "Publish a folder and it is listed here with its link, its holders and its \
                         copies."
                    </p>
                </div>
            }
            .into_any(),
            Some(rows) => view! {
                <table>
                    <thead><tr>
                        <th scope="col">"Site"</th>
                        <th scope="col">"Copies"</th>
                        <th scope="col" class="num p2">"Files"</th>
                        <th scope="col" class="num p2">"Size"</th>
                        <th scope="col" class="p3">"Published"</th>
                        <th scope="col"><span class="vh">"Action"</span></th>
                    </tr></thead>
                    <tbody>{rows.iter().map(row).collect_view()}</tbody>
                </table>
            }
            .into_any(),
        })
    };
    view! {
        <div class="head">
            <div><h1>"Sites"</h1><p>{summary}</p></div>
            <div class="row">
                <a class="b go" href="/publish">{icon("#i-up")} " Publish a site"</a>
            </div>
        </div>
        {body}
    }
}

fn row(row: &SiteRow) -> impl IntoView + use<> {
    let verdict = copies::verdict(row.health);
    let href = format!("/sites/{}", row.cid);
    let name = match &row.name {
        Some(name) => view! { <span class="brk">{name.clone()}</span> }.into_any(),
        None => cid(&row.cid).into_any(),
    };
    let label = format!("{} of {} copies signed for", row.health.signed, row.health.wanted);
    let class = if row.health.signed < row.health.wanted { "small warn" } else { "small" };
    let (signed, wanted) = (row.health.signed.into(), row.health.wanted.into());
    let meter = (row.health.wanted > 0).then(|| scale(signed, wanted, class, label));
    let open = format!("About {}", row.name.as_deref().unwrap_or(&row.cid));
    view! {
        <tr>
            <th scope="row">
                <a class="plain" href=href.clone()>{name}</a>
                <small>{cid(&row.cid)} <span class="only-s">", " {say::bytes(row.bytes)}</span></small>
            </th>
            <td>
                <span class="st">{verdict_mark(&verdict)} " " <span class="p2">{meter}</span></span>
                <small>{verdict.figures}</small>
            </td>
            <td class="num p2">{say::count(row.files)}</td>
            <td class="num p2">{say::bytes(row.bytes)}</td>
            <td class="p3">{when(row.time_ms)}</td>
            <td class="num"><a class="b small" href=href aria-label=open>"Details"</a></td>
        </tr>
    }
}
