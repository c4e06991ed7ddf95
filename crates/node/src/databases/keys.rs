//! Keys of encrypted databases. They come from the wallet by an id, which is remembered before anything is
//! written under it; so a backup of the words is one of every key.

use craftec_api::{ApiError, ErrorCode};
use craftec_core::database::{KeyId, READERS, Reader, Seal};

use super::{
    Databases, Own,
    record::{DatabaseRecord, KEYS},
};
use crate::fault;

impl Databases {
    /// An id that was never used.
    pub(super) fn fresh_id(&self) -> KeyId {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        KeyId(id)
    }

    /// The keys of what is remembered, the newest first.
    pub(super) fn seals(&self, record: &DatabaseRecord) -> Vec<Seal> {
        record.keys.iter().map(|id| self.keys.database_seal(*id)).collect()
    }

    /// A new key for a database, remembered.
    pub(crate) fn new_key(&self, own: &Own) -> Result<Seal, ApiError> {
        let id = self.fresh_id();
        self.remember_key(own, id)?;
        Ok(self.keys.database_seal(id))
    }

    /// Remembers the keys of states that were taken in, before anything is written under them.
    pub(crate) fn remember_keys(&self, own: &Own) -> Result<(), ApiError> {
        own.database.keys().into_iter().try_for_each(|id| self.remember_key(own, id))
    }

    fn remember_key(&self, own: &Own, id: KeyId) -> Result<(), ApiError> {
        let mut record =
            self.record(&own.name)?.unwrap_or_else(|| DatabaseRecord::new(own.made_ms));
        if record.keys.contains(&id) {
            return Ok(());
        }
        if !record.learn_key(id) {
            let message = format!("{KEYS} keys of one database are remembered, which is the most.");
            let hint = "Export it, and import it into a new database.";
            return Err(ApiError::new(ErrorCode::Full, message).hint(hint));
        }
        self.keep(&own.name, &record)
    }
}

impl Own {
    /// Encrypts it with a key, for these readers and no others.
    pub(crate) async fn encrypt(&self, seal: Seal, readers: Vec<Reader>) -> Result<(), ApiError> {
        self.no_writer().await?;
        let _turn = self.turn().await?;
        let sealed = self.database.seal(seal).await;
        self.ring();
        sealed.map_err(fault::sql)?;
        self.keep_readers(readers)
    }

    /// Shares it with one more reader; one that it is shared with already may have another key now.
    pub(crate) async fn share(&self, reader: Reader) -> Result<(), ApiError> {
        let _turn = self.turn().await?;
        let mut readers = self.database.readers();
        readers.retain(|known| known.did != reader.did);
        if readers.len() >= READERS {
            let message = format!("It is shared with {READERS} identities, which is the most.");
            return Err(ApiError::new(ErrorCode::Full, message));
        }
        readers.push(reader);
        self.keep_readers(readers)
    }

    /// A snapshot remembers them.
    fn keep_readers(&self, readers: Vec<Reader>) -> Result<(), ApiError> {
        let before = self.database.readers();
        let kept = self.database.share_with(readers).and_then(|()| self.database.snapshot());
        if kept.is_err() {
            drop(self.database.share_with(before));
        }
        kept.map(drop).map_err(fault::sql)
    }
}
