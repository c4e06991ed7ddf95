//! Commands about encryption of databases, and with whom they are shared.

use craftec_api::{ApiError, ErrorCode, Reply};
use craftec_core::{
    database::Reader,
    identity::{Did, IdentityError, IdentityLog},
};

use super::{Session, sql::SCHEME};
use crate::{databases::Own, fault, names::key_of};

impl Session {
    pub(super) async fn sql_encrypt(
        &self,
        handle: u64,
        readers: Vec<String>,
    ) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        let _publishing = own.publishing.lock().await;
        let known = own.database.readers();
        let each = |named: &String| {
            let did: Did = named.parse().map_err(identity)?;
            let found = known.iter().find(|reader| reader.did == did).copied();
            found.ok_or_else(|| not_a_reader(did))
        };
        let readers: Vec<Reader> = readers.iter().map(each).collect::<Result<_, _>>()?;
        let seal = self.node.databases.new_key(&own)?;
        let encrypted = own.encrypt(seal, readers).await;
        // Whether it was or not.
        self.node.databases.note_key(&own)?;
        self.node.wrote(encrypted).await?;
        Ok(told(&own))
    }

    pub(super) async fn sql_share(&self, handle: u64, with: &str) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        let log = self.history_of(with).await?;
        let known = log.verify().map_err(identity)?;
        if known.did == self.node.keys.did() {
            return Err(fault::input("The owner of a database reads it anyway."));
        }
        let _publishing = own.publishing.lock().await;
        own.share(Reader { did: known.did, key: known.key }).await?;
        Ok(told(&own))
    }

    pub(super) fn sql_readers(&self, handle: u64) -> Result<Reply, ApiError> {
        Ok(told(&*self.own(handle)?))
    }

    /// The history of an identity: from its card, or from something that it has published.
    async fn history_of(&self, text: &str) -> Result<IdentityLog, ApiError> {
        if let Some(card) = IdentityLog::from_card(text) {
            return card.map_err(identity);
        }
        let text = text.trim();
        let name = text.strip_prefix(SCHEME).unwrap_or(text);
        let Some((did, _)) = name.split_once('/') else {
            let shown: String = text.chars().take(80).collect();
            let message = format!("`{shown}` does not say which key the identity has.");
            return Err(fault::input(message).hint(
                "Paste the card of the identity (`craftec id --card` prints it, and the app shows it), or \
                 the address of something that it has published: <did>/<name>.",
            ));
        };
        let did: Did = did.parse().map_err(identity)?;
        self.node.names.resolve(name).await?;
        match self.node.names.held(&key_of(name)?).map_err(fault::store)? {
            Some(record) if record.log.verify().is_ok_and(|known| known.did == did) => {
                Ok(record.log)
            }
            _ => Err(ApiError::new(ErrorCode::Internal, "A name led to no history.")),
        }
    }
}

fn told(own: &Own) -> Reply {
    let readers = own.database.readers().iter().map(|reader| reader.did.to_string()).collect();
    Reply::Readers { encrypted: own.database.key().is_some(), readers }
}

fn identity(error: IdentityError) -> ApiError {
    fault::input(fault::sentence(&error.to_string()))
}

fn not_a_reader(did: Did) -> ApiError {
    let message = format!("The database is not shared with {did}.");
    ApiError::new(ErrorCode::NotFound, message).hint("Share it after it was encrypted.")
}
