//! The trustless gateway: single blocks and CAR files, which the client verifies itself. Always an
//! attachment that no browser runs; nothing here is ever rendered on one of our origins.
//! Source: <https://specs.ipfs.tech/http-gateways/trustless-gateway/>.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};
use craftec_api::{ApiError, Command, ErrorCode, Reply};
use craftec_core::Cid;

use super::{
    Http,
    content::{Content, IMMUTABLE, set},
    host::Origin,
    page::Page,
    path,
    range::{self, Part},
    site::is_worker_request,
};

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car";
/// Of every CAR of ours: level by level, no block twice.
const CAR_1: &str = "application/vnd.ipld.car; version=1; order=unk; dups=n";
/// The empty block with its bytes in its name, by which clients find out what speaks this protocol.
const PROBE: &str = "/ipfs/bafkqaaa";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Raw,
    Car,
}

/// Answers `/ipfs/<cid>[/path]?format=raw|car`.
pub(crate) async fn respond(
    http: &Http,
    origin: &Origin,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    if uri.path() == PROBE {
        return probe(method);
    }
    let asked = match strangers_page(origin, headers) {
        Some(page) => Err(page),
        None => target(method, uri, headers),
    };
    let mut answer = match asked {
        Ok((cid, names, format)) => match (http.denied(&cid), format) {
            (Some(page), _) => Err(page),
            (None, Format::Raw) => raw(http, cid, &names, method, headers).await,
            (None, Format::Car) => car(http, cid, &names, method, headers).await,
        },
        Err(page) => Err(page),
    }
    .unwrap_or_else(|page| page.respond(headers, method));
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut answer, header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    set(&mut answer, header::VARY, "Accept, Origin");
    allow_origin(&mut answer, origin, headers);
    answer
}

