//! The review: what goes, what stays, what the link will open. Nothing is read before "Publish".

use leptos::prelude::*;

use crate::{
    app::Picking,
    node::{NodeState, types::LeftOut},
    parts::{marks::icon, words::warning},
    pick::Picked,
    plan, say,
};

/// Longest name that the field takes.
const NAME_CHARS: usize = 64;

/// What goes, what stays, what the link will open.
#[component]
pub(super) fn Review(picked: Picked) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let picking = expect_context::<Picking>();
    let name = RwSignal::new(picked.name.chars().take(NAME_CHARS).collect::<String>());
    let problem = Memo::new(move |_| name.with(|name| plan::name_problem(name.trim())));
    let (title, files, bytes) = (picked.name.clone(), picked.files.len() as u64, picked.bytes());
    let entry = entry_words(&picked);
    let going = going(&picked);
    let publish = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if problem.get_untracked().is_none() {
            state.publish(&picked, name.get_untracked().trim().to_owned());
            picking.picked.set(None);
        }
    };
    view! {
        <form class="review" on:submit=publish>
            <div class="head">
                <div>
                    <p class="s faint"><a href="/sites">"Sites"</a> " / new"</p>
                    <h1>"Publish " <span class="brk">{title}</span> "?"</h1>
                    <p>
                        {say::counted(files, "file")} ", " {say::bytes(bytes)}
                        ". Nothing has left this browser."
                    </p>
                </div>
                <div class="row">
                    <button type="button" class="b" on:click=move |_| picking.picked.set(None)>
                        "Choose another"
                    </button>
                    <button class="b go">"Publish"</button>
                </div>
            </div>
            <div class="two">
                <div class="stack wide">
                    {entry}
                    <NameField name problem/>
                    <div class="note">
                        {icon("#i-info")}
                        <p>
                            <b>"Public, and not to be taken back."</b>
                            " Anyone with the link can read it and keep a copy."
                        </p>
                    </div>
                </div>
                {going}
            </div>
        </form>
    }
}

#[component]
fn NameField(name: RwSignal<String>, problem: Memo<Option<&'static str>>) -> impl IntoView {
    let help = move || match problem.get() {
        Some(why) => view! {
            <p class="err" id="sitenamehelp" role="alert">
                {icon("#i-stop")} " " <span>{why}</span>
            </p>
        }
        .into_any(),
        None => view! {
            <p class="help" id="sitenamehelp">
                "For you to find it again. It also gets a second link that shows the newest \
                 version you publish under this name. Leave it empty for neither."
            </p>
        }
        .into_any(),
    };
    view! {
        <div class="f">
            <label for="sitename">"Name"</label>
            <input class="in" id="sitename" maxlength=NAME_CHARS.to_string() autocomplete="off"
                aria-describedby="sitenamehelp" prop:value=name
                aria-invalid=move || problem.get().map(|_| "true")
                on:input=move |event| name.set(event_target_value(&event))/>
            {help}
        </div>
    }
}

/// Figures of what goes, and what stays.
fn going(picked: &Picked) -> impl IntoView + use<> {
    let largest = picked.files.iter().max_by_key(|f| f.bytes);
    let largest = largest.map(|f| format!("{}, {}", f.path, say::bytes(f.bytes)));
    let left_out = (!picked.left_out.is_empty()).then(|| left_out_list(&picked.left_out));
    view! {
        <aside class="stack wide" aria-label="What goes">
            <dl class="facts">
                <dt>"Files"</dt><dd>{say::count(picked.files.len() as u64)}</dd>
                <dt>"Size"</dt><dd>{say::bytes(picked.bytes())}</dd>
                <dt>"Largest"</dt><dd class="brk">{largest}</dd>
            </dl>
            {left_out}
        </aside>
    }
}

fn entry_words(picked: &Picked) -> impl IntoView + use<> {
    match picked.entry() {
        plan::Entry::Page => view! {
            <p class="st">{icon("#i-ok")} " " <span>"The link opens " <code>"index.html"</code> "."</span></p>
        }
        .into_any(),
        plan::Entry::OnlyFile(path) => view! {
            <p>{icon("#i-ok")} " The link opens " <code class="brk">{path}</code> "."</p>
        }
        .into_any(),
        plan::Entry::Missing { deeper: Some(path) } => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            let rest = view! {
                "The nearest is " <code class="brk">{path}</code> ". If that is the site, publish the \
                folder " <code class="brk">{folder}</code> " instead."
            };
            warning("No index.html at the top, so the link alone shows no page.".into(), rest)
                .into_any()
        }
        plan::Entry::Missing { deeper: None } => warning(
            "No index.html, so the link alone shows no page.".into(),
            "Files open by their path behind the link.",
        )
        .into_any(),
    }
}

/// The files that stay, each with its reason; the first fifty.
pub(super) fn left_out_list(left_out: &[LeftOut]) -> impl IntoView + use<> {
    let n = say::counted(left_out.len() as u64, "file");
    let rows = left_out.iter().take(50).cloned().map(|file| {
        view! { <li class="brk">{file.path} <small class="dim">" " {file.reason}</small></li> }
    });
    view! {
        <details class="s">
            <summary>{n} " left out"</summary>
            <ul class="stack left">{rows.collect_view()}</ul>
        </details>
    }
}
