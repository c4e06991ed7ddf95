//! Why a request failed, in words that a person can act upon.

use serde::{Deserialize, Serialize};

/// The cause, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request itself is wrong (a CID, a path, a limit).
    BadInput,
    /// It does not exist: no such path in a folder that was read, no such handle.
    NotFound,
    /// It may exist, but no holder was reached, or not in time.
    Unavailable,
    /// The disk, the quota or a limit is full.
    Full,
    /// The other side, or a rule of this node, said no.
    Refused,
    /// Somebody else changed it meanwhile. What is here is as it was.
    Conflict,
    /// No common version of the language.
    Version,
    /// The caller ended it.
    Aborted,
    /// The node's storage failed or holds what it should not.
    Storage,
    /// A bug of ours.
    Internal,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The cause.
    pub code: ErrorCode,
    /// What happened, with the figure, as a sentence.
    pub message: String,
    /// What can be done, where there is something.
    pub hint: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl ApiError {
    /// An error that asking again does not mend.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retryable = matches!(code, ErrorCode::Unavailable);
        Self { code, message: message.into(), hint: None, retryable }
    }

    /// Adds what the reader can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
