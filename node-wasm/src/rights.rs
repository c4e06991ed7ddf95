//! What a site may ask of the node: to read its own root. A site is a stranger's code; everything
//! that names another root, writes, or tells about this node or its owner is refused here, before
//! the node sees it.

use craftec_api::{ApiError, Command, ErrorCode};
use craftec_core::Cid;

/// Why a site's command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It names content of others.
    #[error("a site can read its own files only, not {0}")]
    OtherRoot(
        /// What it asked for.
        Cid,
    ),
    /// It is none of the reading commands.
    #[error("a site can only read its files")]
    NotReading,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorCode::Refused, refusal.to_string())
    }
}

/// The rights of one site: reading below one root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteRights {
    root: Cid,
}

impl SiteRights {
    /// The rights of the site whose root is `root`.
    pub const fn new(root: Cid) -> Self {
        Self { root }
    }

    /// The root that may be read.
    pub const fn root(&self) -> Cid {
        self.root
    }

    /// Whether the site may ask this. The list is of what is allowed: a command that is added to
    /// the language is refused until it is thought about.
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            // Handles belong to the session: these reach nothing that it did not open itself.
            Command::Hello { .. } | Command::GetRead { .. } | Command::Close { .. } => Ok(()),
            Command::GetOpen { cid, .. } | Command::List { cid, .. } | Command::Stat { cid } => {
                if *cid == self.root {
                    Ok(())
                } else {
                    Err(Refusal::OtherRoot(*cid))
                }
            }
            _ => Err(Refusal::NotReading),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_api::{Limit, Range, Secret};
    use craftec_core::Codec;
    use serde_bytes::ByteBuf;

    fn open(cid: Cid) -> Command {
        let range = Some(Range { start: 0, end: None });
        Command::GetOpen { cid, path: "a".to_owned(), range }
    }

    #[test]
    fn a_site_reads_its_own_root() {
        let root = Cid::of(Codec::DagPb, b"site");
        let rights = SiteRights::new(root);
        for command in [
            Command::Hello { versions: vec![1] },
            open(root),
            Command::GetRead { handle: 1 },
            Command::Close { handle: 1 },
            Command::List { cid: root, path: String::new() },
            Command::Stat { cid: root },
        ] {
            assert_eq!(rights.check(&command), Ok(()), "{command:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let (root, other) = (Cid::of(Codec::DagPb, b"site"), Cid::of(Codec::DagPb, b"other"));
        let rights = SiteRights::new(root);
        let elsewhere = [
            open(other),
            Command::List { cid: other, path: String::new() },
            Command::Stat { cid: other },
            // The same hash under another codec is another block to read.
            open(Cid::from_hash(Codec::Raw, *root.hash())),
        ];
        for command in elsewhere {
            assert!(matches!(rights.check(&command), Err(Refusal::OtherRoot(_))), "{command:?}");
        }
        let path = String::new();
        for command in [
            Command::Status,
            Command::Subscribe,
            Command::Connect { addr: String::new() },
            Command::PutOpen { replicas: None, redundancy: None, name: None },
            Command::PutChunk { handle: 1, bytes: ByteBuf::new() },
            Command::PutClose { handle: 1 },
            Command::FolderOpen,
            Command::FolderFile { folder: 1, path: path.clone() },
            Command::FolderAdd { folder: 1, path: path.clone(), bytes: ByteBuf::new() },
            Command::FolderClose { folder: 1, replicas: None, site: true, name: None },
            Command::CarOpen { cid: root, path: path.clone() },
            Command::Block { cid: root },
            Command::Pin { cid: root },
            Command::Unpin { cid: root },
            Command::Objects,
            Command::Sites,
            Command::Resolve { name: path },
            Command::BackupWords,
            Command::LendSpace { bytes: None },
            Command::ServeLimits { rate: Limit::Unlimited, monthly: Limit::Default },
            Command::BackupOpen { passphrase: Secret::default() },
            Command::RestoreOpen { passphrase: Secret::default(), replace: true },
        ] {
            assert_eq!(rights.check(&command), Err(Refusal::NotReading), "{command:?}");
            let error = ApiError::from(Refusal::NotReading);
            assert_eq!((error.code, error.retryable), (ErrorCode::Refused, false));
        }
    }
}
