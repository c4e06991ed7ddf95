//! Answers that are not content: a small page for a person, plain text for a program. Nothing of
//! the request reaches the page unescaped.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use craftec_api::{ApiError, ErrorCode};

/// What a page says.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The status.
    pub(crate) status: StatusCode,
    /// What happened.
    pub(crate) message: String,
    /// What can be done.
    pub(crate) hint: String,
}

impl Page {
    /// A page.
    pub(crate) fn new(
        status: StatusCode,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { status, message: message.into(), hint: hint.into() }
    }

    /// The message as a sentence.
    fn sentence(&self) -> String {
        let mut chars = self.message.chars();
        let mut text: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
        text.push_str(chars.as_str());
        if !text.ends_with(['.', '!', '?', '…']) {
            text.push('.');
        }
        text
    }

    /// The page for a failed command.
    pub(crate) fn of_error(error: &ApiError) -> Self {
        let status = match error.code {
            ErrorCode::BadInput => StatusCode::BAD_REQUEST,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::Unavailable => StatusCode::GATEWAY_TIMEOUT,
            ErrorCode::Full => StatusCode::INSUFFICIENT_STORAGE,
            ErrorCode::Refused => StatusCode::FORBIDDEN,
            ErrorCode::Conflict => StatusCode::CONFLICT,
            ErrorCode::Aborted => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Version | ErrorCode::Storage | ErrorCode::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let default = match error.code {
            ErrorCode::Unavailable => {
                "Nobody who has it is connected now. It opens again as soon as one of them is."
            }
            _ => "",
        };
        Self::new(status, &error.message, error.hint.as_deref().unwrap_or(default))
    }

    /// The answer to a request with these headers.
    pub(crate) fn respond(&self, headers: &HeaderMap, method: &Method) -> Response {
        let wants_html = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        let (body, mime) = if wants_html {
            (self.html(), "text/html; charset=utf-8")
        } else {
            let gap = if self.hint.is_empty() { "" } else { "\n" };
            (format!("{}{gap}{}\n", self.sentence(), self.hint), "text/plain; charset=utf-8")
        };
        let length = body.len();
        let body = if method == Method::HEAD { Body::empty() } else { Body::from(body) };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
        );
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    fn html(&self) -> String {
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta name=viewport content='width=device-width'><title>{status}</title>\
             <style>:root{{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}}\
             body{{max-width:36rem;margin:20vh auto;padding:0 1rem;overflow-wrap:anywhere}}\
             small{{opacity:.7}}</style>\
             <h1 style='font-size:18px'>{message}</h1>\
             <p>{hint}</p><small>{status}</small></html>\n",
            status = self.status,
            message = escape(&self.sentence()),
            hint = escape(&self.hint),
        )
    }
}

/// Text that is only text in HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_page_is_markup() {
        let page = Page::new(StatusCode::BAD_REQUEST, "<script>'x'</script>", "a&b");
        let html = page.html();
        assert!(html.contains("&lt;script&gt;&#39;x&#39;") && html.contains("a&amp;b"));
        let unavailable = ApiError::new(ErrorCode::Unavailable, "no holder");
        assert_eq!(Page::of_error(&unavailable).status, StatusCode::GATEWAY_TIMEOUT);
    }
}
