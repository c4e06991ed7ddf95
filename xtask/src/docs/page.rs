//! One page: Markdown to HTML, within the frame that all pages share.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// A heading of the second level, for the list at the top.
struct Section {
    id: String,
    title: String,
}

/// The whole page. `source` is where its pictures are.
pub(super) fn render(
    name: &str,
    markdown: &str,
    source: &Path,
    pages: &[(&str, &str)],
) -> anyhow::Result<String> {
    let Body { html, sections, title, lead } = body(markdown, source)?;
    let menu: String = pages
        .iter()
        .map(|(page, label)| {
            let current = if *page == name { " aria-current=\"page\"" } else { "" };
            format!("<li><a href=\"{page}.html\"{current}>{label}</a></li>\n")
        })
        .collect();
    let contents = contents(&sections);
    let around = neighbours(name, pages);
    let (title, lead) = (escape(&title), escape(&lead));
    Ok(format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Craftec</title>
<meta name="description" content="{lead}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="tokens.css">
<link rel="stylesheet" href="site.css">
</head>
<body>
<a class="skip" href="#main">Skip to the text</a>
<header class="bar">
<a class="mark" href="index.html">{MARK}Craftec <span>docs</span></a>
<button class="menu" popovertarget="nav">Menu</button>
</header>
<nav id="nav" popover aria-label="Pages">
<a class="mark" href="index.html">{MARK}Craftec <span>docs</span></a>
<ul>
{menu}</ul>
</nav>
<main id="main">
<article>
{html}</article>
{around}</main>
{contents}</body>
</html>
"##
    ))
}

/// The app's sign: a row of ticks with one left out.
const MARK: &str = "<svg viewBox=\"0 0 18 18\" aria-hidden=\"true\">\
    <path d=\"M1 2h2v14H1zM5 2h2v14H5zM13 2h2v14h-2z\"/>\
    <path class=\"gap\" d=\"M9 7h2v9H9z\"/></svg>";

struct Body {
    html: String,
    sections: Vec<Section>,
    title: String,
    lead: String,
}

fn body(markdown: &str, source: &Path) -> anyhow::Result<Body> {
    let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES);
    let events: Vec<_> = parser.collect();
    let (mut out, mut sections) = (Vec::with_capacity(events.len()), Vec::new());
    let (mut title, mut lead) = (None, None);
    let mut at = 0;
    while at < events.len() {
        match &events[at] {
            Event::Start(Tag::Heading { level, .. }) => {
                let end = end_of(&events, at, |tag| matches!(tag, TagEnd::Heading(_)))?;
                let text = text_of(&events[at..end]);
                let id = unique(slug(&text), &sections);
                out.push(raw(format!("<{level} id=\"{id}\">")));
                out.extend_from_slice(&events[at + 1..end]);
                out.push(raw(format!("</{level}>\n")));
                match level {
                    HeadingLevel::H1 => title = Some(text),
                    HeadingLevel::H2 => sections.push(Section { id, title: text }),
                    _ => {}
                }
                at = end;
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                let end = end_of(&events, at, |tag| *tag == TagEnd::Image)?;
                let label = text_of(&events[at..end]);
                out.push(raw(picture(&source.join(&**dest_url), &label)?));
                at = end;
            }
            Event::Start(Tag::Paragraph) => {
                let end = end_of(&events, at, |tag| *tag == TagEnd::Paragraph)?;
                let text = text_of(&events[at..end]);
                if lead.is_none() && title.is_some() {
                    out.push(raw("<p class=\"lead\">".to_owned()));
                    lead = Some(text);
                } else if is_picture(&events[at..=end]) {
                    // A figure stands alone, not inside a paragraph.
                    out.push(raw(String::new()));
                } else {
                    out.push(events[at].clone());
                }
            }
            Event::End(TagEnd::Paragraph) if ends_picture(&out) => {}
            Event::Start(Tag::Table(_)) => {
                out.push(raw("<div class=\"scroll\" tabindex=\"0\">".to_owned()));
                out.push(events[at].clone());
            }
            Event::End(TagEnd::Table) => {
                out.push(events[at].clone());
                out.push(raw("</div>\n".to_owned()));
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = CowStr::from(dest_url.replace(".md", ".html"));
                let (link_type, title, id) = (*link_type, title.clone(), id.clone());
                out.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            Event::Html(text) | Event::InlineHtml(text) => bail!("HTML in a text: {text}"),
            other => out.push(other.clone()),
        }
        at += 1;
    }
    let mut text = String::new();
    html::push_html(&mut text, out.into_iter());
    let title = title.context("it has no title")?;
    Ok(Body { html: text, sections, title, lead: lead.context("it has no first paragraph")? })
}

