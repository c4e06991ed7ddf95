//! Takes a backup in as it arrives. Until its last byte was authentic and everything that it names
//! is there, nothing of this node changes; then all of it changes in one commit.

use std::rc::Rc;

use craftec_api::{Restored, Secret};
use craftec_core::{Did, identity::IdentityLog, wallet::Wallet};
use craftec_obj::objects::Import;

use super::{
    BackupError, merge,
    parts::{Part, Parts},
    record::{About, Object, Placed, Record, Settings, VERSION},
    seal::Opener,
};
use crate::{Node, session::SiteRecord};
use craftec_core::head::HeadRecord;

/// Most records of a file: what a large node has, and some 100 MB of memory.
const RECORDS: usize = 200_000;

/// Whose the file is, checked.
pub(super) struct Owner {
    pub(super) did: Did,
    pub(super) wallet: Wallet,
    pub(super) log: IdentityLog,
}

/// The records of a file.
#[derive(Default)]
pub(super) struct Contents {
    about: Option<About>,
    pub(super) owner: Option<Owner>,
    pub(super) settings: Settings,
    pub(super) objects: Vec<Object>,
    pub(super) sites: Vec<SiteRecord>,
    pub(super) heads: Vec<HeadRecord>,
    pub(super) placements: Vec<Placed>,
}

/// A backup on its way in.
pub(crate) struct Restore {
    node: Rc<Node>,
    opener: Opener,
    parts: Parts,
    contents: Contents,
    import: Import,
    bytes: u64,
    replace: bool,
    broken: bool,
}

impl Restore {
    /// Begins. `replace`: give up this node's identity for the file's.
    pub(crate) fn new(node: Rc<Node>, passphrase: Secret, replace: bool) -> Self {
        Self {
            opener: Opener::new(passphrase.0),
            parts: Parts::new(),
            contents: Contents::default(),
            import: node.objects.import(),
            bytes: 0,
            node,
            replace,
            broken: false,
        }
    }

    /// Takes bytes of the file.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        if self.broken {
            return Err(BackupError::Broken);
        }
        let mut content = Vec::new();
        let taken = self.opener.push(bytes, &mut content);
        let taken = taken.and_then(|()| self.take(&content));
        self.broken = taken.is_err();
        taken
    }

    /// The file ended: makes everything of it this node's own.
    pub(crate) async fn finish(mut self) -> Result<Restored, BackupError> {
        if self.broken {
            return Err(BackupError::Broken);
        }
        let opener = std::mem::replace(&mut self.opener, Opener::new(String::new()));
        let mut content = Vec::new();
        opener.finish(&mut content)?;
        self.take(&content)?;
        std::mem::replace(&mut self.parts, Parts::new()).finish()?;
        let about = self.contents.about.take();
        let about = about.ok_or_else(|| BackupError::Content("nothing is in it".to_owned()))?;
        if about.objects != self.contents.objects.len() as u64 {
            return Err(BackupError::Content("objects are missing".to_owned()));
        }
        if let Some(owner) = &self.contents.owner {
            // Once more: something may have been published meanwhile.
            merge::check_owner(&self.node, &owner.did, self.replace)?;
        }
        for object in &self.contents.objects {
            if let Some(cid) = self.import.missing(object.root).await? {
                let text = format!("the block {cid} of {} is missing", object.root);
                return Err(BackupError::Content(text));
            }
        }
        merge::merge(&self.node, self.contents, self.import, self.bytes)
    }

    fn take(&mut self, content: &[u8]) -> Result<(), BackupError> {
        let Self { parts, contents, import, bytes, node, replace, .. } = self;
        parts.push(content, |part| match part {
            Part::Record(record) => {
                let is_owner = matches!(record, Record::Identity(_));
                contents.add(record)?;
                // As soon as it is known: a large file need not be read for nothing.
                match &contents.owner {
                    Some(owner) if is_owner => merge::check_owner(node, &owner.did, *replace),
                    _ => Ok(()),
                }
            }
            Part::Block(block) => {
                *bytes += block.len() as u64;
                Ok(import.take(block)?)
            }
        })
    }
}

impl Contents {
    fn add(&mut self, record: Record) -> Result<(), BackupError> {
        let wrong = |text: &str| Err(BackupError::Content(text.to_owned()));
        let count = self.objects.len() + self.sites.len() + self.heads.len();
        if count + self.placements.len() >= RECORDS {
            return Err(BackupError::TooMany("records"));
        }
        if self.about.is_none() != matches!(record, Record::About(_)) {
            return wrong("its first record is another");
        }
        match record {
            Record::About(about) => {
                if about.v != VERSION {
                    let (found, known) = (about.v.into(), VERSION.into());
                    return Err(BackupError::Newer { found, known });
                }
                self.about = Some(about);
            }
            Record::Identity(identity) => self.own(&identity)?,
            Record::Settings(settings) => self.settings = settings,
            Record::Object(object) => {
                let known =
                    (1..=2).contains(&object.about.v) && object.pins.iter().all(|pin| pin.v == 1);
                if !known || object.pins.is_empty() {
                    return wrong("an object of a newer version");
                }
                self.objects.push(object);
            }
            Record::Site(site) => self.sites.push(site),
            Record::Head(head) => {
                let ours = self.owner.as_ref().is_some_and(|owner| owner.did == head.head.head.did);
                // The clock is no witness here: the file is as old as it is.
                if !ours || head.verify(u64::MAX).is_err() {
                    return wrong("a name that is not its owner's");
                }
                self.heads.push(*head);
            }
            Record::Placement(placed) => self.placements.push(placed),
        }
        Ok(())
    }

    fn own(&mut self, identity: &super::record::Identity) -> Result<(), BackupError> {
        let wrong = || BackupError::Content("its identity does not fit its words".to_owned());
        let entropy = identity.entropy.as_slice().try_into().map_err(|_| wrong())?;
        let wallet = Wallet::from_entropy(entropy);
        let log = identity.log.clone();
        let proved = log.verify().map_err(|_| wrong())?;
        let did = proved.did;
        let fits = self.about.as_ref().is_some_and(|about| about.did == did)
            && wallet.identity_key(proved.rotations).public() == proved.key;
        if !fits || self.owner.is_some() {
            return Err(wrong());
        }
        self.owner = Some(Owner { did, wallet, log });
        Ok(())
    }
}
