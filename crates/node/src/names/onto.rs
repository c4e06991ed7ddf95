//! Names of this identity that several of its devices move: never over what another one wrote.
//!
//! A head is first signed, and kept by whoever asked for it; then shown to the DHT, and looked for there.
//! Only what others have, with nothing beside it, counts. Two devices that do both within the same moment
//! still make two heads with one number; then both are told, and whoever has merged both goes on. Between
//! the two steps a crash or a lost connection leaves a draft, which is shown again, or given up if another
//! device was first.

use std::time::Duration;

use craftec_api::ApiError;
use craftec_core::{
    Cid,
    head::{HeadRecord, check_name, head_key},
};
use craftec_obj::store::Meta;
use craftec_p2p::{Key, Record};
use craftec_platform::timeout;

use super::{BEFORE_WRITE, Names, READ, decode, encode, newest, record_key};
use crate::fault;

/// How long a name is not moved while the DHT does not even have the head that is known already: it was
/// not reached then, and could have a newer one. So long, too, a draft must be seen there. Where nobody
/// keeps a DHT neither will ever be; then those who are connected are told.
const UNSEEN: Duration = Duration::from_secs(60);

/// What the DHT was asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// The head that is known.
    Known,
    /// A draft.
    Draft,
}

/// A head that is to be moved.
pub(crate) enum Onto {
    /// This is to be shown; it says what is wanted.
    Draft(Box<HeadRecord>),
    /// Nobody is there who could know of a newer one.
    Alone,
    /// There is a newer one, or two that contradict each other.
    Moved(Box<HeadRecord>),
}

/// What became of a draft.
pub(crate) enum Shown {
    /// Others have it.
    Taken,
    /// Nobody said so in time.
    Unseen,
    /// Another device was first, or as fast.
    Moved(Box<HeadRecord>),
}

impl Names {
    /// The head that points `name` to `root`, if the name still has one of the roots `stands_on`, or none.
    /// `draft` was signed for it before, and may have been seen by somebody.
    pub(crate) async fn draft_onto(
        &self,
        name: &str,
        root: Cid,
        stands_on: &[Cid],
        draft: Option<HeadRecord>,
    ) -> Result<Onto, ApiError> {
        check_name(name).map_err(fault::head)?;
        if self.network.peers().is_empty() {
            return Ok(Onto::Alone);
        }
        let (found, seen) = self.look(name).await?;
        if !self.seen(Asked::Known, name, seen) {
            return Ok(Onto::Alone);
        }
        // Of two that contradict each other, both are to be in it.
        let stands = |record: &HeadRecord| {
            let mut heads = record.rival.iter().chain([&record.head]);
            heads.all(|head| head.head.root == root || stands_on.contains(&head.head.root))
        };
        // Somebody may have seen the draft: no other head has its number.
        let least = draft.as_ref().map_or(0, |draft| draft.head.head.seq + 1);
        let goes_on = |draft: &HeadRecord, found: &HeadRecord| {
            let later = found.head.head.seq < draft.head.head.seq;
            later && (found.rival.is_none() || draft.settles(found))
        };
        let before = match (found, draft) {
            // Whoever has seen it has it still.
            (Some(found), Some(draft)) if found == draft => Some(draft),
            (Some(found), Some(draft)) if goes_on(&draft, &found) => {
                if !stands(&found) {
                    return Ok(Onto::Moved(Box::new(found)));
                }
                Some(draft)
            }
            (Some(found), _) if stands(&found) => Some(found),
            (Some(found), _) => return Ok(Onto::Moved(Box::new(found))),
            (None, draft) => draft,
        };
        match before {
            Some(before) if self.says(&before, root) => Ok(Onto::Draft(Box::new(before))),
            before => {
                let draft = self.sign(name, root, before.as_ref(), least)?;
                Ok(Onto::Draft(Box::new(draft)))
            }
        }
    }

