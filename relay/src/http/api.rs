//! The local API over a WebSocket: for programs of this machine that hold the token, and for no
//! page but the app. Frames as everywhere; one session of the node per connection.

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{
    body::Bytes,
    extract::{
        FromRequestParts,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::Response,
};
use craftec_core::limits::API_FRAME_BYTES;
use data_encoding::HEXLOWER;
use tokio::sync::Semaphore;

use super::{
    Http,
    host::{Origin, Place},
    page::Page,
};
use crate::{
    error::{RelayError, Result},
    folder,
    node_thread::Trust,
    serve::{FrameIo, serve},
};

/// The token's file in the data folder.
pub(crate) const TOKEN_FILE: &str = "api.token";
/// Random bytes of the token.
const TOKEN_BYTES: usize = 32;
/// Programs at one time.
const CLIENTS: usize = 64;
/// The subprotocol that we answer with; the token never is.
const PROTOCOL: &str = "craftec";
/// Before the token, where it comes as a subprotocol (browsers can't set headers).
const TOKEN_PROTOCOL: &str = "token.";

/// Who may use the API.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The token's hash; hashes compare in constant time.
    token: blake3::Hash,
    clients: Arc<Semaphore>,
}

impl Gate {
    /// Makes a new token and leaves it in the data folder for programs of the same person.
    pub(crate) fn open(data: &Path) -> Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|error| RelayError::Start(format!("no random bytes: {error}")))?;
        let token = HEXLOWER.encode(&bytes);
        folder::write_private(&data.join(TOKEN_FILE), token.as_bytes())?;
        Ok(Self::of(&token))
    }

    fn of(token: &str) -> Self {
        let clients = Arc::new(Semaphore::new(CLIENTS));
        Self { token: blake3::hash(token.as_bytes()), clients }
    }

    /// Why a request may not use the API, in the order that tells a stranger least.
    fn refusal(
        &self,
        place: &Place,
        origin: &Origin,
        peer: SocketAddr,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Page> {
        let no = |text: &str, hint: &str| Some(Page::new(StatusCode::FORBIDDEN, text, hint));
        let proxied = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        if !peer.ip().to_canonical().is_loopback() || proxied {
            return no("the local API answers programs of this machine only", "");
        }
        if !matches!(place, Place::Bare { loopback: true } | Place::App) {
            return no("the local API is not on this host", "Use 127.0.0.1 or localhost.");
        }
        let app = origin.app();
        let from = headers.get(header::ORIGIN);
        if from.is_some_and(|from| from.as_bytes() != app.as_bytes()) {
            return no("pages other than the app cannot use the local API", "");
        }
        let token = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .find_map(|pair| pair.strip_prefix("token="))
            .or_else(|| offered(headers).find_map(|name| name.strip_prefix(TOKEN_PROTOCOL)));
        let right = token.is_some_and(|token| blake3::hash(token.as_bytes()) == self.token);
        if right {
            return None;
        }
        let hint = format!(
            "Send the content of {TOKEN_FILE} in the data folder as ?token=… or as the subprotocol \
             `{TOKEN_PROTOCOL}…`."
        );
        Some(Page::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong", hint))
    }
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Answers `/api/v1`.
pub(crate) async fn respond(
    http: &Http,
    place: &Place,
    origin: &Origin,
    peer: SocketAddr,
    mut parts: Parts,
) -> Response {
    let gate = &http.api;
    let refusal = gate.refusal(place, origin, peer, parts.uri.query(), &parts.headers);
    if let Some(page) = refusal {
        return page.respond(&parts.headers, &Method::GET);
    }
    let Ok(permit) = gate.clients.clone().try_acquire_owned() else {
        let text = format!("{CLIENTS} programs use the local API already");
        let page = Page::new(StatusCode::SERVICE_UNAVAILABLE, text, "Close one of them.");
        return page.respond(&parts.headers, &Method::GET);
    };
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(_) => {
            let text = "the local API speaks WebSocket only";
            let page = Page::new(StatusCode::UPGRADE_REQUIRED, text, "Connect with ws://.");
            return page.respond(&parts.headers, &Method::GET);
        }
    };
    let session = http.node.session_with(Trust::Page);
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(API_FRAME_BYTES)
        .max_frame_size(API_FRAME_BYTES)
        .on_upgrade(move |socket| async move {
            serve(session, socket).await;
            drop(permit);
        })
}

impl FrameIo for WebSocket {
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.recv().await? {
                Ok(Message::Binary(frame)) => return Some(frame.into()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                // Text is no frame; nothing of ours sends it.
                Ok(Message::Text(_) | Message::Close(_)) | Err(_) => return None,
            }
        }
    }

    async fn send(&mut self, frame: Vec<u8>) -> bool {
        WebSocket::send(self, Message::Binary(Bytes::from(frame))).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "http://app.craftec.localhost:4080";

    fn status(place: &Place, peer: &str, query: &str, pairs: &[(&'static str, &str)]) -> u16 {
        let origin =
            Origin { scheme: "http", domain: "craftec.localhost".into(), port: Some(4080) };
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                (axum::http::HeaderName::from_static(name), value.parse().unwrap())
            })
            .collect();
        let peer = peer.parse().unwrap();
        Gate::of("secret")
            .refusal(place, &origin, peer, Some(query), &headers)
            .map_or(200, |page| page.status.as_u16())
    }

    #[test]
    fn only_this_machine_the_app_and_the_token() {
        let bare = Place::Bare { loopback: true };
        let (home, good) = ("127.0.0.1:5", "token=secret");
        assert_eq!(status(&bare, home, good, &[]), 200);
        assert_eq!(status(&bare, "[::1]:5", good, &[]), 200);
        assert_eq!(status(&bare, "[::ffff:127.0.0.1]:5", good, &[]), 200);
        assert_eq!(status(&Place::App, home, good, &[("origin", APP)]), 200);
        let protocol = ("sec-websocket-protocol", "craftec, token.secret");
        assert_eq!(status(&bare, home, "", &[protocol]), 200);
        assert_eq!(status(&bare, home, "", &[]), 401);
        assert_eq!(status(&bare, home, "token=Secret", &[]), 401);
        assert_eq!(status(&bare, "192.0.2.1:5", good, &[]), 403);
        assert_eq!(status(&bare, home, good, &[("x-forwarded-for", "192.0.2.1")]), 403);
        assert_eq!(status(&Place::Bare { loopback: false }, home, good, &[]), 403);
        for other in ["null", "http://evil.example", "http://x.craftec.localhost:4080"] {
            assert_eq!(status(&bare, home, good, &[("origin", other)]), 403, "{other}");
        }
    }
}
