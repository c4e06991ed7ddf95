//! Names of this identity that several of its devices move: never over what another one wrote.

use std::time::Duration;

use craftec_api::ApiError;
use craftec_core::{
    Cid,
    head::{HeadRecord, check_name, head_key},
};
use craftec_obj::store::Meta;

use super::{BEFORE_WRITE, Names, READ, encode, newest, record_key};
use crate::fault;

/// How often the DHT is asked again that does not have what was published already: it may not have
/// been reached yet.
const AGAIN: usize = 3;
/// Pause before that.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of a head that was to be moved.
pub(crate) enum Onto {
    /// It says so.
    Written,
    /// Nobody is there to be asked for a newer one. Nothing was written.
    Alone,
    /// There is a newer one, or two that contradict each other. Nothing was written.
    Moved(Box<HeadRecord>),
}

impl Names {
    /// Points `name` to `root`, if its head has the root `base` or there is none.
    pub(crate) async fn publish_onto(
        &self,
        name: &str,
        root: Cid,
        base: Option<Cid>,
    ) -> Result<Onto, ApiError> {
        check_name(name).map_err(fault::head)?;
        if self.network.peers().is_empty() {
            return Ok(Onto::Alone);
        }
        match self.latest(name).await? {
            Some(head) if self.says(&head, root) => {
                self.announce(&head, encode(&head)?);
                Ok(Onto::Written)
            }
            Some(head) if head.rival.is_some() => Ok(Onto::Moved(Box::new(head))),
            Some(head) if base != Some(head.head.head.root) && head.head.head.root != root => {
                Ok(Onto::Moved(Box::new(head)))
            }
            before => self.write(name, root, before.as_ref()).map(|()| Onto::Written),
        }
    }

    /// The root that the head of one of this identity's names has here.
    pub(crate) fn held_root(&self, name: &str) -> Result<Option<Cid>, ApiError> {
        let held = self.held(&head_key(&self.keys.did(), name)).map_err(fault::store)?;
        Ok(held.map(|record| record.head.head.root))
    }

    /// The newest head of one of this identity's names, which another device may have written. It is held
    /// from now on.
    pub(crate) async fn latest(&self, name: &str) -> Result<Option<HeadRecord>, ApiError> {
        let key = head_key(&self.keys.did(), name);
        let known = self.held(&key).map_err(fault::store)?.map(|held| held.head.head.seq);
        let limit = if known.is_some() { READ } else { BEFORE_WRITE };
        let mut found = self.found(key, limit).await;
        for _ in 0..AGAIN {
            if known.is_none_or(|seq| found.iter().any(|head| head.head.head.seq >= seq)) {
                break;
            }
            self.clock.sleep(PAUSE).await;
            found = self.found(key, limit).await;
        }
        // Looked up only now: it may have been published here meanwhile.
        let held = self.held(&key).map_err(fault::store)?;
        let Some(newest) = newest(held.clone().into_iter().chain(found)) else { return Ok(None) };
        if held.as_ref() != Some(&newest) {
            let bytes = encode(&newest)?;
            self.store.meta_put(Meta::Head, record_key(&newest), bytes).map_err(fault::store)?;
            self.changes.ring(&key);
        }
        Ok(Some(newest))
    }
}