    /// Shows a draft, which must be durable, and looks whether others have it.
    pub(crate) async fn show(&self, draft: &HeadRecord) -> Result<Shown, ApiError> {
        let key = record_key(draft);
        let bytes = encode(draft)?;
        let put = self.network.put_record(Record { key: Key(key), value: bytes.to_vec() });
        let put = timeout(&*self.clock, READ, put).await;
        let mut is_there = false;
        let mut beside = Vec::new();
        for found in self.found(key, READ).await {
            is_there |= found.head == draft.head && found.rival.is_none();
            beside.push(found);
        }
        // The DHT of those who keep it may not be asked by them again.
        is_there |= matches!(put, Ok(Ok(()))) && beside.is_empty();
        let Some(newest) = newest(beside.into_iter().chain([draft.clone()])) else {
            return Ok(Shown::Unseen);
        };
        if newest.rival.is_some() || newest.head != draft.head {
            self.hold(&newest)?;
            return Ok(Shown::Moved(Box::new(newest)));
        }
        if !self.seen(Asked::Draft, &draft.head.head.name, is_there) {
            return Ok(Shown::Unseen);
        }
        self.hold(draft)?;
        self.announce(draft, bytes);
        Ok(Shown::Taken)
    }

    /// Whether what the DHT was asked for was seen there, or was not for so long that nobody seems to keep
    /// one.
    fn seen(&self, what: Asked, name: &str, is_there: bool) -> bool {
        let mut unseen = self.unseen.borrow_mut();
        let now = self.clock.monotonic();
        let since = *unseen.entry((what, name.to_owned())).or_insert(now);
        let settled = is_there || now.saturating_sub(since) >= UNSEEN;
        if settled {
            unseen.remove(&(what, name.to_owned()));
        }
        settled
    }

    /// The root that the head of one of this identity's names has here.
    pub(crate) fn held_root(&self, name: &str) -> Result<Option<Cid>, ApiError> {
        let held = self.held(&head_key(&self.keys.did(), name)).map_err(fault::store)?;
        Ok(held.map(|record| record.head.head.root))
    }

    /// The newest head of one of this identity's names, which another device may have written. It is held
    /// from now on.
    pub(crate) async fn latest(&self, name: &str) -> Result<Option<HeadRecord>, ApiError> {
        Ok(self.look(name).await?.0)
    }

    /// The same, and whether the DHT had what was known already.
    async fn look(&self, name: &str) -> Result<(Option<HeadRecord>, bool), ApiError> {
        let key = head_key(&self.keys.did(), name);
        let known = self.held(&key).map_err(fault::store)?.map(|held| held.head.head.seq);
        let found = self.found(key, if known.is_some() { READ } else { BEFORE_WRITE }).await;
        let seen = known.is_none_or(|seq| found.iter().any(|head| head.head.head.seq >= seq));
        // Looked up only now: it may have been published here meanwhile.
        let held = self.held(&key).map_err(fault::store)?;
        let newest = newest(held.into_iter().chain(found));
        if let Some(newest) = &newest {
            self.hold(newest)?;
        }
        Ok((newest, seen))
    }

    /// Holds a head of this identity as the newest.
    pub(super) fn hold(&self, record: &HeadRecord) -> Result<(), ApiError> {
        let key = record_key(record);
        if self.held(&key).map_err(fault::store)?.as_ref() != Some(record) {
            let bytes = encode(record)?;
            self.store.meta_put(Meta::Head, key, bytes).map_err(fault::store)?;
            self.changes.ring(&key);
        }
        Ok(())
    }
}

/// A draft as it is kept.
pub(crate) fn draft_bytes(draft: &HeadRecord) -> Result<Vec<u8>, ApiError> {
    Ok(encode(draft)?.to_vec())
}

/// A draft that was kept.
pub(crate) fn draft_of(bytes: &[u8]) -> Result<HeadRecord, ApiError> {
    decode(bytes).map_err(fault::store)
}
