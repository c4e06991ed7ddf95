//! Keys of encrypted databases. They come from the wallet by an id, which stands in every root and is
//! remembered before anything is written under it; so the words are a backup of every key.

use craftec_api::{ApiError, ErrorCode};
use craftec_core::database::{KeyId, READERS, Reader, Seal};

use super::{Databases, Own, record::DatabaseRecord};
use crate::fault;

impl Databases {
    /// An id that was never used.
    pub(super) fn fresh_id(&self) -> KeyId {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        KeyId(id)
    }

    /// The keys that a database may be under. Those of states that it keeps are found by their roots.
    pub(super) fn seals(&self, record: &DatabaseRecord) -> Vec<Seal> {
        let ids = record.key.into_iter().chain(record.next_key);
        ids.map(|id| self.keys.database_seal(id)).collect()
    }

    /// A new key for a database. It is remembered before anything is written under it.
    pub(crate) fn new_key(&self, own: &Own) -> Result<Seal, ApiError> {
        let id = self.fresh_id();
        let mut record = self.known(own)?;
        record.next_key = Some(id);
        self.keep(&own.name, &record)?;
        Ok(self.keys.database_seal(id))
    }

    /// Remembers the key that a database is under now.
    pub(crate) fn note_key(&self, own: &Own) -> Result<(), ApiError> {
        let (mut record, key) = (self.known(own)?, own.database.key());
        if record.key == key && record.next_key.is_none() {
            return Ok(());
        }
        (record.key, record.next_key) = (key, None);
        self.keep(&own.name, &record)
    }

    fn known(&self, own: &Own) -> Result<DatabaseRecord, ApiError> {
        Ok(self.record(&own.name)?.unwrap_or_else(|| DatabaseRecord::new(own.made_ms)))
    }
}

impl Own {
    /// Encrypts it with a key, for these readers and no others.
    pub(crate) async fn encrypt(&self, seal: Seal, readers: Vec<Reader>) -> Result<(), ApiError> {
        let _using = self.write().await?;
        self.database.seal(seal).await.map_err(fault::sql)?;
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
