//! Request paths to content paths: decoded once, strictly, and never anything that could mean
//! another folder.

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    /// `%` without two hexadecimal digits.
    #[error("the path has a `%` without two hexadecimal digits after it")]
    Escape,
    /// Not UTF-8 once decoded.
    #[error("the path is not UTF-8")]
    Text,
    /// An empty, `.` or `..` name.
    #[error("the path has an empty name, `.` or `..` in it")]
    Dots,
    /// A slash or NUL that was escaped.
    #[error("the path has an escaped `/` or NUL in it")]
    Separator,
    /// Too long.
    #[error("the path is longer than {} bytes", craftec_core::limits::PATH_BYTES)]
    Length,
}

/// A decoded path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentPath {
    /// `/` between names, none at the ends; empty is the root.
    pub(crate) names: String,
    /// Whether it ended in a slash (the root does).
    pub(crate) slash: bool,
}

/// Decodes the path of a request, which begins with `/`.
pub(crate) fn decode(path: &str) -> Result<ContentPath, PathError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(ContentPath { names: String::new(), slash: true });
    }
    let (path, slash) = match path.strip_suffix('/') {
        Some(path) => (path, true),
        None => (path, false),
    };
    let names = path.split('/').map(name).collect::<Result<Vec<_>, _>>()?.join("/");
    if names.len() > craftec_core::limits::PATH_BYTES {
        return Err(PathError::Length);
    }
    Ok(ContentPath { names, slash })
}

fn name(text: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| (b as char).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(PathError::Escape),
        }
    }
    let name = String::from_utf8(bytes).map_err(|_| PathError::Text)?;
    match name.as_str() {
        "" | "." | ".." => Err(PathError::Dots),
        name if name.contains(['/', '\0']) => Err(PathError::Separator),
        _ => Ok(name),
    }
}

/// Encodes a content path for a URL: everything but unreserved characters and `/`.
pub(crate) fn encode(names: &str) -> String {
    let mut text = String::with_capacity(names.len());
    for byte in names.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_decode_once_and_encode_back() {
        let path = |names: &str, slash| Ok(ContentPath { names: names.to_owned(), slash });
        assert_eq!(decode("/"), path("", true));
        assert_eq!(decode("/a/b%20c.html"), path("a/b c.html", false));
        assert_eq!(decode("/%E6%97%A5%E6%9C%AC/"), path("日本", true));
        assert_eq!(decode("/100%2525"), path("100%25", false));
        assert_eq!(decode("/a+b&c"), path("a+b&c", false));
        assert_eq!(decode(&format!("/{}", encode("日 本/ü?#%"))), path("日 本/ü?#%", false));
    }

    #[test]
    fn nothing_leads_elsewhere() {
        for dots in
            ["/..", "/a/../b", "/%2e%2e/x", "/.%2E", "/a//b", "//evil.example", "/a/.", "//"]
        {
            assert_eq!(decode(dots), Err(PathError::Dots), "{dots}");
        }
        for separator in ["/a%2fb", "/%2F", "/a%00"] {
            assert_eq!(decode(separator), Err(PathError::Separator), "{separator}");
        }
        for escape in ["/%", "/%2", "/%zz", "/a%é"] {
            assert_eq!(decode(escape), Err(PathError::Escape), "{escape}");
        }
        assert_eq!(decode("/%ff"), Err(PathError::Text));
        assert_eq!(decode(&format!("/{}", "a".repeat(4097))), Err(PathError::Length));
    }
}
