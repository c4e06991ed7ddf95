//! The keys of an encrypted database: which one it is written under, and those of its past.

use std::rc::Rc;

use craftec_core::database::{KeyId, Node, Reader, Root, Seal, SealedNode, SealedRoot, TableError};

use crate::page::Page;

/// Who may know the key of a database: an owner, a reader that it was shared with.
pub trait Keys {
    /// The key that `root` is under.
    fn seal(&self, root: &SealedRoot) -> Option<Seal>;
}

/// Nobody's keys: for databases that are not encrypted.
#[derive(Clone, Copy, Debug)]
pub struct NoKeys;

impl Keys for NoKeys {
    fn seal(&self, _root: &SealedRoot) -> Option<Seal> {
        None
    }
}

/// The root that a block is, opened if it is sealed.
pub fn open_root(bytes: &[u8], keys: &dyn Keys) -> Result<Root, TableError> {
    Ok(unlocked(bytes, keys)?.0)
}

/// The same, and the key that what is below it is under.
pub(crate) fn unlocked(bytes: &[u8], keys: &dyn Keys) -> Result<(Root, Keyring), TableError> {
    match RootBlock::decode(bytes)? {
        RootBlock::Plain(root) => Ok((root, Keyring::default())),
        RootBlock::Sealed(sealed) => {
            let seal = keys.seal(&sealed).ok_or(TableError::Locked)?;
            Ok((sealed.open(&seal)?.0, Keyring::of(seal)))
        }
    }
}

/// Under which key a state is sealed, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Under {
    /// The key.
    pub key: KeyId,
    /// Who shares it.
    pub readers: Vec<Reader>,
}

/// What a root's block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RootBlock {
    /// One that anybody reads.
    Plain(Root),
    /// One that is read with its key.
    Sealed(SealedRoot),
}

impl RootBlock {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        match Root::decode(bytes) {
            Ok(root) => Ok(Self::Plain(root)),
            Err(error) => SealedRoot::decode(bytes).map(Self::Sealed).map_err(|_| error),
        }
    }
}

/// Keys of one database, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring {
    /// What is written is sealed with this one; without it, with none.
    current: Option<Rc<Seal>>,
    known: Vec<Rc<Seal>>,
    /// With whom it is shared.
    readers: Vec<Reader>,
}

impl Keyring {
    /// The ring of one key.
    pub(crate) fn of(seal: Seal) -> Self {
        let seal = Rc::new(seal);
        Self { current: Some(seal.clone()), known: vec![seal], readers: Vec::new() }
    }

    /// The key that is written under.
    pub(crate) fn current(&self) -> Option<&Seal> {
        self.current.as_deref()
    }

    pub(crate) fn readers(&self) -> &[Reader] {
        &self.readers
    }

    pub(crate) fn set_readers(&mut self, readers: Vec<Reader>) {
        self.readers = readers;
    }

    /// Ids of all that are known.
    pub(crate) fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.known.iter().map(|seal| seal.id())
    }

    pub(crate) fn find(&self, id: KeyId) -> Option<&Rc<Seal>> {
        self.known.iter().find(|seal| seal.id() == id)
    }

    /// Takes a key in, for reading.
    pub(crate) fn learn(&mut self, seal: Seal) {
        if self.find(seal.id()).is_none() {
            self.known.push(Rc::new(seal));
        }
    }

    /// Writes under this one of the known keys from now on; under none if it is not known.
    pub(crate) fn turn_to(&mut self, id: Option<KeyId>) {
        self.current = id.and_then(|id| self.find(id)).cloned();
    }

    /// Of the known keys the one that opens a page, and the page opened.
    pub(crate) fn opens(&self, page: &mut Page) -> Option<KeyId> {
        let opens = |seal: &&Rc<Seal>| seal.open_page(page).is_ok();
        self.current.iter().chain(&self.known).find(opens).map(|seal| seal.id())
    }

    /// Opens a page that hashes to what it should. One that no key opens is of the time before the
    /// database was encrypted.
    pub(crate) fn open(&self, page: &mut Page) {
        if !self.known.is_empty() {
            self.opens(page);
        }
    }

    /// Seals a page to be written.
    pub(crate) fn close(&self, page: &mut Page) {
        if let Some(seal) = self.current() {
            seal.seal_page(page);
        }
    }

    /// A node of a table, sealed or not.
    pub(crate) fn node(&self, bytes: &[u8]) -> Result<Node, TableError> {
        let error = match Node::decode(bytes) {
            Ok(node) => return Ok(node),
            Err(error) => error,
        };
        let sealed = SealedNode::decode(bytes).map_err(|_| error)?;
        let mut opened = Err(TableError::Locked);
        for seal in self.current.iter().chain(&self.known) {
            opened = sealed.open(seal);
            if opened != Err(TableError::Locked) {
                break;
            }
        }
        opened
    }

    /// A root, and with whom the database is shared.
    pub(crate) fn root(&self, block: &RootBlock) -> Result<(Root, Vec<Reader>), TableError> {
        match block {
            RootBlock::Plain(root) => Ok((root.clone(), Vec::new())),
            RootBlock::Sealed(sealed) => {
                sealed.open(self.find(sealed.key).ok_or(TableError::Locked)?)
            }
        }
    }
}
