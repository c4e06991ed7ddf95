//! A database that is encrypted: its keys, who shares it, and going over to another key.

use std::{cell::RefCell, rc::Rc};

use craftec_core::{
    Cid,
    database::{KeyId, Reader, SEAL_BYTES, Seal, SealedRoot},
};

use super::Database;
use crate::{database::connection, error::SqlError, keys::Keys, page::Page, vfs::LocalPages};

/// The keys of a log that is open.
pub(super) struct Held<'l>(pub(super) &'l Rc<RefCell<LocalPages>>);

impl Keys for Held<'_> {
    fn seal(&self, root: &SealedRoot) -> Option<Seal> {
        self.0.borrow().log.seal(root.key)
    }
}

impl Database {
    /// The key that it is encrypted with.
    pub fn key(&self) -> Option<KeyId> {
        self.pages.borrow().log.key()
    }

    /// The keys of all that is kept here, also of the past.
    pub fn keys(&self) -> Vec<KeyId> {
        self.pages.borrow().log.keys()
    }

    /// With whom it is shared.
    pub fn readers(&self) -> Vec<Reader> {
        self.pages.borrow().log.readers().to_vec()
    }

    /// Shares what is published from now on with these and nobody else. Whoever had the key still has it:
    /// to shut a reader out, [`Self::seal`] it anew.
    pub fn share_with(&self, readers: Vec<Reader>) -> Result<(), SqlError> {
        if self.key().is_none() {
            return Err(SqlError::NotEncrypted);
        }
        self.pages.borrow_mut().log.share_with(readers);
        Ok(())
    }

    /// Encrypts it, or encrypts it with another key: every page is written anew, as one commit. States
    /// that are kept stay as they were. Nobody shares it after that until [`Self::share_with`] says so.
    pub async fn seal(&self, seal: Seal) -> Result<(), SqlError> {
        self.outside_transactions()?;
        if self.key().is_some() {
            self.pages.borrow_mut().log.reseal(seal)?;
        } else {
            self.encrypt(seal)?;
        }
        self.pages.borrow_mut().log.share_with(Vec::new());
        self.compact_if_wanted().await;
        Ok(())
    }

    /// Only SQLite can make room in pages that have none.
    fn encrypt(&self, seal: Seal) -> Result<(), SqlError> {
        let id = seal.id();
        {
            let log = &mut self.pages.borrow_mut().log;
            log.learn_key(seal);
            log.turn_to(Some(id));
        }
        let done = if self.pages() == 0 {
            self.reserve()
        } else {
            connection::reserve(&self.connection, SEAL_BYTES)
                .and_then(|()| self.said(self.connection.execute_batch("VACUUM")))
        };
        if done.is_err() {
            self.pages.borrow_mut().log.turn_to(None);
            drop(connection::reserve(&self.connection, 0));
        }
        done
    }

    /// Makes the first page of an empty database, which says that there is room in the others.
    pub(super) fn reserve(&self) -> Result<(), SqlError> {
        if self.pages() > 0 {
            return Ok(());
        }
        connection::reserve(&self.connection, SEAL_BYTES)?;
        self.said(self.connection.execute_batch("PRAGMA user_version = 0"))
    }

    /// A page of any state that is kept here, as SQLite reads it.
    pub fn page_of(&self, cid: &Cid, out: &mut Page) -> Result<(), SqlError> {
        Ok(self.pages.borrow_mut().log.block_into(cid, out)?)
    }
}
