//! The secrets of a node: the wallet behind its identity, and its transport key. Kept in the store's
//! own metadata; who may read that folder is the shell's business. Never printed.

#[cfg(feature = "sql")]
use craftec_core::database::{KeyId, Seal, SealedRoot};
use craftec_core::{
    Did, PeerId, TransportKey, cbor,
    identity::{Identity, IdentityLog},
    limits,
    sign::SecretKey,
    wallet::Wallet,
};
use craftec_obj::{
    Store, StoreError,
    store::{Batch, Meta},
};
use craftec_platform::Entropy;

use crate::NodeError;

/// Keys in the namespace `Node`: 32 bytes each.
pub(crate) const WALLET: &str = "wallet";
const TRANSPORT: &str = "transport";

/// The secrets of one node, and the identity they prove.
#[derive(Clone, Debug)]
pub struct Keys {
    wallet: Wallet,
    transport: TransportKey,
    log: IdentityLog,
    identity: Identity,
}

impl Keys {
    /// The keys in `store`; new ones, made durable, where there are none.
    pub fn load_or_create(store: &Store, entropy: &dyn Entropy) -> Result<Self, NodeError> {
        let (wallet, made_wallet) = secret(store, WALLET, entropy)?;
        if made_wallet && store.has_lost_records()? {
            // Another identity in its place would look as if nothing had happened.
            let reason =
                "the identity was on a page that rotted; restore it from a backup".to_owned();
            return Err(StoreError::Corrupt { reason }.into());
        }
        let (transport, made_transport) = secret(store, TRANSPORT, entropy)?;
        let wallet = Wallet::from_entropy(wallet);
        let mut batch = Batch::new();
        if made_wallet {
            batch.meta_put(Meta::Node, WALLET, wallet.entropy().to_vec());
        }
        if made_transport {
            batch.meta_put(Meta::Node, TRANSPORT, transport.to_vec());
        }
        let inception = IdentityLog::incept(&wallet)?;
        let did = inception.verify()?.did;
        let log = match store.meta_get(Meta::Identity, did.0.0)? {
            Some(bytes) => cbor::decode(&bytes, limits::RECORD_BYTES).map_err(StoreError::from)?,
            None => {
                let bytes = cbor::encode(&inception).map_err(StoreError::from)?;
                batch.meta_put(Meta::Identity, did.0.0, bytes);
                inception
            }
        };
        store.commit(batch)?;
        let identity = log.verify()?;
        Ok(Self { wallet, transport: TransportKey::from_seed(transport), log, identity })
    }

    /// The transport key, for the network.
    pub const fn transport(&self) -> &TransportKey {
        &self.transport
    }

    /// The transport identity.
    pub fn peer_id(&self) -> PeerId {
        self.transport.peer_id()
    }

    /// The identity.
    pub const fn did(&self) -> Did {
        self.identity.did
    }

    /// The identity's history, which goes with everything it signs.
    pub const fn log(&self) -> &IdentityLog {
        &self.log
    }

    /// The key that signs for the identity now.
    pub fn writer(&self) -> SecretKey {
        self.wallet.identity_key(self.identity.rotations)
    }

    /// The card of this identity, for those who want to share something with it.
    pub fn card(&self) -> String {
        match self.log.card() {
            Ok(card) => card,
            Err(error) => unreachable!("a log that was stored can be encoded: {error}"),
        }
    }

    /// The key of this identity's databases that has this id.
    #[cfg(feature = "sql")]
    pub(crate) fn database_seal(&self, id: KeyId) -> Seal {
        Seal::new(id, self.wallet.database_key(id))
    }

    /// The 32 bytes behind the words.
    pub(crate) const fn entropy(&self) -> &[u8; 32] {
        self.wallet.entropy()
    }

    /// The 24 words that restore the identity.
    pub fn words(&self) -> Vec<String> {
        self.wallet.words()
    }
}

/// The keys of databases: of one's own by their ids, of others' by a box that is for this identity, under
/// any of the keys that it has had.
#[cfg(feature = "sql")]
impl craftec_sql::Keys for Keys {
    fn seal(&self, root: &SealedRoot) -> Option<Seal> {
        let own = self.database_seal(root.key);
        if root.open(&own).is_ok() {
            return Some(own);
        }
        let secrets = (0..=self.identity.rotations).rev().map(|at| self.wallet.identity_key(at));
        let opened = secrets.flat_map(|secret| {
            root.shares.iter().find_map(move |share| share.open(root.key, &secret))
        });
        opened.into_iter().find(|seal| root.open(seal).is_ok())
    }
}

/// A stored secret, or a new one; whether it is new.
fn secret(store: &Store, name: &str, entropy: &dyn Entropy) -> Result<([u8; 32], bool), NodeError> {
    match store.meta_get(Meta::Node, name)? {
        Some(bytes) => {
            let damaged = || StoreError::Corrupt { reason: format!("the key `{name}`") };
            Ok((bytes.as_ref().try_into().map_err(|_| damaged())?, false))
        }
        None => {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes);
            Ok((bytes, true))
        }
    }
}
