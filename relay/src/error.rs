//! Why a command failed: one sentence, what to do about it, and the exit code.
//!
//! It never shows a backtrace: a person reads it, or a program through `--json`.

use std::{io, path::PathBuf};

use craftec_api::{ApiError, ErrorCode};
use serde::Serialize;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The node said why.
    #[error("{0}")]
    Api(#[from] ApiError),
    /// The operating system refused something.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The command line does not make sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: String,
    },
    /// The configuration file does not make sense.
    #[error("the configuration {path} is not valid: {message}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where known.
        message: String,
    },
    /// Another process owns the data folder and does not answer on its socket.
    #[error("the data folder {} is in use by another craftec process{}", folder.display(), named(*pid))]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Its process, where that is known.
        pid: Option<u32>,
    },
    /// A listener could not be opened.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The node could not start.
    #[error("the node did not start: {0}")]
    Start(String),
    /// The node answered something that does not fit the question.
    #[error("the node answered `{found}` where `{wanted}` was expected")]
    Answer {
        /// What fits.
        wanted: &'static str,
        /// What came.
        found: String,
    },
    /// The node's thread is gone.
    #[error("the node stopped by itself; the log says why")]
    Ended,
    /// Ctrl-C.
    #[error("stopped before it was done")]
    Interrupted,
}

/// What `--json` prints instead of a result.
#[derive(Serialize)]
pub(crate) struct Report {
    error: ReportBody,
}

#[derive(Serialize)]
struct ReportBody {
    code: ErrorCode,
    message: String,
    hint: Option<String>,
    retryable: bool,
}

/// The result of everything here.
pub(crate) type Result<T, E = RelayError> = std::result::Result<T, E>;

impl RelayError {
    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// A failed call to the operating system.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// The cause, for programs.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Api(error) => error.code,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorCode::NotFound,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::Full,
                io::ErrorKind::PermissionDenied => ErrorCode::Refused,
                _ => ErrorCode::Storage,
            },
            Self::Usage { .. } | Self::Config { .. } => ErrorCode::BadInput,
            Self::InUse { .. } => ErrorCode::Unavailable,
            Self::Listen { .. } | Self::Start(_) => ErrorCode::Refused,
            Self::Answer { .. } | Self::Ended => ErrorCode::Internal,
            Self::Interrupted => ErrorCode::Aborted,
        }
    }

    /// What the reader can do, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Api(error) => error.hint.clone(),
            Self::Usage { hint, .. } => Some(hint.clone()),
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => Some("Make room on the disk and try again.".into()),
                io::ErrorKind::NotFound => Some("Check the spelling of the path.".into()),
                _ => None,
            },
            Self::Config { .. } => {
                Some("Correct it; `craftec --check-config` says whether it is right.".into())
            }
            Self::InUse { pid: Some(pid), .. } => Some(format!(
                "End it with `kill {pid}`, wait for it, or name another folder with --data."
            )),
            Self::InUse { pid: None, .. } => {
                Some("Wait for that process to end, or name another folder with --data.".into())
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("Choose another with --http, or 127.0.0.1:0 for any free port.".into())
            }
            Self::Listen { .. } | Self::Start(_) | Self::Ended | Self::Interrupted => None,
            Self::Answer { .. } => {
                Some("Client and node may be of different versions; update both.".into())
            }
        }
    }

    /// The process's exit code: 1 failed, 2 bad usage, 3 not found, 4 unavailable.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.code() {
            ErrorCode::BadInput => 2,
            ErrorCode::NotFound => 3,
            ErrorCode::Unavailable => 4,
            ErrorCode::Full
            | ErrorCode::Refused
            | ErrorCode::Conflict
            | ErrorCode::Version
            | ErrorCode::Aborted
            | ErrorCode::Storage
            | ErrorCode::Internal => 1,
        }
    }

    /// The error as `--json` prints it.
    pub(crate) fn report(&self) -> Report {
        let retryable = match self {
            Self::Api(error) => error.retryable,
            Self::InUse { .. } => true,
            _ => false,
        };
        Report {
            error: ReportBody {
                code: self.code(),
                message: self.to_string(),
                hint: self.hint(),
                retryable,
            },
        }
    }
}

/// A process in words.
fn named(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (id {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_cause() {
        let of = |code| RelayError::Api(ApiError::new(code, "x")).exit_code();
        assert_eq!(of(ErrorCode::Internal), 1);
        assert_eq!(of(ErrorCode::BadInput), 2);
        assert_eq!(of(ErrorCode::NotFound), 3);
        assert_eq!(of(ErrorCode::Unavailable), 4);
        assert_eq!(RelayError::Interrupted.exit_code(), 1);
    }
}
