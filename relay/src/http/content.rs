//! Content of the node as HTTP answers: streams, parts, conditions. The entity tag of content is
//! its CID, so what a client holds is never sent again. It serves bytes as they are and adds no
//! origin's headers.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use craftec_api::{ApiError, Command, ErrorCode, Opened, Range};
use craftec_core::Cid;

use super::{
    Http,
    page::Page,
    range::{self, Part},
    shelf::{LARGEST_BYTES, Place, Shelf, Volume},
};
use crate::{error::RelayError, session::Session};

/// How long a client waits for the first byte before it is told that nobody has it. The node's
/// own search ends sooner; this bounds a request whatever happens.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// What never changes is cached for as long as caches allow.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// What may change is asked for again each time; the entity tag makes that cheap.
pub(crate) const REVALIDATE: &str = "no-cache";

/// Content open for reading.
pub(crate) struct Content {
    source: Source,
    /// What was found.
    pub(crate) opened: Opened,
    /// The root that it was opened below: its holders have the parts.
    root: Cid,
}

/// Where the bytes of open content are.
enum Source {
    /// With the node, in the session that reads them.
    Node(Session),
    /// In memory.
    Shelf(Arc<Volume>),
}

impl Content {
    /// Opens content by a command that is answered with `Opened`.
    async fn open(http: &Http, root: Cid, command: Command) -> Result<Self, ApiError> {
        let session = http.node.session();
        let opened = bounded(session.open(command)).await?;
        Ok(Self { source: Source::Node(session), opened, root })
    }

    /// Opens everything below a path as a CAR.
    pub(crate) async fn car(http: &Http, cid: Cid, path: String) -> Result<Self, ApiError> {
        Self::open(http, cid, Command::CarOpen { cid, path }).await
    }

    /// Opens a path below a root.
    pub(crate) async fn at(http: &Http, root: Cid, path: &str) -> Result<Self, ApiError> {
        if let Some(volume) = http.shelf.take(&Place { root, path: path.to_owned() }) {
            let opened = volume.opened.clone();
            return Ok(Self { source: Source::Shelf(volume), opened, root });
        }
        Self::fetched(http, root, path).await
    }

    /// Opens a path below a root in the node, which fetches what it lacks.
    pub(crate) async fn fetched(http: &Http, cid: Cid, path: &str) -> Result<Self, ApiError> {
        Self::open(http, cid, Command::GetOpen { cid, path: path.to_owned(), range: None }).await
    }

    /// The whole body, once its first bytes are there: until then a failure has a status of its
    /// own. With a length, exactly that many bytes come or the connection breaks.
    pub(crate) async fn body(self, length: Option<u64>) -> Result<Body, ApiError> {
        self.read(length, None).await
    }

    /// The body of a file that was asked for by `path`; a small one is shelved once it was read.
    async fn file(self, http: &Http, path: &str) -> Result<Body, ApiError> {
        let size = self.opened.size;
        let shelving = (size <= LARGEST_BYTES).then(|| Shelving {
            shelf: http.shelf.clone(),
            place: Place { root: self.root, path: path.to_owned() },
            opened: self.opened.clone(),
            bytes: BytesMut::new(),
        });
        self.read(Some(size), shelving).await
    }

    async fn read(
        self,
        length: Option<u64>,
        mut shelving: Option<Shelving>,
    ) -> Result<Body, ApiError> {
        let session = match self.source {
            Source::Node(session) => session,
            Source::Shelf(volume) => return Ok(Body::from(volume.bytes.clone())),
        };
        let handle = self.opened.handle;
        let first = bounded(session.bytes(Command::GetRead { handle })).await?;
        if length == Some(first.len() as u64) {
            if let Some(shelving) = &mut shelving {
                shelving.take(&first);
            }
            return Ok(Body::from(first));
        }
        let next: NextChunk = Box::pin(std::future::ready(Ok(first)));
        let reading = Reading { next, session, handle, left: length, shelving };
        Ok(Body::from_stream(futures::stream::try_unfold(reading, Reading::step)))
    }

    /// The body of a part of a file.
    async fn part(self, http: &Http, range: Range) -> Result<Body, ApiError> {
        let (start, end) = (range.start, range.end.unwrap_or(self.opened.size));
        if let Source::Shelf(volume) = &self.source {
            return Ok(Body::from(volume.bytes.slice(start as usize..end as usize)));
        }
        let (cid, path) = (self.root, self.opened.path);
        let part = Command::GetOpen { cid, path, range: Some(range) };
        Self::open(http, cid, part).await?.body(Some(end - start)).await
    }
}

