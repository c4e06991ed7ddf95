//! What the HTTP side of `craftec` reads of a request before anything else: host, path, range. The
//! modules are the binary's own sources, since a binary has no library to depend on.
#![allow(unreachable_pub, reason = "tests of the main workspace include this file as a module")]
#![allow(dead_code, unused_imports, reason = "the binary uses more of these modules")]

#[path = "../../relay/src/http/host.rs"]
mod host;
#[path = "../../relay/src/http/path.rs"]
mod path;
#[path = "../../relay/src/http/range.rs"]
mod range;

use axum::http::{HeaderMap, HeaderValue, header};

/// A host: what is ours is the app, a site by a CID or a label, or the bare domain.
pub fn http_host(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match host::split(&text) {
        Ok((name, _)) => assert!(text.contains(name)),
        Err(error) => drop(error.to_string()),
    }
    match host::place(&text, "craftec.localhost") {
        Ok(host::Place::Site(cid)) => assert!(text.to_lowercase().contains(&cid.to_string())),
        Ok(host::Place::Name(label)) => assert_eq!(label.len(), 53),
        Ok(host::Place::App) => assert!(text.to_lowercase().contains("app.")),
        Ok(host::Place::Bare { .. }) => {}
        Err(error) => drop(error.to_string()),
    }
}

/// A path: what is accepted names something below the root, decoded once.
pub fn http_path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match path::decode(&text) {
        Ok(decoded) => {
            assert!(decoded.names.len() <= craftec_core::limits::PATH_BYTES);
            assert!(!decoded.names.contains('\0') && !decoded.names.starts_with('/'));
            let mut names = decoded.names.split('/');
            assert!(decoded.names.is_empty() || names.all(|name| !["", ".", ".."].contains(&name)));
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A range: what is asked for lies in the content and is not empty.
pub fn http_range(bytes: &[u8]) {
    let (size, text) = match bytes.split_first_chunk::<8>() {
        Some((size, rest)) => (u64::from_le_bytes(*size), rest),
        None => (0, bytes),
    };
    let Ok(value) = HeaderValue::from_bytes(text) else { return };
    for size in [size, size % 1000, 0] {
        for condition in [None, Some("\"etag\""), Some("other")] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, value.clone());
            if let Some(condition) = condition {
                headers.insert(header::IF_RANGE, HeaderValue::from_static(condition));
            }
            if let range::Part::Bytes { start, end } = range::part(&headers, size, "\"etag\"") {
                assert!(start < end && end <= size, "{start}..{end} of {size}");
            }
        }
    }
}
