//! A site on its own origin. A person's first visit gets the boot page, whose service worker then
//! answers from the node in the browser; programs, subresources and that service worker get the
//! content itself. A site is a stranger's code: it never shares an origin with the app.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header},
    response::Response,
};
use craftec_api::{ApiError, Command, EntryKind, ErrorCode, Reply};
use craftec_core::Cid;

use super::{
    Http,
    assets::{Assets, Kind},
    content::{self, Content, IMMUTABLE, REVALIDATE, set},
    host::Origin,
    page::Page,
    path,
};
use crate::node_thread::NodeHandle;

/// What the service worker of a site adds to say that it wants the content itself.
const DIRECT: &str = "x-craftec-direct";
/// Paths that are ours on every site.
const OWN: &str = "/.craftec/";
/// The one script that may become a site's service worker.
const WORKER: &str = "/.craftec/sw.js";
/// What a site shows where it has no such file.
const NOT_FOUND: &str = "404.html";
/// How long a name's root is taken from memory: one page with all its files, not more.
const NAME_AGE: Duration = Duration::from_secs(5);
/// Names in memory.
const NAMES: usize = 1024;

/// A root and where it came from.
#[derive(Clone, Copy, Debug)]
struct Root {
    cid: Cid,
    cache: &'static str,
    equivocation: bool,
}

/// Roots of names, for a moment.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Mutex<BTreeMap<String, (Instant, Root)>>,
}

impl Names {
    fn held(&self, label: &str) -> Option<Root> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, root) = known.get(label)?;
        (at.elapsed() < NAME_AGE).then_some(*root)
    }

    fn keep(&self, label: &str, root: Root) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < NAME_AGE);
        if known.len() < NAMES {
            known.insert(label.to_owned(), (Instant::now(), root));
        }
    }

    async fn resolve(&self, node: &NodeHandle, label: &str) -> Result<Root, ApiError> {
        if let Some(root) = self.held(label) {
            return Ok(root);
        }
        match node.session().call(Command::Resolve { name: label.to_owned() }).await? {
            Reply::Resolved { cid, equivocation, .. } => {
                let root = Root { cid, cache: REVALIDATE, equivocation };
                self.keep(label, root);
                Ok(root)
            }
            _ => Err(ApiError::new(ErrorCode::Internal, "the name was answered with no root")),
        }
    }
}

/// Which site.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// By its content.
    Cid(Cid),
    /// By its name.
    Label(String),
}

/// Answers a request to a site's origin.
pub(crate) async fn respond(
    http: &Http,
    origin: &Origin,
    which: Which,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let mut answer = inner(http, origin, which, method, uri, headers).await;
    protect(&mut answer, origin);
    answer
}

async fn inner(
    http: &Http,
    origin: &Origin,
    which: Which,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    if is_worker_request(headers) && uri.path() != WORKER {
        return Page::new(
            StatusCode::FORBIDDEN,
            "a site cannot have a service worker of its own",
            "Its requests are answered by Craftec's, at /.craftec/sw.js.",
        )
        .respond(headers, method);
    }
    if let Some(name) = uri.path().strip_prefix(OWN) {
        return own_file(&http.assets, name, method, headers);
    }
    if let Which::Cid(cid) = &which
        && let Some(page) = http.denied(cid)
    {
        return page.respond(headers, method);
    }
    if origin.is_local() && is_strange(headers) {
        let text = "pages of other sites cannot use the content of this machine's node";
        return Page::new(StatusCode::FORBIDDEN, text, "").respond(headers, method);
    }
    if is_visit(headers)
        && let Some(boot) = boot_page(&http.assets, method, headers)
    {
        return boot;
    }
    let root = match which {
        Which::Cid(cid) => Root { cid, cache: IMMUTABLE, equivocation: false },
        Which::Label(label) => match http.names.resolve(&http.node, &label).await {
            Ok(root) => root,
            Err(error) => return Page::of_error(&error).respond(headers, method),
        },
    };
    if let Some(page) = http.denied(&root.cid) {
        return page.respond(headers, method);
    }
    let mut answer = file(http, root, method, uri, headers).await;
    if root.equivocation {
        let name = HeaderName::from_static("x-craftec-equivocation");
        set(&mut answer, name, "two versions with one number were signed for this name");
    }
    vary(&mut answer);
    answer
}