fn raw(text: String) -> Event<'static> {
    Event::Html(CowStr::from(text))
}

fn end_of(
    events: &[Event<'_>],
    start: usize,
    is_end: impl Fn(&TagEnd) -> bool,
) -> anyhow::Result<usize> {
    let found = events[start..].iter().position(|e| matches!(e, Event::End(tag) if is_end(tag)));
    found.map(|offset| start + offset).context("it ends in the middle")
}

fn text_of(events: &[Event<'_>]) -> String {
    events
        .iter()
        .map(|event| match event {
            Event::Text(text) | Event::Code(text) => text.as_ref(),
            Event::SoftBreak => " ",
            _ => "",
        })
        .collect()
}

fn is_picture(paragraph: &[Event<'_>]) -> bool {
    matches!(paragraph.get(1), Some(Event::Start(Tag::Image { .. })))
        && matches!(paragraph.get(paragraph.len() - 2), Some(Event::End(TagEnd::Image)))
}

fn ends_picture(out: &[Event<'_>]) -> bool {
    matches!(out.last(), Some(Event::Html(text)) if text.ends_with("</figure>\n"))
}

/// An SVG of ours inside the page, or any other picture by its name.
fn picture(path: &Path, label: &str) -> anyhow::Result<String> {
    let svg = fs::read_to_string(path).with_context(|| format!("no {}", path.display()))?;
    let start = svg.find("<svg").context("not an SVG")?;
    let label = escape(label);
    let named = svg[start..].replacen("<svg", "<svg role=\"img\" class=\"pic\"", 1);
    let named = named.replacen('>', &format!("><title>{label}</title>"), 1);
    Ok(format!(
        "<figure><div class=\"scroll\" tabindex=\"0\">{}</div><figcaption>{label}</figcaption></figure>\n",
        named.trim_end()
    ))
}

fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

fn unique(slug: String, sections: &[Section]) -> String {
    let same = sections.iter().filter(|section| section.id.starts_with(&slug)).count();
    let taken = sections.iter().any(|section| section.id == slug);
    if taken { format!("{slug}-{same}") } else { slug }
}

fn contents(sections: &[Section]) -> String {
    if sections.len() < 3 {
        return String::new();
    }
    let row = |section: &Section| {
        format!("<li><a href=\"#{}\">{}</a></li>\n", section.id, escape(&section.title))
    };
    let rows: String = sections.iter().map(row).collect();
    format!("<aside aria-label=\"On this page\"><h2>On this page</h2><ul>\n{rows}</ul></aside>\n")
}

fn neighbours(name: &str, pages: &[(&str, &str)]) -> String {
    let at = pages.iter().position(|(page, _)| *page == name).unwrap_or(0);
    let link = |word: &str, page: Option<&(&str, &str)>| {
        page.map_or_else(String::new, |(page, label)| {
            format!("<a href=\"{page}.html\"><small>{word}</small>{label}</a>\n")
        })
    };
    let before = link("Before", at.checked_sub(1).and_then(|at| pages.get(at)));
    let next = link("Next", pages.get(at + 1));
    format!("<nav class=\"around\" aria-label=\"Other pages\">\n{before}{next}</nav>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_frame_its_sections_and_its_links() {
        let text = "# One & two\n\nThe lead.\n\n## A `b` c\n\n[x](how.md#y)\n\n## D\n\n## D\n\n\
                    | a |\n|---|\n| 1 |\n";
        let pages = [("index", "Start"), ("how", "How")];
        let html = render("index", text, Path::new("."), &pages).unwrap();
        for wanted in [
            "<title>One &amp; two · Craftec</title>",
            "<p class=\"lead\">The lead.</p>",
            "<h2 id=\"a-b-c\">A <code>b</code> c</h2>",
            "href=\"how.html#y\"",
            "<a href=\"index.html\" aria-current=\"page\">Start</a>",
            "<li><a href=\"#d-1\">D</a></li>",
            "<div class=\"scroll\" tabindex=\"0\"><table>",
            "<small>Next</small>How",
        ] {
            assert!(html.contains(wanted), "{wanted}: {html}");
        }
        assert!(render("index", "# A\n\nb\n\n<script>", Path::new("."), &pages).is_err());
        assert!(render("index", "no title", Path::new("."), &pages).is_err());
    }
}
