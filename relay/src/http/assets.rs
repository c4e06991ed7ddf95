//! The built web app and the files of ours on site origins, embedded in the binary (in a debug
//! build they are read from the disk). It serves files; it decides no origin's policy.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::Write,
    sync::{Mutex, PoisonError},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::{
    content::{IMMUTABLE, REVALIDATE, set},
    range,
};

/// Files shorter than this are not worth compressing.
const GZIP_FROM_BYTES: usize = 1024;

#[derive(RustEmbed)]
#[folder = "../dist"]
struct Dist;

/// Whose files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The app origin's.
    App,
    /// Those of ours on every site's origin.
    Site,
}

/// The files, with what was compressed of them so far (at most once each).
#[derive(Debug, Default)]
pub(crate) struct Assets {
    compressed: Mutex<BTreeMap<String, (String, Bytes)>>,
}

impl Assets {
    /// Answers with a file, where it exists.
    pub(crate) fn respond(
        &self,
        kind: Kind,
        name: &str,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let (name, file) = find(kind, name)?;
        let tag = HEXLOWER.encode(&file.metadata.sha256_hash()[..16]);
        let mime = mime(&name);
        let packed = self.packed(&name, &mime, &tag, &file.data, headers);
        let etag = match &packed {
            Some((coding, _)) => format!("\"{tag}-{coding}\""),
            None => format!("\"{tag}\""),
        };
        let mut answer = Response::new(Body::empty());
        set(&mut answer, header::CONTENT_TYPE, &mime);
        set(&mut answer, header::ETAG, &etag);
        let cache = if is_hashed(&name) { IMMUTABLE } else { REVALIDATE };
        set(&mut answer, header::CACHE_CONTROL, cache);
        set(&mut answer, header::VARY, "Accept-Encoding");
        set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        if range::is_held(headers, &etag) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return Some(answer);
        }
        if let Some((coding, _)) = &packed {
            set(&mut answer, header::CONTENT_ENCODING, coding);
        }
        let body = packed.map_or_else(|| bytes_of(file.data), |(_, body)| body);
        answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if method != Method::HEAD {
            *answer.body_mut() = Body::from(body);
        }
        Some(answer)
    }

    /// The file in the shortest coding that is there and accepted, and what that is called.
    fn packed(
        &self,
        name: &str,
        mime: &str,
        tag: &str,
        plain: &[u8],
        headers: &HeaderMap,
    ) -> Option<(&'static str, Bytes)> {
        if !is_text(mime) {
            return None;
        }
        // The build compressed it, far better than there is time for here.
        let brotli = accepts("br", headers).then(|| Dist::get(&format!("{name}.br"))).flatten();
        if let Some(file) = brotli {
            return Some(("br", bytes_of(file.data)));
        }
        let gzip = ["gzip", "*"].into_iter().any(|coding| accepts(coding, headers));
        Some(("gzip", gzip.then(|| self.gzip(name, tag, plain)).flatten()?))
    }

    fn gzip(&self, name: &str, tag: &str, plain: &[u8]) -> Option<Bytes> {
        if plain.len() < GZIP_FROM_BYTES {
            return None;
        }
        let mut compressed = self.compressed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, bytes)) = compressed.get(name)
            && of == tag
        {
            return Some(bytes.clone());
        }
        let level = flate2::Compression::new(6);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(plain).ok()?;
        let bytes = Bytes::from(encoder.finish().ok()?);
        compressed.insert(name.to_owned(), (tag.to_owned(), bytes.clone()));
        Some(bytes)
    }

    /// Hashes of the scripts and styles inside a page of ours, as Content-Security-Policy wants
    /// them, so that nothing else inline runs.
    pub(crate) fn inline_hashes(&self, name: &str, tag: &str) -> String {
        match find(Kind::App, name) {
            Some((_, file)) => inline_hashes(&String::from_utf8_lossy(&file.data), tag),
            None => String::new(),
        }
    }

    /// Whether the app was built.
    pub(crate) fn has_app(&self) -> bool {
        find(Kind::App, "index.html").is_some()
    }
}

fn bytes_of(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    }
}