/// Runs a call to the node, but not for ever.
async fn bounded<T>(call: impl Future<Output = Result<T, RelayError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(OPEN_TIMEOUT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(RelayError::Api(error))) => Err(error),
        Ok(Err(error)) => Err(ApiError::new(ErrorCode::Internal, error.to_string())),
        Err(_) => {
            let text = format!("nobody sent it within {} s", OPEN_TIMEOUT.as_secs());
            Err(ApiError::new(ErrorCode::Unavailable, text))
        }
    }
}

type NextChunk = Pin<Box<dyn Future<Output = Result<Bytes, RelayError>> + Send>>;

/// A body on its way. The next chunk is asked for before the last one is handed on.
struct Reading {
    session: Session,
    handle: u64,
    next: NextChunk,
    left: Option<u64>,
    shelving: Option<Shelving>,
}

/// A copy of a small file that is made while it is sent.
struct Shelving {
    shelf: Arc<Shelf>,
    place: Place,
    opened: Opened,
    bytes: BytesMut,
}

impl Shelving {
    /// Takes the next bytes; shelves the file with the last.
    fn take(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() as u64 == self.opened.size {
            let bytes = std::mem::take(&mut self.bytes).freeze();
            self.shelf.keep(self.place.clone(), self.opened.clone(), bytes);
        }
    }
}

impl Reading {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, RelayError> {
        let chunk = self.next.await?;
        if chunk.is_empty() {
            return match self.left {
                Some(left) if left > 0 => Err(RelayError::Answer {
                    wanted: "more bytes",
                    found: format!("the end, {left} bytes early"),
                }),
                _ => Ok(None),
            };
        }
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(chunk.len() as u64)
                .ok_or(RelayError::Answer { wanted: "the end", found: "more bytes".to_owned() })?;
        }
        if let Some(shelving) = &mut self.shelving {
            shelving.take(&chunk);
        }
        self.next = Box::pin(self.session.bytes(Command::GetRead { handle: self.handle }));
        Ok(Some((chunk, self)))
    }
}

/// Answers a request for an opened file, which was asked for by `path`.
pub(crate) async fn respond(
    http: &Http,
    content: Content,
    path: &str,
    method: &Method,
    headers: &HeaderMap,
    cache: &'static str,
) -> Response {
    let Opened { cid, size, .. } = content.opened;
    let etag = format!("\"{cid}\"");
    let mut answer = head(&content.opened.mime, &etag, cache);
    if range::is_held(headers, &etag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer.headers_mut().remove(header::CONTENT_TYPE);
        return answer;
    }
    let part = match range::part(headers, size, &etag) {
        Part::All => None,
        Part::Unsatisfiable => return out_of_range(size, method, headers),
        Part::Bytes { start, end } => {
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes {start}-{}/{size}", end - 1));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            Some(Range { start, end: Some(end) })
        }
    };
    let length = part.map_or(size, |part| part.end.unwrap_or(size) - part.start);
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if method == Method::HEAD {
        return answer;
    }
    let body = match part {
        None => content.file(http, path).await,
        Some(range) => content.part(http, range).await,
    };
    match body {
        Ok(body) => *answer.body_mut() = body,
        Err(error) => return Page::of_error(&error).respond(headers, method),
    }
    answer
}

fn out_of_range(size: u64, method: &Method, headers: &HeaderMap) -> Response {
    let text = format!("the content has {size} bytes, none of them in the range asked for");
    let page = Page::new(StatusCode::RANGE_NOT_SATISFIABLE, text, "");
    let mut answer = page.respond(headers, method);
    set(&mut answer, header::CONTENT_RANGE, &format!("bytes */{size}"));
    answer
}

/// The headers that all answers with content share.
fn head(mime: &str, etag: &str, cache: &'static str) -> Response {
    let mut answer = Response::new(Body::empty());
    let text = mime.starts_with("text/") && !mime.contains("charset");
    let mime = if text { format!("{mime}; charset=utf-8") } else { mime.to_owned() };
    set(&mut answer, header::CONTENT_TYPE, &mime);
    set(&mut answer, header::ETAG, etag);
    set(&mut answer, header::CACHE_CONTROL, cache);
    set(&mut answer, header::ACCEPT_RANGES, "bytes");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

/// Sets a header, unless its value is none.
pub(crate) fn set(answer: &mut Response, name: header::HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(answer.headers_mut().insert(name, value)),
        Err(error) => tracing::warn!(%name, %error, "a header was left out"),
    }
}
