//! Content of the node as HTTP answers: streams, parts, conditions. The entity tag of content is
//! its CID, so what a client holds is never sent again. It serves bytes as they are and adds no
//! origin's headers.

use std::{future::Future, pin::Pin, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use craftec_api::{ApiError, Command, ErrorCode, Opened, Range};
use craftec_core::Cid;
use serde_bytes::ByteBuf;

use super::{
    page::Page,
    range::{self, Part},
};
use crate::{error::RelayError, node_thread::NodeHandle, session::Session};

/// How long a client waits for the first byte before it is told that nobody has it. The node's
/// own search ends sooner; this bounds a request whatever happens.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// What never changes is cached for as long as caches allow.
pub(crate) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// What may change is asked for again each time; the entity tag makes that cheap.
pub(crate) const REVALIDATE: &str = "no-cache";

/// Content open for reading, with the session that reads it.
#[derive(Debug)]
pub(crate) struct Content {
    session: Session,
    /// What was found.
    pub(crate) opened: Opened,
    /// The root that it was opened below: its holders have the parts.
    root: Cid,
}

impl Content {
    /// Opens content by a command that is answered with `Opened`.
    async fn open(node: &NodeHandle, root: Cid, command: Command) -> Result<Self, ApiError> {
        let session = node.session();
        let opened = bounded(session.open(command)).await?;
        Ok(Self { session, opened, root })
    }

    /// Opens everything below a path as a CAR.
    pub(crate) async fn car(node: &NodeHandle, cid: Cid, path: String) -> Result<Self, ApiError> {
        Self::open(node, cid, Command::CarOpen { cid, path }).await
    }

    /// Opens a path below a root.
    pub(crate) async fn at(
        node: &NodeHandle,
        cid: Cid,
        path: &str,
        range: Option<Range>,
    ) -> Result<Self, ApiError> {
        Self::open(node, cid, Command::GetOpen { cid, path: path.to_owned(), range }).await
    }

    /// The body, once its first bytes are there: until then a failure has a status of its own.
    /// With a length, exactly that many bytes come or the connection breaks.
    pub(crate) async fn body(self, length: Option<u64>) -> Result<Body, ApiError> {
        let handle = self.opened.handle;
        let first = bounded(self.session.bytes(Command::GetRead { handle })).await?;
        let reading = Reading {
            next: Box::pin(std::future::ready(Ok(first))),
            session: self.session,
            handle,
            left: length,
        };
        Ok(Body::from_stream(futures::stream::try_unfold(reading, Reading::step)))
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

type NextChunk = Pin<Box<dyn Future<Output = Result<ByteBuf, RelayError>> + Send>>;

/// A body on its way. The next chunk is asked for before the last one is handed on.
struct Reading {
    session: Session,
    handle: u64,
    next: NextChunk,
    left: Option<u64>,
}

impl Reading {
    async fn step(mut self) -> Result<Option<(bytes::Bytes, Self)>, RelayError> {
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
        self.next = Box::pin(self.session.bytes(Command::GetRead { handle: self.handle }));
        Ok(Some((bytes::Bytes::from(chunk.into_vec()), self)))
    }
}

/// Answers a request for an opened file.
pub(crate) async fn respond(
    node: &NodeHandle,
    content: Content,
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
    let (content, length) = match range::part(headers, size, &etag) {
        Part::All => (content, size),
        Part::Unsatisfiable => {
            let mut page = Page::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the content has {size} bytes, none of them in the range asked for"),
                "",
            )
            .respond(headers, method);
            set(&mut page, header::CONTENT_RANGE, &format!("bytes */{size}"));
            return page;
        }
        Part::Bytes { start, end } => {
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes {start}-{}/{size}", end - 1));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            if method == Method::HEAD {
                (content, end - start)
            } else {
                let part = Range { start, end: Some(end) };
                let (root, path) = (content.root, content.opened.path.clone());
                match Content::at(node, root, &path, Some(part)).await {
                    Ok(part) => (part, end - start),
                    Err(error) => return Page::of_error(&error).respond(headers, method),
                }
            }
        }
    };
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if method == Method::HEAD {
        return answer;
    }
    match content.body(Some(length)).await {
        Ok(body) => *answer.body_mut() = body,
        Err(error) => return Page::of_error(&error).respond(headers, method),
    }
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
