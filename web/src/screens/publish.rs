//! Publish: pick, review, watch the real steps, hand on the link.

use leptos::prelude::*;

use crate::{
    address,
    app::{Picking, titled},
    browser, copies,
    node::{
        Job, NodeState, Step,
        types::{Copies, LeftOut, PublishPhase, Published, Way},
    },
    parts::{
        drop_zone::DropZone,
        holders::Holders,
        marks::{self, icon},
        share::{LinkField, NewestLink, qr_figure},
        words::{failed, warning},
    },
    pick::Picked,
    plan, say,
};

/// Longest name that the field takes.
const NAME_CHARS: usize = 64;

/// The screen: the pick under review, else the publication under way, else the drop zone.
#[component]
pub(crate) fn Publish() -> impl IntoView {
    titled("Publish");
    let state = expect_context::<NodeState>();
    let picking = expect_context::<Picking>();
    let has_job = Memo::new(move |_| state.job.with(Option::is_some));
    move || {
        if let Some(picked) = picking.picked.get() {
            return view! { <Review picked/> }.into_any();
        }
        if has_job.get() {
            return view! { <Publication/> }.into_any();
        }
        view! {
            <div class="head"><div>
                <p class="s faint"><a href="/sites">"Sites"</a> " / new"</p>
                <h1>"Publish a site"</h1>
            </div></div>
            <DropZone lead="Any folder with an index.html becomes a site; any file becomes a link."/>
        }
        .into_any()
    }
}

