//! Conditional and partial requests: what RFC 9110 says about Range, If-Range and If-None-Match,
//! for content whose entity tag is its CID. Pure functions over header values.

use axum::http::{HeaderMap, header};

/// What part of the content is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it (also for a range that must be ignored).
    All,
    /// Bytes from `start` to before `end`; never empty.
    Bytes {
        /// First byte.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// Nothing that the content has.
    Unsatisfiable,
}

/// Reads Range and If-Range. Several ranges in one request are answered with everything, which
/// the standard allows.
pub(crate) fn part(headers: &HeaderMap, size: u64, etag: &str) -> Part {
    let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Part::All;
    };
    if let Some(condition) = headers.get(header::IF_RANGE)
        && condition.as_bytes() != etag.as_bytes()
    {
        return Part::All;
    }
    range.trim().strip_prefix("bytes=").and_then(|spec| one(spec.trim(), size)).unwrap_or(Part::All)
}

/// One range; `None` if it is malformed or one of several.
fn one(spec: &str, size: u64) -> Option<Part> {
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| {
        // Longer numbers are beyond any content; all of them mean the same.
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        let count = number(last)?;
        if count == 0 || size == 0 {
            return Some(Part::Unsatisfiable);
        }
        return Some(Part::Bytes { start: size.saturating_sub(count), end: size });
    }
    let start = number(first)?;
    let end = match last {
        "" => u64::MAX,
        last => number(last).filter(|last| *last >= start)?.saturating_add(1),
    };
    if start >= size {
        return Some(Part::Unsatisfiable);
    }
    Some(Part::Bytes { start, end: end.min(size) })
}

/// Whether the client already has it (If-None-Match, compared weakly as the standard says).
pub(crate) fn is_held(headers: &HeaderMap, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let wanted = bare(etag);
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || bare(tag) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, size: u64) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        part(&headers, size, "\"x\"")
    }

    #[test]
    fn ranges_as_the_standard_says() {
        let bytes = |start, end| Part::Bytes { start, end };
        assert_eq!(asked("bytes=0-0", 10), bytes(0, 1));
        assert_eq!(asked("bytes=2-", 10), bytes(2, 10));
        assert_eq!(asked("bytes=2-99", 10), bytes(2, 10));
        assert_eq!(asked("bytes=-3", 10), bytes(7, 10));
        assert_eq!(asked("bytes=-99", 10), bytes(0, 10));
        assert_eq!(asked("bytes=0-99999999999999999999", 10), bytes(0, 10));
        assert_eq!(asked("bytes=10-", 10), Part::Unsatisfiable);
        assert_eq!(asked("bytes=-0", 10), Part::Unsatisfiable);
        assert_eq!(asked("bytes=0-", 0), Part::Unsatisfiable);
        for ignored in
            ["bytes=3-2", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes", "bytes=+1-2"]
        {
            assert_eq!(asked(ignored, 10), Part::All, "{ignored}");
        }
    }

    #[test]
    fn conditions_compare_tags() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=0-0".parse().unwrap());
        headers.insert(header::IF_RANGE, "\"old\"".parse().unwrap());
        assert_eq!(part(&headers, 10, "\"new\""), Part::All);
        headers.insert(header::IF_RANGE, "\"new\"".parse().unwrap());
        assert_eq!(part(&headers, 10, "\"new\""), Part::Bytes { start: 0, end: 1 });
        headers.insert(header::IF_NONE_MATCH, "\"a\", W/\"new\"".parse().unwrap());
        assert!(is_held(&headers, "\"new\"") && !is_held(&headers, "\"b\""));
        headers.insert(header::IF_NONE_MATCH, "*".parse().unwrap());
        assert!(is_held(&headers, "\"anything\""));
    }
}