/// Our own files on a site's origin: its service worker and what the boot page runs.
fn own_file(assets: &Assets, name: &str, method: &Method, headers: &HeaderMap) -> Response {
    let found = match name {
        "sw.js" | "boot.js" => assets.respond(Kind::Site, name, method, headers),
        _ => None,
    };
    match found {
        Some(mut answer) => {
            if name == "sw.js" {
                set(&mut answer, HeaderName::from_static("service-worker-allowed"), "/");
            }
            answer
        }
        None => Page::new(StatusCode::NOT_FOUND, "Craftec has no such file here", "")
            .respond(headers, method),
    }
}

/// The same address gives the boot page to one request and content to another, so it is never
/// kept; and only content has tags, so it is always sent whole.
fn boot_page(assets: &Assets, method: &Method, headers: &HeaderMap) -> Option<Response> {
    let mut headers = headers.clone();
    headers.remove(header::IF_NONE_MATCH);
    let mut boot = assets.respond(Kind::Site, "boot.html", method, &headers)?;
    boot.headers_mut().remove(header::ETAG);
    set(&mut boot, header::CACHE_CONTROL, "no-store");
    vary(&mut boot);
    Some(boot)
}

fn vary(answer: &mut Response) {
    let value = "Accept-Encoding, Sec-Fetch-Mode, Sec-Fetch-Dest, X-Craftec-Direct";
    set(answer, header::VARY, value);
}

