//! Encryption of a log: which keys open what is in it, and going over to another one.

use craftec_core::{
    Cid,
    database::{KeyId, READERS, Reader, Root, SEAL_BYTES, Seal, SealedRoot, TableError},
};

use super::{Log, LogError};
use crate::{
    keys::{Keys, RootBlock, Under},
    page::{Page, PageNo},
    table::Nodes,
};

/// How an SQLite file begins, and where it says how many bytes at the end of each page are not used.
/// Source: <https://sqlite.org/fileformat2.html>, 1.3.
pub(super) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const RESERVED: usize = 20;

impl Log {
    /// Opens what is here with `seals`, and with what `keys` knows of the snapshots that are kept. What is
    /// written goes on under the key that the pages are under; an empty database begins under the first.
    pub fn unlock(&mut self, seals: Vec<Seal>, keys: &dyn Keys) -> Result<(), LogError> {
        let first = seals.first().map(Seal::id);
        seals.into_iter().for_each(|seal| self.keys.learn(seal));
        let kept: Vec<Cid> = self.kept.iter().map(|kept| kept.root).collect();
        for root in kept {
            self.learn(&root, keys)?;
        }
        self.first = None;
        if self.table.is_empty() {
            self.keys.turn_to(first);
        } else {
            let mut page: Page = [0; _];
            self.stored(PageNo::FIRST, &mut page)?;
            if !page.starts_with(MAGIC) {
                let id = self.keys.opens(&mut page);
                self.keys.turn_to(Some(id.ok_or(TableError::Locked)?));
            }
        }
        if let Some(root) = self.last_root
            && let (_, Some(Under { key, readers })) = self.root_and_key(&root)?
            && self.key() == Some(key)
        {
            // Under the key before this one others may have shared it.
            self.keys.set_readers(readers);
        }
        Ok(())
    }

    /// Takes in the key of a snapshot that is here.
    pub fn learn(&mut self, root: &Cid, keys: &dyn Keys) -> Result<(), LogError> {
        if let RootBlock::Sealed(sealed) = self.root_kind(root)?
            && self.keys.find(sealed.key).is_none()
            && let Some(seal) = keys.seal(&sealed)
        {
            self.keys.learn(seal);
        }
        Ok(())
    }

    /// The key that it is written under.
    pub fn key(&self) -> Option<KeyId> {
        self.keys.current().map(Seal::id)
    }

    /// A key that is known here.
    pub(crate) fn seal(&self, id: KeyId) -> Option<Seal> {
        self.keys.find(id).map(|seal| Seal::clone(seal))
    }

    /// Ids of the keys of what is here.
    pub fn keys(&self) -> Vec<KeyId> {
        self.keys.ids().collect()
    }

    /// With whom it is shared.
    pub fn readers(&self) -> &[Reader] {
        self.keys.readers()
    }

    /// Shares what is published from now on with these.
    pub fn share_with(&mut self, readers: Vec<Reader>) {
        self.keys.set_readers(readers);
    }

    /// Takes over with whom a state under the same key is shared; whether that were others. Who is to read
    /// no more is shut out by another key, so what both sides say is joined.
    pub(crate) fn join_readers(&mut self, under: Under) -> bool {
        let mut readers = self.keys.readers().to_vec();
        let known = readers.len();
        if self.key() == Some(under.key) {
            let is_new = |new: &Reader| readers.iter().all(|reader| reader.did != new.did);
            let new: Vec<Reader> = under.readers.into_iter().filter(is_new).collect();
            readers.extend(new);
            readers.truncate(READERS);
        }
        let joined = readers.len() > known;
        self.keys.set_readers(readers);
        joined
    }

    /// Writes under a key from now on that is known here, or under none.
    pub(crate) fn turn_to(&mut self, id: Option<KeyId>) {
        if self.key() != id {
            self.keys.turn_to(id);
            self.table.forget_nodes();
        }
    }

    /// Takes a key in and goes over to it: every page is written anew, as one commit.
    pub fn reseal(&mut self, seal: Seal) -> Result<(), LogError> {
        if self.is_dirty() {
            return Err(LogError::Transaction);
        }
        let (old, id) = (self.key(), seal.id());
        self.keys.learn(seal);
        self.turn_to(Some(id));
        let done = self.write_all().and_then(|()| self.commit());
        self.rollback();
        if done.is_err() {
            self.turn_to(old);
        }
        done.map(drop)
    }

    fn write_all(&mut self) -> Result<(), LogError> {
        let mut page: Page = [0; _];
        for number in (1..=self.table.len()).filter_map(PageNo::new) {
            if self.table.digest(number).is_some() {
                self.committed(number, &mut page)?;
                self.write(number, &page)?;
            }
        }
        Ok(())
    }

    /// Takes in a key that pages may be written under.
    pub(crate) fn learn_key(&mut self, seal: Seal) {
        self.keys.learn(seal);
    }

    /// The root `cid`, which must be kept here.
    pub fn root(&mut self, cid: &Cid) -> Result<Root, LogError> {
        Ok(self.root_and_key(cid)?.0)
    }

    /// The same, the key that it is under, and with whom the database was shared.
    pub fn root_and_key(&mut self, cid: &Cid) -> Result<(Root, Option<Under>), LogError> {
        let kind = self.root_kind(cid)?;
        let (root, readers) = self.keys.root(&kind)?;
        let key = match kind {
            RootBlock::Sealed(sealed) => Some(Under { key: sealed.key, readers }),
            RootBlock::Plain(_) => None,
        };
        Ok((root, key))
    }

    fn root_kind(&mut self, cid: &Cid) -> Result<RootBlock, LogError> {
        let bytes = self.block(cid)?.ok_or(LogError::NoSuchRoot { root: *cid })?;
        Ok(RootBlock::decode(&bytes)?)
    }

    /// No nodes yet, to be opened with the keys that are here.
    pub(super) fn nodes(&self) -> Nodes {
        Nodes::under(self.keys.clone())
    }

    /// A root as it is stored and published.
    pub(super) fn root_block(&self, root: &Root) -> Result<(Cid, Vec<u8>), LogError> {
        Ok(match self.keys.current() {
            Some(seal) => SealedRoot::of(root, self.keys.readers(), seal)?.block()?,
            None => root.block()?,
        })
    }

    /// Whether a root that is here would be sealed the same if it were made now.
    pub(super) fn is_sealed_as_now(&mut self, root: &Cid) -> Result<bool, LogError> {
        let key = self.root_and_key(root)?.1;
        let now = self.key().map(|key| Under { key, readers: self.keys.readers().to_vec() });
        Ok(key == now)
    }

    /// A page under a key keeps only what SQLite leaves free: a file that leaves nothing would lose the end
    /// of each page.
    pub(super) fn check_room(&mut self) -> Result<(), LogError> {
        if self.keys.current().is_none() || self.pending_pages() == 0 {
            return Ok(());
        }
        let mut first: Page = [0; _];
        self.read(PageNo::FIRST, &mut first)?;
        self.check_reserved(&first)
    }

    /// The same of a first page that is about to be written.
    pub(super) fn check_reserved(&self, first: &Page) -> Result<(), LogError> {
        if self.keys.current().is_some() && usize::from(first[RESERVED]) < SEAL_BYTES {
            return Err(LogError::NoRoom);
        }
        Ok(())
    }
}