/// What goes, what stays, what the link will open.
#[component]
fn Review(picked: Picked) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let picking = expect_context::<Picking>();
    let name = RwSignal::new(picked.name.chars().take(NAME_CHARS).collect::<String>());
    let problem = Memo::new(move |_| name.with(|name| plan::name_problem(name.trim())));
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
    let (title, files, bytes) = (picked.name.clone(), picked.files.len() as u64, picked.bytes());
    let entry = entry_words(&picked);
    let left_out = (!picked.left_out.is_empty()).then(|| left_out_list(&picked.left_out));
    let largest = picked.files.iter().max_by_key(|f| f.bytes);
    let largest = largest.map(|f| format!("{}, {}", f.path, say::bytes(f.bytes)));
    let publish = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if problem.get_untracked().is_some() {
            return;
        }
        state.publish(&picked, name.get_untracked().trim().to_owned());
        picking.picked.set(None);
    };
    view! {
        <form class="review" on:submit=publish>
            <div class="head">
                <div>
                    <p class="s faint"><a href="/sites">"Sites"</a> " / new"</p>
                    <h1>"Publish " <span class="brk">{title}</span> "?"</h1>
                    <p>{say::counted(files, "file")} ", " {say::bytes(bytes)} ". Nothing has left this browser."</p>
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
                    <div class="f">
                        <label for="sitename">"Name"</label>
                        <input class="in" id="sitename" maxlength=NAME_CHARS.to_string()
                            autocomplete="off" aria-describedby="sitenamehelp"
                            prop:value=name
                            aria-invalid=move || problem.get().map(|_| "true")
                            on:input=move |event| name.set(event_target_value(&event))/>
                        {help}
                    </div>
                    <div class="note">
                        {icon("#i-info")}
                        <p>
                            <b>"Public, and not to be taken back."</b>
                            " Anyone with the link can read it and keep a copy."
                        </p>
                    </div>
                </div>
                <aside class="stack wide" aria-label="What goes">
                    <dl class="facts">
                        <dt>"Files"</dt><dd>{say::count(files)}</dd>
                        <dt>"Size"</dt><dd>{say::bytes(bytes)}</dd>
                        <dt>"Largest"</dt><dd class="brk">{largest}</dd>
                    </dl>
                    {left_out}
                </aside>
            </div>
        </form>
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

fn left_out_list(left_out: &[LeftOut]) -> impl IntoView + use<> {
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

/// The publication under way, or just done.
#[component]
fn Publication() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let job = move || state.job.get();
    let published = Memo::new(move |_| {
        state.job.with(|job| match job.as_ref().map(|job| &job.step) {
            Some(Step::Stored(published)) => Some(published.clone()),
            _ => None,
        })
    });
    let copies = Memo::new(move |_| published.get().map(|p| copies_of(state, &p.cid)));
    let failure = move || {
        state.job.with(|job| match job.as_ref().map(|job| &job.step) {
            Some(Step::Failed(failure)) if failure.is_abort() => Some(
                warning(
                    "Stopped before it was stored.".into(),
                    "Nothing of it was published; the files on your disk are as they were.",
                )
                .into_any(),
            ),
            Some(Step::Failed(failure)) => Some(failed(failure).into_any()),
            _ => None,
        })
    };
    let reading = move || job().is_some_and(|job| job.step == Step::Reading);
    let live = move || copies.get().is_some_and(|c| c.signed >= c.wanted);
    let heading = move || {
        let title = job().map(|job| job.title).unwrap_or_default();
        match (failure().is_some(), live()) {
            (true, _) => format!("{title} is not published"),
            (_, true) => format!("{title} is live"),
            _ => format!("Publishing {title}"),
        }
    };
    let lead = move || {
        let job = job()?;
        let size = format!("{}, {}. ", say::counted(job.files, "file"), say::bytes(job.bytes));
        let works =
            published.get().map(|_| view! { <b class="mid">"The link already works. "</b> });
        let close = match (published.get(), copies.get()) {
            (Some(_), Some(copies)) => copies::may_close(copies),
            _ if reading() => "Keep this tab open: files are being read.".into(),
            _ => String::new(),
        };
        Some(view! { <p role="status">{size} {works} {close}</p> })
    };
    let buttons = move || {
        let again = move |_| state.job.set(None);
        if reading() {
            return view! {
                <button class="b" on:click=move |_| state.stop_publishing()>"Stop publishing"</button>
            }
            .into_any();
        }
        let open = published.get().map(|p| {
            let url = link_of(state, &p);
            view! {
                <a class="b" href=url target="_blank" rel="noopener">
                    {icon("#i-ext")} " Open site"
                </a>
            }
        });
        view! { {open} <button class="b" on:click=again>"Publish another"</button> }.into_any()
    };
    view! {
        <div class="head">
            <div>
                <p class="s faint"><a href="/sites">"Sites"</a> " / publishing"</p>
                <h1 class="brk">{heading}</h1>
                {lead}
            </div>
            <div class="row">{buttons}</div>
        </div>
        {failure}
        <Steps published copies/>
        {move || published.get().map(|published| view! { <Outcome published/> })}
    }
}

/// Copies by the last event, else by the list.
fn copies_of(state: NodeState, cid: &str) -> Copies {
    let event = state.health.with(|all| all.get(cid).map(|h| h.health));
    let row = || {
        state
            .sites
            .with(|rows| rows.iter().flatten().find(|row| row.cid == cid).map(|row| row.health))
    };
    // Until the node has said otherwise: its default is 3.
    event.or_else(row).unwrap_or(Copies { wanted: 3, signed: 0, reachable: 0 })
}

/// The link, which ends in the only file's name where there is no page.
fn link_of(state: NodeState, published: &Published) -> String {
    let entry = state.job.with_untracked(|job| job.as_ref().and_then(|job| job.entry.clone()));
    let path = entry.map(|path| address::encode_path(&path)).unwrap_or_default();
    format!("{}{path}", state.site_url(&published.cid))
}

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
fn Steps(published: Memo<Option<Published>>, copies: Memo<Option<Copies>>) -> impl IntoView {
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

/// Holders, link and code of what was published.
#[component]
fn Outcome(published: Published) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let url = link_of(state, &published);
    let (cid, facts) = (published.cid.clone(), published.clone());
    let details = format!("/sites/{cid}");
    let newest = published.label.as_ref().map(|label| state.site_url(label));
    let code = qr_figure(&url);
    let late = published.left_out;
    let late = (!late.is_empty()).then(|| {
        warning(
            format!("{} could not be published.", say::counted(late.len() as u64, "file")),
            left_out_list(&late),
        )
    });
    view! {
        {late}
        <Holders root=cid known=Some(Vec::new())
            none="No holder yet. As soon as a tab or a relay is connected, it is asked to keep a copy."/>
        <section class="live" aria-label="Share it">
            <div class="two">
                <div class="stack wide">
                    <LinkField url
                        help="The address is the content. Nobody, you included, can change what this link shows."/>
                    {newest.map(|url| view! { <NewestLink url/> })}
                    <div class="note">
                        {icon("#i-lock")}
                        <p>
                            <b>"Visitors don’t have to trust the holders."</b>
                            " Each visitor’s browser checks every file against the link before it \
                             shows it. A holder that changes a byte is found out and left."
                        </p>
                    </div>
                </div>
                <aside class="stack wide" aria-label="Details">
                    {code}
                    <dl class="facts">
                        <dt>"Files"</dt><dd>{say::count(facts.files)}</dd>
                        <dt>"Size"</dt><dd>{say::bytes(facts.bytes)}</dd>
                        <dt>"Address"</dt><dd>{marks::cid(&facts.cid)}</dd>
                    </dl>
                    <p><a href=details>"All about this site"</a></p>
                </aside>
            </div>
        </section>
    }
}
