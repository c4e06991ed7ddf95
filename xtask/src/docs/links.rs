//! Links of a folder of pages: those inside must lead somewhere, and nothing is loaded from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Values of an attribute, as our own pages write them.
pub(super) fn values<'a>(html: &'a str, attribute: &'a str) -> impl Iterator<Item = &'a str> {
    let start = format!(" {attribute}=\"");
    html.match_indices(&start)
        .map(move |(at, _)| &html[at + attribute.len() + 3..])
        .filter_map(|rest| rest.split('"').next())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Whether a link leaves the site.
pub(super) fn is_outside(link: &str) -> bool {
    link.contains("://") || link.starts_with("mailto:")
}

/// What is wrong with the links of the pages in `folder`.
pub(super) fn broken(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".html") {
            pages.insert(name.clone(), fs::read_to_string(&path)?);
        }
        files.insert(name);
    }
    let mut wrong = Vec::new();
    for (page, html) in &pages {
        for link in values(html, "href").chain(values(html, "src")) {
            if is_outside(link) {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { page.as_str() } else { file };
            let target = pages.get(file);
            let lacks = |html: &String| !values(html, "id").any(|id| id == fragment);
            if !files.contains(file) || (!fragment.is_empty() && target.is_some_and(lacks)) {
                wrong.push(format!("{page}: {link}"));
            }
        }
        let loaded = values(html, "src").filter(|src| is_outside(src));
        wrong.extend(loaded.map(|src| format!("{page} loads {src}")));
    }
    Ok(wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn broken_links_are_found() {
        let folder = std::env::temp_dir().join(format!("craftec-links-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let a = "<a id=\"x\" href=\"b.html#y\"><a href=\"b.html#z\"><a href=\"c.html\">\
                 <img src=\"https://example.org/x.png\"><a href=\"#x\"><a href=\"https://a\">";
        fs::write(folder.join("a.html"), a).unwrap();
        fs::write(folder.join("b.html"), "<p id=\"y\">").unwrap();
        let wrong = broken(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            wrong,
            ["a.html: b.html#z", "a.html: c.html", "a.html loads https://example.org/x.png"]
        );
    }
}
