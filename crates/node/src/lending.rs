//! How much this node keeps for others: what a person set, else what the configuration says, else the
//! default of its role.

use std::{cell::Cell, rc::Rc};

use craftec_obj::{Store, StoreError, replicate::Lend, store::Meta};
use craftec_platform::Folder;

use crate::Config;

/// Key in the namespace `Node`: the limit that a person set, 8 bytes, big endian.
pub(crate) const LEND: &str = "lend";

/// The limit of lending, and the disk below it.
pub(crate) struct Lending {
    store: Store,
    config: Config,
    folder: Option<Rc<dyn Folder>>,
    set: Cell<Option<u64>>,
}

impl Lending {
    /// The limit that an earlier run kept.
    pub(crate) fn load(store: Store, config: Config) -> Result<Self, StoreError> {
        let set = match store.meta_get(Meta::Node, LEND)? {
            Some(bytes) => {
                let damaged = |_| StoreError::Corrupt { reason: "the lending limit".to_owned() };
                Some(u64::from_be_bytes(bytes.as_ref().try_into().map_err(damaged)?))
            }
            None => None,
        };
        let folder = config.folder.clone();
        Ok(Self { store, config, folder, set: Cell::new(set) })
    }

    /// Sets the limit for good; `None` leaves it to the node.
    pub(crate) fn set(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        match bytes {
            Some(bytes) => self.store.meta_put(Meta::Node, LEND, bytes.to_be_bytes().to_vec())?,
            None => self.store.meta_delete(Meta::Node, LEND)?,
        }
        self.set.set(bytes);
        Ok(())
    }

    /// Reads the limit again: a backup brought another.
    pub(crate) fn reload(&self) -> Result<(), StoreError> {
        let fresh = Self::load(self.store.clone(), self.config.clone())?;
        self.set.set(fresh.set.get());
        Ok(())
    }

    /// The present limit, and what the disk still has.
    pub(crate) async fn now(&self) -> Lend {
        let free_bytes = match &self.folder {
            Some(folder) => folder.free_bytes().await.ok().flatten(),
            None => None,
        };
        let chosen = self.set.get().or(self.config.lend_limit);
        let limit_bytes = chosen.unwrap_or_else(|| self.config.default_lend_bytes(free_bytes));
        Lend { limit_bytes, free_bytes }
    }
}