/// The answer to a client that only asks whether there is a gateway.
fn probe(method: &Method) -> Response {
    debug_assert!(method == Method::GET || method == Method::HEAD);
    let mut answer = attachment(RAW, "bafkqaaa.bin", "\"bafkqaaa.raw\"");
    set(&mut answer, header::CONTENT_LENGTH, "0");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

/// A public gateway is for every page; one on a person's own machine only for the app. Any page on
/// the web, and any site, could otherwise learn from the time of an answer what this node holds,
/// and have it fetch and keep what it likes; so it is refused before anything is looked up.
fn strangers_page(origin: &Origin, headers: &HeaderMap) -> Option<Page> {
    let is = |name: HeaderName, value: &str| {
        headers.get(name).is_some_and(|found| found.as_bytes() == value.as_bytes())
    };
    let site = HeaderName::from_static("sec-fetch-site");
    let strange = is(site.clone(), "cross-site") || is(site, "same-site");
    if !origin.is_local() || !strange || is(header::ORIGIN, &origin.app()) {
        return None;
    }
    let text = "pages other than the app cannot use the gateway of this machine";
    Some(Page::new(StatusCode::FORBIDDEN, text, ""))
}

/// Who may read an answer: everybody of a public gateway, the app alone of a local one.
fn allow_origin(answer: &mut Response, origin: &Origin, headers: &HeaderMap) {
    let local = origin.is_local();
    let app = origin.app();
    let allowed = if local {
        headers
            .get(header::ORIGIN)
            .is_some_and(|from| from.as_bytes() == app.as_bytes())
            .then_some(app.as_str())
    } else {
        Some("*")
    };
    let resource = if local { "same-origin" } else { "cross-origin" };
    set(answer, HeaderName::from_static("cross-origin-resource-policy"), resource);
    if let Some(allowed) = allowed {
        set(answer, header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        let shown = "Content-Range, Content-Length, ETag, Content-Disposition";
        set(answer, header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
    }
}

/// What is asked for, or the page that says what is wrong.
fn target(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(Cid, String, Format), Page> {
    let bad = |text: String, hint: &str| Page::new(StatusCode::BAD_REQUEST, text, hint);
    if is_worker_request(headers) {
        let text = "the gateway serves no scripts";
        return Err(Page::new(StatusCode::FORBIDDEN, text, ""));
    }
    debug_assert!(method == Method::GET || method == Method::HEAD);
    let path = uri.path().strip_prefix("/ipfs").unwrap_or_default();
    let (root, rest) = match path.get(1..).unwrap_or_default().split_once('/') {
        Some((root, rest)) => (root, format!("/{rest}")),
        None => (path.get(1..).unwrap_or_default(), "/".to_owned()),
    };
    let cid = root
        .parse::<Cid>()
        .map_err(|error| bad(error.to_string(), "Write /ipfs/<CID>?format=raw or ?format=car."))?;
    let names = path::decode(&rest).map_err(|error| bad(error.to_string(), ""))?.names;
    let query = uri.query().unwrap_or_default();
    Ok((cid, names, format(query, headers)?))
}

/// The format by the query, which wins, or by Accept.
fn format(query: &str, headers: &HeaderMap) -> Result<Format, Page> {
    let hint = "Add ?format=raw for one block or ?format=car for everything below a root.";
    let bad = |text: String| Err(Page::new(StatusCode::BAD_REQUEST, text, hint));
    let mut format = None;
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match (name, value) {
            ("format", "raw") => format = Some(Format::Raw),
            ("format", "car") => format = Some(Format::Car),
            ("format", other) => {
                return bad(format!("the format `{other}` is not served, only raw and car"));
            }
            ("dag-scope", "all") | ("car-version", "1") => {}
            ("dag-scope" | "car-version" | "entity-bytes", other) => {
                return bad(format!(
                    "{name}={other} is not served, only everything in CAR version 1"
                ));
            }
            _ => {}
        }
    }
    if let Some(format) = format {
        return Ok(format);
    }
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for kind in accepted.flat_map(|value| value.split(',')) {
        let mut parts = kind.split(';').map(str::trim);
        match parts.next() {
            Some(RAW) => return Ok(Format::Raw),
            Some(CAR) if !parts.any(|part| part.starts_with("version=") && part != "version=1") => {
                return Ok(Format::Car);
            }
            _ => {}
        }
    }
    let text = "this gateway serves raw blocks and CAR files only, which the client verifies";
    Err(Page::new(StatusCode::NOT_ACCEPTABLE, text, hint))
}

fn attachment(kind: &str, name: &str, etag: &str) -> Response {
    let mut answer = Response::new(Body::empty());
    set(&mut answer, header::CONTENT_TYPE, kind);
    set(&mut answer, header::ETAG, etag);
    set(&mut answer, header::CACHE_CONTROL, IMMUTABLE);
    set(&mut answer, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    answer
}

/// The content path that was asked for, as the gateway specifications name it.
fn say_path(answer: &mut Response, root: Cid, names: &str) {
    let gap = if names.is_empty() { "" } else { "/" };
    let path = format!("/ipfs/{root}{gap}{}", path::encode(names));
    set(answer, HeaderName::from_static("x-ipfs-path"), &path);
}

fn held(mut answer: Response) -> Response {
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer.headers_mut().remove(header::CONTENT_DISPOSITION);
    answer
}

/// The block that a path ends at: for a folder the folder itself, never its index.
async fn block_at(http: &Http, root: Cid, names: &str) -> Result<Cid, ApiError> {
    if names.is_empty() {
        return Ok(root);
    }
    let (parent, name) = names.rsplit_once('/').unwrap_or(("", names));
    let list = Command::List { cid: root, path: parent.to_owned() };
    let found = match http.node.session().call(list).await? {
        Reply::Entries { entries } => entries.into_iter().find(|entry| entry.name == name),
        _ => None,
    };
    let cid = found.map(|entry| entry.cid).ok_or_else(|| {
        ApiError::new(ErrorCode::NotFound, format!("the folder has no entry `{name}`"))
    })?;
    // Fetches the block from the root's holders; on its own nobody may be known to have it.
    Content::fetched(http, root, names).await?;
    Ok(cid)
}

async fn raw(
    http: &Http,
    root: Cid,
    names: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Page> {
    let node = &http.node;
    let cid = block_at(http, root, names).await.map_err(|error| Page::of_error(&error))?;
    if let Some(page) = http.denied(&cid) {
        return Err(page);
    }
    let etag = format!("\"{cid}.raw\"");
    let mut answer = attachment(RAW, &format!("{cid}.bin"), &etag);
    say_path(&mut answer, root, names);
    set(&mut answer, header::ACCEPT_RANGES, "bytes");
    if range::is_held(headers, &etag) {
        return Ok(held(answer));
    }
    let block = match node.session().call(Command::Block { cid }).await {
        Ok(Reply::Bytes { bytes }) => bytes,
        Ok(_) => {
            let text = "the block was answered with something else";
            return Err(Page::new(StatusCode::INTERNAL_SERVER_ERROR, text, ""));
        }
        Err(error) => return Err(Page::of_error(&error)),
    };
    let size = block.len() as u64;
    let body = match range::part(headers, size, &etag) {
        Part::All => block,
        Part::Bytes { start, end } => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {start}-{}/{size}", end - 1);
            set(&mut answer, header::CONTENT_RANGE, &text);
            block.slice(start as usize..end as usize)
        }
        Part::Unsatisfiable => {
            let text = format!("the block has {size} bytes, none of them in the range asked for");
            let page = Page::new(StatusCode::RANGE_NOT_SATISFIABLE, text, "");
            let mut answer = page.respond(headers, method);
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(answer);
        }
    };
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if method != Method::HEAD {
        *answer.body_mut() = Body::from(body);
    }
    Ok(answer)
}

async fn car(
    http: &Http,
    root: Cid,
    names: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Page> {
    // Weak: the same blocks, perhaps in another order after an update.
    let etag = match names {
        "" => format!("W/\"{root}.car\""),
        names => format!("W/\"{root}.{}.car\"", &blake3::hash(names.as_bytes()).to_hex()[..16]),
    };
    let mut answer = attachment(CAR_1, &format!("{root}.car"), &etag);
    say_path(&mut answer, root, names);
    set(&mut answer, header::ACCEPT_RANGES, "none");
    if range::is_held(headers, &etag) {
        return Ok(held(answer));
    }
    let content =
        Content::car(http, root, names.to_owned()).await.map_err(|error| Page::of_error(&error))?;
    if method != Method::HEAD {
        let body = content.body(None).await.map_err(|error| Page::of_error(&error))?;
        *answer.body_mut() = body;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;

    fn asked(path: &str, accept: &str) -> Result<(Cid, String, Format), StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        target(&Method::GET, &path.parse().unwrap(), &headers).map_err(|page| page.status)
    }

    #[test]
    fn raw_and_car_only() {
        let cid = Cid::of(Codec::DagPb, b"x");
        let root = |format| Ok((cid, String::new(), format));
        assert_eq!(asked(&format!("/ipfs/{cid}?format=raw"), "*/*"), root(Format::Raw));
        assert_eq!(asked(&format!("/ipfs/{cid}/?format=car"), RAW), root(Format::Car));
        assert_eq!(
            asked(&format!("/ipfs/{cid}"), "text/html, application/vnd.ipld.raw"),
            root(Format::Raw)
        );
        assert_eq!(
            asked(&format!("/ipfs/{cid}/a%20b"), "application/vnd.ipld.car; version=1; order=dfs"),
            Ok((cid, "a b".to_owned(), Format::Car))
        );
        let status = |path: String, accept| asked(&path, accept).unwrap_err().as_u16();
        assert_eq!(status(format!("/ipfs/{cid}"), "text/html"), 406);
        assert_eq!(status(format!("/ipfs/{cid}"), "application/vnd.ipld.car; version=2"), 406);
        assert_eq!(status(format!("/ipfs/{cid}?format=tar"), RAW), 400);
        assert_eq!(status(format!("/ipfs/{cid}?format=car&dag-scope=block"), RAW), 400);
        assert_eq!(status(format!("/ipfs/{cid}/%2e%2e?format=raw"), RAW), 400);
        assert_eq!(status("/ipfs/hello?format=raw".into(), RAW), 400);
        assert_eq!(status("/ipfs?format=raw".into(), RAW), 400);
        assert_eq!(status("/ipfs/".into(), RAW), 400);
        let upper = cid.to_string().to_uppercase();
        assert_eq!(status(format!("/ipfs/{upper}?format=raw"), RAW), 400);
    }
}