/// Whether the browser asks for a script to register as a service worker.
pub(crate) fn is_worker_request(headers: &HeaderMap) -> bool {
    let says = |name: &str, value: &str| {
        headers
            .get(name)
            .is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    says("service-worker", "script") || says("sec-fetch-dest", "serviceworker")
}

/// Whether a person navigates here, in a tab or a frame, and no service worker of ours asks.
fn is_visit(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    value("sec-fetch-mode") == Some("navigate")
        && matches!(value("sec-fetch-dest"), Some("document" | "iframe" | "frame") | None)
        && value(DIRECT) != Some("1")
}

/// Whether a page elsewhere on the web asks for a file of this site. It could not read the answer,
/// but tell by its time what this node holds, and have it fetch and keep what it likes.
fn is_strange(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    value("sec-fetch-site") == Some("cross-site") && !is_visit(headers)
}

async fn file(
    http: &Http,
    root: Root,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let asked = match path::decode(uri.path()) {
        Ok(asked) => asked,
        Err(error) => {
            return Page::new(StatusCode::BAD_REQUEST, error.to_string(), "")
                .respond(headers, method);
        }
    };
    let content = match Content::at(http, root.cid, &asked.names).await {
        Ok(content) => content,
        Err(error) if error.code == ErrorCode::NotFound => {
            return not_found(http, root, method, headers, &asked.names).await;
        }
        Err(error) => return Page::of_error(&error).respond(headers, method),
    };
    let opened = &content.opened;
    if let Some(page) = http.denied(&opened.cid) {
        return page.respond(headers, method);
    }
    let is_folder = opened.kind == EntryKind::Folder || opened.path != asked.names;
    if is_folder && !asked.slash {
        return to_folder(&asked.names, uri);
    }
    if opened.kind == EntryKind::Folder || (asked.slash && !is_folder && !asked.names.is_empty()) {
        return not_found(http, root, method, headers, &asked.names).await;
    }
    content::respond(http, content, &asked.names, method, headers, root.cache).await
}

/// Relative links in a folder's index need the final slash.
fn to_folder(names: &str, uri: &Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::FOUND;
    set(&mut answer, header::LOCATION, &format!("/{}/{query}", path::encode(names)));
    set(&mut answer, header::CACHE_CONTROL, REVALIDATE);
    answer
}

/// The site's own 404.html where it has one.
async fn not_found(
    http: &Http,
    root: Root,
    method: &Method,
    headers: &HeaderMap,
    names: &str,
) -> Response {
    let own = Content::at(http, root.cid, NOT_FOUND).await;
    if let Ok(own) = own
        && own.opened.kind == EntryKind::File
        && own.opened.path == NOT_FOUND
    {
        // Its own tag and ranges belong to another address.
        let plain = HeaderMap::new();
        let answer = content::respond(http, own, NOT_FOUND, method, &plain, REVALIDATE);
        let mut answer = answer.await;
        if answer.status() == StatusCode::OK {
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer.headers_mut().remove(header::ETAG);
            answer.headers_mut().remove(header::ACCEPT_RANGES);
            return answer;
        }
    }
    let (message, hint) = match names {
        "" => ("this content is a folder without index.html", "`craftec ls` shows what it holds."),
        _ => ("the site has no such file", "Check the address, or start at the site's first page."),
    };
    let message = match names {
        "" => message.to_owned(),
        names => format!("{message}: {}", crate::console::printable(names)),
    };
    Page::new(StatusCode::NOT_FOUND, message, hint).respond(headers, method)
}

/// What every answer of a site's origin carries, so that a site is alone with itself: it is framed
/// by itself and the app only, keyed to its origin, without passkeys and devices; siblings may
/// show its files, strangers on the web may not.
fn protect(answer: &mut Response, origin: &Origin) {
    let policy = format!("frame-ancestors 'self' {}", origin.app());
    if let Ok(policy) = policy.parse() {
        answer.headers_mut().append(header::CONTENT_SECURITY_POLICY, policy);
    }
    let permissions = "publickey-credentials-get=(), publickey-credentials-create=(), \
                       identity-credentials-get=(), otp-credentials=(), payment=(), usb=(), \
                       serial=(), hid=(), bluetooth=(), midi=(), local-fonts=(), \
                       idle-detection=(), display-capture=()";
    set(answer, HeaderName::from_static("permissions-policy"), permissions);
    set(answer, HeaderName::from_static("origin-agent-cluster"), "?1");
    set(answer, HeaderName::from_static("cross-origin-resource-policy"), "same-site");
    set(answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(answer, header::REFERRER_POLICY, "strict-origin-when-cross-origin");
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_a_person_gets_the_boot_page() {
        let navigate = ("sec-fetch-mode", "navigate");
        assert!(is_visit(&headers(&[navigate, ("sec-fetch-dest", "document")])));
        assert!(is_visit(&headers(&[navigate, ("sec-fetch-dest", "iframe")])));
        assert!(!is_visit(&headers(&[])));
        assert!(!is_visit(&headers(&[navigate, (DIRECT, "1")])));
        assert!(!is_visit(&headers(&[navigate, ("sec-fetch-dest", "embed")])));
        assert!(!is_visit(&headers(&[("sec-fetch-mode", "cors")])));
        assert!(is_worker_request(&headers(&[("service-worker", "Script")])));
        assert!(is_worker_request(&headers(&[("sec-fetch-dest", "serviceworker")])));
    }

    #[test]
    fn names_in_memory_are_bounded() {
        let names = Names::default();
        let cid = Cid::of(Codec::Raw, b"x");
        let root = Root { cid, cache: REVALIDATE, equivocation: false };
        for label in 0..2 * NAMES {
            names.keep(&label.to_string(), root);
        }
        assert_eq!(names.known.lock().unwrap().len(), NAMES);
        assert!(names.held("0").is_some() && names.held("other").is_none());
    }
}
