//! The one place that says which names and paths a folder may hold.
//!
//! A path is relative and separated by `/`. Names keep the bytes they were given, in any script and
//! any Unicode normalisation; a `\` is a character like others. Refused: empty names, `.`, `..`,
//! control characters (NUL among them) and what exceeds [`limits::NAME_BYTES`],
//! [`limits::PATH_BYTES`] or [`PATH_NAMES`]. Never changes a path to make it fit.

use craftec_core::limits;

/// Most names in one path. Together with the shards of large folders and the levels of a large
/// file this stays below [`limits::DAG_DEPTH`] links.
pub const PATH_NAMES: usize = 48;

/// Why a path or a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No name at all where one is needed.
    #[error("the path is empty")]
    Empty,
    /// Too long as a whole.
    #[error("the path is {bytes} bytes long, more than {}", limits::PATH_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Too many names.
    #[error("the path has more than {PATH_NAMES} names")]
    TooDeep,
    /// One of its names is not allowed.
    #[error("the name {name:?} {fault}")]
    Name {
        /// The offending name.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// A `/` at the beginning, at the end, or two in a row.
    #[error("is empty: no `/` may begin or end a path or follow another")]
    Empty,
    /// `.` or `..`
    #[error("would point to another folder")]
    Dots,
    /// Longer than filesystems take.
    #[error("is longer than {} bytes", limits::NAME_BYTES)]
    TooLong,
    /// NUL, a line break, an escape…
    #[error("contains a control character")]
    Control,
    /// A separator inside a single name.
    #[error("contains a `/`")]
    Slash,
}

/// Checks a single name.
pub fn check_name(name: &str) -> Result<(), PathError> {
    let fault = if name.is_empty() {
        NameFault::Empty
    } else if name == "." || name == ".." {
        NameFault::Dots
    } else if name.len() > limits::NAME_BYTES {
        NameFault::TooLong
    } else if name.contains('/') {
        NameFault::Slash
    } else if name.contains(char::is_control) {
        NameFault::Control
    } else {
        return Ok(());
    };
    // Enough to recognise it by; the whole of a hostile name belongs into no message.
    let shown = name.char_indices().nth(80).map_or(name, |(at, _)| &name[..at]);
    Err(PathError::Name { name: shown.to_owned(), fault })
}

/// The checked names of `path`. The empty path has none and means the root itself.
pub fn names(path: &str) -> Result<Vec<&str>, PathError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    if path.len() > limits::PATH_BYTES {
        return Err(PathError::TooLong { bytes: path.len() });
    }
    let names: Vec<&str> = path.split('/').collect();
    for name in &names {
        check_name(name)?;
    }
    if names.len() > PATH_NAMES { Err(PathError::TooDeep) } else { Ok(names) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(path: &str) -> Option<NameFault> {
        match names(path) {
            Err(PathError::Name { fault, .. }) => Some(fault),
            _ => None,
        }
    }

    #[test]
    fn any_script_is_kept_as_given() {
        let path = "über uns/日本語/قائمة/a\u{301}/back\\slash/🦀 .html";
        assert_eq!(names(path).map(|n| n.join("/")), Ok(path.to_owned()));
        assert_eq!(names(""), Ok(vec![]));
    }

    #[test]
    fn what_is_refused_is_named() {
        for path in ["/etc/passwd", "a//b", "a/"] {
            assert_eq!(fault(path), Some(NameFault::Empty), "{path}");
        }
        for path in ["..", "a/../b", "./a", "a/."] {
            assert_eq!(fault(path), Some(NameFault::Dots), "{path}");
        }
        for path in ["a\0b", "a/b\nc", "\u{7f}", "\u{85}"] {
            assert_eq!(fault(path), Some(NameFault::Control), "{path:?}");
        }
        assert_eq!(fault("..."), None);
        assert_eq!(fault(&"ü".repeat(128)), Some(NameFault::TooLong));
        assert_eq!(check_name("a/b").unwrap_err().to_string(), "the name \"a/b\" contains a `/`");
        assert_eq!(names(&["a"; PATH_NAMES + 1].join("/")), Err(PathError::TooDeep));
        let long = ["a".repeat(200).as_str(); 30].join("/");
        assert_eq!(names(&long), Err(PathError::TooLong { bytes: 6029 }));
    }
}
