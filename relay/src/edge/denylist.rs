//! The operator's denylist: a text file of peers, networks and content, read again when it changes.
//!
//! One entry a line; `#` begins a comment. An entry is a peer id, an IP address or network
//! (`192.0.2.0/24`), a CID (also as `/ipfs/<CID>`), or `//` and 64 hexadecimal digits: the SHA-256
//! of `<CID>/`, as public lists write content that they do not want to name. Content is known by its
//! hash, so that another codec for the same bytes makes no difference.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use craftec_core::{Cid, PeerId};
use craftec_p2p::native::{Block, Denials, Denied};
use sha2::{Digest, Sha256};

use crate::error::{RelayError, Result};

/// Half a million lines: each takes some 100 bytes of memory.
const FILE_BYTES: u64 = 32 << 20;

#[derive(Debug, Default)]
struct Contents {
    /// By the hash in the CID.
    hashes: HashSet<[u8; 32]>,
    /// By the SHA-256 of the CID's text and a slash.
    hidden: HashSet<[u8; 32]>,
}

/// The list in force. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denylist {
    file: Option<PathBuf>,
    denials: Denials,
    contents: Arc<Mutex<Arc<Contents>>>,
}

impl Denylist {
    /// Reads the file, if there is one.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self> {
        let list = Self { file: file.map(Path::to_owned), ..Self::default() };
        list.reload()?;
        Ok(list)
    }

    /// Reads the file again; how many entries it has.
    pub(crate) fn reload(&self) -> Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let bytes = fs::metadata(file).map_err(RelayError::file("read", file))?.len();
        if bytes > FILE_BYTES {
            let message = format!("{bytes} bytes are more than the {FILE_BYTES} allowed");
            return Err(RelayError::Config { path: file.clone(), message });
        }
        let text = fs::read_to_string(file).map_err(RelayError::file("read", file))?;
        let (denied, contents, entries) =
            parse(&text).map_err(|message| RelayError::Config { path: file.clone(), message })?;
        self.denials.replace(denied);
        *self.contents.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(contents);
        Ok(entries)
    }

    /// The part of it about peers and networks.
    pub(crate) fn denials(&self) -> Denials {
        self.denials.clone()
    }

    /// Whether content is on the list.
    pub(crate) fn has(&self, cid: &Cid) -> bool {
        let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner).clone();
        contents.hashes.contains(cid.hash())
            || (!contents.hidden.is_empty() && {
                let name: [u8; 32] = Sha256::digest(format!("{cid}/")).into();
                contents.hidden.contains(&name)
            })
    }
}

fn parse(text: &str) -> std::result::Result<(Denied, Contents, usize), String> {
    let (mut denied, mut contents, mut entries) = (Denied::default(), Contents::default(), 0);
    for (at, line) in text.lines().enumerate() {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        entries += 1;
        if let Some(name) = entry.strip_prefix("//") {
            let hash = data_encoding::HEXLOWER_PERMISSIVE.decode(name.as_bytes()).ok();
            let hash = hash.and_then(|hash| <[u8; 32]>::try_from(hash).ok());
            let hash = hash
                .ok_or_else(|| format!("line {}: `{name}` is not 64 hexadecimal digits", at + 1))?;
            contents.hidden.insert(hash);
            continue;
        }
        let name = entry.strip_prefix("/ipfs/").unwrap_or(entry).trim_end_matches("/*");
        if let Ok(cid) = name.parse::<Cid>() {
            contents.hashes.insert(*cid.hash());
        } else if let Ok(block) = entry.parse::<Block>() {
            denied.add_block(block);
        } else if let Ok(peer) = entry.parse::<PeerId>() {
            denied.add_peer(peer);
        } else {
            let shown = crate::console::printable(entry);
            return Err(format!(
                "line {}: `{shown}` is no peer id, IP address, network or CID",
                at + 1
            ));
        }
    }
    Ok((denied, contents, entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;

    #[test]
    fn every_kind_of_entry_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deny.txt");
        let [named, hidden, other] =
            [b"a", b"b", b"c"].map(|bytes: &[u8; 1]| Cid::of(Codec::Raw, bytes));
        let peer = PeerId::from_public_key([7; 32]);
        let digest = Sha256::digest(format!("{hidden}/"));
        let double = data_encoding::HEXLOWER.encode(&digest);
        let text = format!(
            "# ours\n\n{peer} # a peer\n192.0.2.0/24\n2001:db8::1\n/ipfs/{named}/*\n//{double}\n"
        );
        fs::write(&path, text).unwrap();
        let list = Denylist::open(Some(&path)).unwrap();
        assert!(list.has(&named) && list.has(&hidden) && !list.has(&other));
        assert!(list.has(&Cid::of(Codec::DagPb, b"a")), "the bytes count, not the codec");
        let denied = list.denials().now().0;
        assert!(denied.has_peer(&peer) && denied.has_ip([192, 0, 2, 9].into()));
        assert!(denied.has_ip("2001:db8::1".parse().unwrap()));
        assert!(!denied.has_ip("2001:db8::2".parse().unwrap()));
        // A mistake is named, and what held holds on.
        for (bad, line) in [("nonsense", 1), ("\n1.2.3.4/99", 2), ("//abc", 1)] {
            fs::write(&path, bad).unwrap();
            let said = list.reload().unwrap_err().to_string();
            assert!(said.contains(&format!("line {line}:")), "{said}");
        }
        assert!(list.has(&named));
        fs::write(&path, "").unwrap();
        assert_eq!(list.reload().unwrap(), 0);
        assert!(!list.has(&named) && !list.denials().now().0.has_peer(&peer));
    }
}