/// Finds a file under the places where the build leaves it.
fn find(kind: Kind, name: &str) -> Option<(String, rust_embed::EmbeddedFile)> {
    let clean = |name: &str| {
        !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
    };
    if !clean(name) {
        return None;
    }
    let places = match kind {
        // What runs on a site's origin is never a page of the app's.
        Kind::App if name.starts_with("site/") || name.starts_with("sdk/site/") => return None,
        Kind::App if name.contains('/') => vec![name.to_owned()],
        Kind::App => vec![name.to_owned(), format!("sdk/{name}")],
        Kind::Site => vec![format!("site/{name}"), format!("sdk/site/{name}")],
    };
    places.into_iter().find_map(|place| Dist::get(&place).map(|file| (place, file)))
}

fn mime(name: &str) -> String {
    let ending = name.rsplit('.').next().unwrap_or_default();
    let mime = match ending {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    mime.to_owned()
}

fn is_text(mime: &str) -> bool {
    mime.starts_with("text/")
        || ["application/wasm", "application/json", "application/manifest+json", "image/svg+xml"]
            .contains(&mime)
}

/// Whether the build put a hash of the content into the name (`web-0123456789abcdef_bg.wasm`).
fn is_hashed(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let Some((stem, ending)) = file.rsplit_once('.') else { return false };
    let stem = stem.strip_suffix("_bg").unwrap_or(stem);
    let hash = stem.rsplit('-').next().filter(|hash| hash.len() < stem.len());
    ["js", "wasm", "css", "svg", "png", "woff2"].contains(&ending)
        && hash.is_some_and(|hash| {
            hash.len() >= 12 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
}

/// Whether a coding is named among those that are accepted.
fn accepts(coding: &str, headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|accepted| {
            let mut parts = accepted.split(';').map(str::trim);
            let named = parts.next() == Some(coding);
            let refused = parts.any(|part| {
                part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
            });
            named && !refused
        })
}

fn inline_hashes(html: &str, tag: &str) -> String {
    let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
    let mut hashes = String::new();
    let mut rest = html;
    while let Some(at) = rest.find(&open) {
        rest = &rest[at + open.len()..];
        let Some(end) = rest.find('>') else { break };
        let attributes = &rest[..end];
        rest = &rest[end + 1..];
        let Some(end) = rest.find(&close) else { break };
        let body = &rest[..end];
        rest = &rest[end..];
        if !attributes.contains("src=") && !body.is_empty() {
            let hash = BASE64.encode(&Sha256::digest(body));
            hashes.push_str(&format!(" 'sha256-{hash}'"));
        }
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashed_names_are_immutable() {
        for hashed in [
            "web-0123456789abcdef.js",
            "web-0123456789abcdef_bg.wasm",
            "a/app-fedcba9876543210.css",
        ] {
            assert!(is_hashed(hashed), "{hashed}");
        }
        for plain in ["sw.js", "app-sw.js", "node_bg.wasm", "index.html", "deadbeefdeadbeef.js"] {
            assert!(!is_hashed(plain), "{plain}");
        }
    }

    #[test]
    fn a_coding_is_accepted_where_it_is_named() {
        let accepts = |coding: &str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            accepts(coding, &headers)
        };
        assert!(accepts("gzip", "gzip") && accepts("gzip", "br, gzip;q=0.5"));
        assert!(accepts("br", "gzip, deflate, br;q=1.0, zstd") && accepts("*", "*"));
        assert!(!accepts("gzip", "br") && !accepts("gzip", "gzip;q=0"));
        assert!(!accepts("br", "identity") && !accepts("br", "*") && !accepts("br", "brotli"));
    }

    #[test]
    fn inline_scripts_are_allowed_by_hash() {
        let html = "<script src=\"a.js\"></script><script type=\"module\">x</script><style>";
        assert_eq!(
            inline_hashes(html, "script"),
            " 'sha256-LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE='"
        );
        assert_eq!(inline_hashes(html, "style"), "");
    }

    #[test]
    fn site_files_are_not_the_apps() {
        assert!(find(Kind::App, "site/boot.html").is_none());
        assert!(find(Kind::App, "sdk/site/sw.js").is_none());
        assert!(find(Kind::App, "../Cargo.toml").is_none());
        assert!(find(Kind::Site, "../index.html").is_none());
    }
}
