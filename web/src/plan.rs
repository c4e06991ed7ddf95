//! What a picked folder becomes: which files go, which stay out and why, and what the link opens.
//!
//! Pure: paths and sizes in, a plan out.

/// Names that systems and tools leave behind and nobody means to publish, and why.
const CLUTTER: [(&str, &str); 5] = [
    (".DS_Store", "left by macOS"),
    ("__MACOSX", "left by macOS"),
    ("Thumbs.db", "left by Windows"),
    ("desktop.ini", "left by Windows"),
    (".git", "the history of a repository, which would be public"),
];
/// Longest name and path that a folder of ours holds, in bytes.
const NAME_BYTES: usize = 255;
/// See `NAME_BYTES`.
const PATH_BYTES: usize = 4_096;
/// The page that a folder opens with.
pub(crate) const ENTRY_PAGE: &str = "index.html";

/// Why a path can't be published; `None` where it can.
pub(crate) fn reason_to_leave_out(path: &str) -> Option<&'static str> {
    let clutter = |name: &str| CLUTTER.iter().find(|(left, _)| *left == name);
    if let Some((_, why)) = path.split('/').find_map(clutter) {
        return Some(why);
    }
    if path.len() > PATH_BYTES {
        return Some("its path is longer than 4,096 bytes");
    }
    if path.split('/').any(|name| name.len() > NAME_BYTES) {
        return Some("its name is longer than 255 bytes");
    }
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return Some("its path can’t be part of a link");
    }
    None
}

/// Why a site can't have this name; `None` where it can. No name at all is fine.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    if name.len() > NAME_BYTES {
        return Some("This name is longer than 255 bytes. Shorten it.");
    }
    if name.contains('/') || name.chars().any(char::is_control) {
        return Some("A name can’t hold a slash or a control character.");
    }
    matches!(name, "." | "..").then_some("A name can’t be “.” or “..”.")
}

/// The folder that all paths share, where there is one.
pub(crate) fn shared_folder<'a>(paths: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut shared = None;
    for path in paths {
        let (folder, _) = path.split_once('/')?;
        if *shared.get_or_insert(folder) != folder {
            return None;
        }
    }
    shared
}

/// What the link of a folder opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// `index.html` at the top.
    Page,
    /// One file and nothing else: the link ends in its name.
    OnlyFile(String),
    /// Neither: visitors need the path of a file.
    Missing {
        /// The `index.html` nearest to the top, where there is one further down.
        deeper: Option<String>,
    },
}

/// Finds what the link opens among paths without their shared folder.
pub(crate) fn entry<'a>(paths: impl IntoIterator<Item = &'a str> + Clone) -> Entry {
    if paths.clone().into_iter().any(|path| path == ENTRY_PAGE) {
        return Entry::Page;
    }
    let mut all = paths.clone().into_iter();
    if let (Some(only), None) = (all.next(), all.next()) {
        return Entry::OnlyFile(only.to_owned());
    }
    let deeper = paths
        .into_iter()
        .filter(|path| path.strip_suffix(ENTRY_PAGE).is_some_and(|rest| rest.ends_with('/')))
        .min_by_key(|path| (path.split('/').count(), path.len()));
    Entry::Missing { deeper: deeper.map(str::to_owned) }
}

/// The first few left-out files in words: `.DS_Store and 2 more`.
pub(crate) fn left_out_words(paths: &[&str]) -> String {
    match paths {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, rest @ ..] => format!("{one} and {} more", crate::say::count(rest.len() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clutter_and_impossible_names_stay_out() {
        for path in [".DS_Store", "a/.git/config", "__MACOSX/x", "a/Thumbs.db"] {
            assert!(reason_to_leave_out(path).is_some(), "{path}");
        }
        for path in ["../x", "a//b", "a/./b", ""] {
            assert!(reason_to_leave_out(path).is_some(), "{path}");
        }
        assert!(reason_to_leave_out(&"n".repeat(256)).is_some());
        assert!(reason_to_leave_out(&"n/".repeat(2_100)).is_some());
        for path in ["index.html", ".well-known/x", ".gitignore", "données/été.txt", "a b.html"]
        {
            assert_eq!(reason_to_leave_out(path), None, "{path}");
        }
    }

    #[test]
    fn names_are_checked_before_anything_is_read() {
        for name in ["a/b", "a\nb", ".", ".."] {
            assert!(name_problem(name).is_some(), "{name:?}");
        }
        assert!(name_problem(&"й".repeat(128)).is_some());
        for name in ["", "field-notes", "заметки 2026", "a.b"] {
            assert_eq!(name_problem(name), None, "{name}");
        }
    }

    #[test]
    fn the_shared_folder_is_the_one_of_all() {
        assert_eq!(shared_folder(["a/b", "a/c/d"]), Some("a"));
        assert_eq!(shared_folder(["a/b", "c/d"]), None);
        assert_eq!(shared_folder(["a/b", "c"]), None);
        assert_eq!(shared_folder(["ab/c", "a/c"]), None);
        assert_eq!(shared_folder([]), None);
    }

    #[test]
    fn the_entry_is_found_at_the_top_only() {
        assert_eq!(entry(["a.css", "index.html"]), Entry::Page);
        assert_eq!(entry(["report.pdf"]), Entry::OnlyFile("report.pdf".into()));
        assert_eq!(
            entry(["x/y/index.html", "doc/index.html", "notindex.html"]),
            Entry::Missing { deeper: Some("doc/index.html".into()) }
        );
        assert_eq!(entry(["a", "b"]), Entry::Missing { deeper: None });
    }

    #[test]
    fn left_out_files_are_named_briefly() {
        assert_eq!(left_out_words(&["a"]), "a");
        assert_eq!(left_out_words(&["a", "b"]), "a and b");
        assert_eq!(left_out_words(&["a", "b", "c"]), "a and 2 more");
    }
}
