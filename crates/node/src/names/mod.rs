//! Names of this identity, and names of others: writing heads and reading them.
//!
//! A head is durable here before anybody else sees it, so that this node never signs two with one
//! number. What was read of others is remembered, so that an older head offered later is noticed.
//! Two heads with one number are reported, never chosen between in silence.

#[cfg_attr(
    not(feature = "sql"),
    allow(dead_code, reason = "a node without databases tells of heads, and follows none")
)]
mod follow;
#[cfg_attr(not(feature = "sql"), allow(dead_code, reason = "only databases are written so"))]
mod onto;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use bytes::Bytes;
use craftec_api::{ApiError, ErrorCode, Reply};
use craftec_core::{
    Cid, Did,
    head::{Head, HeadRecord, Settled, SignedHead, check_name, head_key, key_of_label, label},
    placement::placement_key,
    record::Record as Signed,
};
use craftec_obj::{
    Announcer, Session, Store, StoreError,
    store::{Batch, Meta},
};
use craftec_p2p::{Key, Record, Rpc, SharedNetwork};
use craftec_platform::{Clock, timeout};

use self::follow::Changes;
#[cfg(feature = "sql")]
pub(crate) use self::onto::{Onto, Shown, draft_bytes, draft_of};
use crate::{Keys, Ports, fault};

/// How long a head counts as fresh. The author's node writes a new one after half of it.
const FRESH_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How long a search in the DHT may take when a name is read.
const READ: Duration = Duration::from_secs(10);
/// The same before a name is written, where it only guards against a second device.
const BEFORE_WRITE: Duration = Duration::from_secs(2);
/// Heads of others that are announced again after a start.
const ANNOUNCED: usize = 256;
/// Heads of others that are remembered.
const REMEMBERED: usize = 4096;

/// How long what the DHT said of one of this identity's names counts, so that a site is not looked for with
/// each of its files; and how long nobody is asked again where nobody had it.
const OWN_FRESH: Duration = Duration::from_secs(30);
const OWN_UNKNOWN: Duration = Duration::from_secs(5 * 60);

/// Roots whose owner is remembered from a name that was read.
const OWNERS: usize = 256;

/// The names that a node writes and reads.
pub(crate) struct Names {
    /// Whose the roots are that names led to: their placement records may name holders.
    pub(crate) owners: RefCell<BTreeMap<Cid, Did>>,
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) clock: Rc<dyn Clock>,
    pub(crate) network: SharedNetwork,
    pub(crate) rpc: Rpc,
    pub(crate) announcer: Announcer,
    pub(crate) changes: Changes,
    /// What the DHT did not have of a name, and since when.
    unseen: RefCell<BTreeMap<(onto::Asked, String), Duration>>,
    /// When the DHT is asked again for a name of this identity that is read.
    asked: RefCell<BTreeMap<[u8; 32], Duration>>,
}

impl Names {
    /// Announces this identity's names, and tells of others' from now on.
    pub(crate) fn start(
        ports: &Ports,
        store: &Store,
        keys: &Keys,
        rpc: &Rpc,
        announcer: Announcer,
    ) -> Result<Rc<Self>, StoreError> {
        let names = Rc::new(Self {
            store: store.clone(),
            keys: keys.clone(),
            clock: ports.clock.clone(),
            network: ports.network.clone(),
            rpc: rpc.clone(),
            announcer,
            changes: Changes::default(),
            unseen: RefCell::default(),
            asked: RefCell::default(),
            owners: RefCell::default(),
        });
        names.tell_followers();
        names.announce_own()?;
        Ok(names)
    }

    /// The heads of this identity, each with its bytes.
    fn own(&self) -> Result<Vec<(HeadRecord, Bytes)>, StoreError> {
        let all = self.store.meta_scan(Meta::Head)?.into_iter();
        let read = all.filter_map(|(_, bytes)| Some((decode(&bytes).ok()?, bytes)));
        Ok(read.filter(|(record, _)| record.head.head.did == self.keys.did()).collect())
    }

    /// Signs heads of this identity that grow old anew; `false` if nobody is there to be asked first.
    ///
    /// Another device may have moved a name on while this one was away. Its head is taken over then: a
    /// second head with the same number would contradict it.
    pub(crate) async fn renew(&self) -> Result<bool, ApiError> {
        for (record, _) in self.own().map_err(fault::store)? {
            if !self.is_old(&record) {
                continue;
            }
            if self.network.peers().is_empty() {
                return Ok(false);
            }
            let key = record_key(&record);
            let found = self.found(key, READ).await;
            // Looked up again: it may have been published here meanwhile.
            let held = self.held(&key).map_err(fault::store)?.unwrap_or(record);
            let Some(newest) = newest([held.clone()].into_iter().chain(found)) else { continue };
            let (name, root) = (newest.head.head.name.clone(), newest.head.head.root);
            if self.is_old(&newest) && newest.rival.is_none() {
                self.write(&name, root, Some(&newest))?;
            } else if newest != held {
                let bytes = encode(&newest)?;
                self.store.meta_put(Meta::Head, key, bytes).map_err(fault::store)?;
                self.changes.ring(&key);
            }
        }
        Ok(true)
    }

    /// Announces the heads of this identity again, and those of others that are kept for them.
    pub(crate) fn announce_own(&self) -> Result<(), StoreError> {
        let now_ms = self.clock.now().0;
        for (record, bytes) in self.own()? {
            self.announce(&record, bytes);
        }
        // Heads of others, so that their names live on while their authors are away.
        for (_, bytes) in self.store.meta_scan(Meta::Record)?.into_iter().take(ANNOUNCED) {
            if let Ok(record) = decode(&bytes)
                && record.head.head.expires_ms > now_ms
            {
                self.announce(&record, bytes);
            }
        }
        Ok(())
    }

    /// Signed records of names that point to `root`: ours, and those we keep for others.
    pub(crate) fn heads_of(&self, root: &Cid) -> Vec<Bytes> {
        let mut heads = Vec::new();
        for (_, bytes) in self.store.meta_scan(Meta::Head).unwrap_or_default() {
            if decode(&bytes).is_ok_and(|record| record.head.head.root == *root) {
                heads.push(bytes);
            }
        }
        heads
    }

    /// Keeps a head of somebody else in the DHT while its author may be away, if it is valid, points
    /// to `root` and is not older than what is known.
    pub(crate) fn keep_head(&self, root: &Cid, bytes: &[u8]) {
        let Ok(offered) = decode(bytes) else { return };
        let key = record_key(&offered);
        if offered.head.head.root != *root || offered.verify(self.clock.now().0).is_err() {
            tracing::debug!(%root, "a head that came with a copy is not valid");
            return;
        }
        let held = self.held(&key).ok().flatten();
        let own = offered.head.head.did == self.keys.did();
        let Some(newest) = newest(held.into_iter().chain([offered])) else { return };
        if own {
            return;
        }
        if let Err(error) = self.remember(&key, &newest) {
            tracing::warn!(%error, "a head could not be kept");
        }
        if let Ok(bytes) = encode(&newest) {
            self.announce(&newest, bytes);
        }
    }

    /// Points `name` to `root`; the name's label. A name that points there already keeps its head:
    /// a client asks again where the answer was lost, and that must not count as another version.
    pub(crate) async fn publish(&self, name: &str, root: Cid) -> Result<String, ApiError> {
        check_name(name).map_err(fault::head)?;
        let did = self.keys.did();
        let key = head_key(&did, name);
        // Another device with the same words may have written: go on from what it wrote.
        let found = match self.network.peers().is_empty() {
            true => Vec::new(),
            false => self.found(key, BEFORE_WRITE).await,
        };
        let held = self.held(&key).map_err(fault::store)?;
        let newest = newest(held.into_iter().chain(found));
        match newest {
            Some(newest) if self.says(&newest, root) => {
                let bytes = encode(&newest)?;
                let key = record_key(&newest);
                self.store.meta_put(Meta::Head, key, bytes.clone()).map_err(fault::store)?;
                self.changes.ring(&key);
                self.announce(&newest, bytes);
            }
            newest => self.write(name, root, newest.as_ref())?,
        }
        Ok(label(&did, name))
    }

    /// Whether a head of this identity says, undisputed and for long enough, what is to be said.
    fn says(&self, record: &HeadRecord, root: Cid) -> bool {
        record.head.head.root == root && record.rival.is_none() && !self.is_old(record)
    }

    fn is_old(&self, record: &HeadRecord) -> bool {
        record.head.head.time_ms.saturating_add(FRESH_MS / 2) < self.clock.now().0
    }

    fn write(&self, name: &str, root: Cid, before: Option<&HeadRecord>) -> Result<(), ApiError> {
        let record = self.sign(name, root, before, 0)?;
        let bytes = encode(&record)?;
        self.store
            .meta_put(Meta::Head, record_key(&record), bytes.clone())
            .map_err(fault::store)?;
        self.changes.ring(&record_key(&record));
        self.announce(&record, bytes);
        Ok(())
    }

    /// The head that follows `before`, or both of its heads where they contradict each other; its number
    /// is `least` at least.
    fn sign(
        &self,
        name: &str,
        root: Cid,
        before: Option<&HeadRecord>,
        least: u64,
    ) -> Result<HeadRecord, ApiError> {
        let key = self.keys.writer();
        let time_ms = self.clock.now().0;
        let seq = before.map_or(0, |before| before.head.head.seq + 1).max(least);
        let prev = match before.map(|before| (&before.head, &before.rival)) {
            None => None,
            Some((one, None)) => Some(one.hash().map_err(fault::head)?),
            // The author of two that contradict each other goes on from both.
            Some((one, Some(other))) => Some(Settled::prev(one, other).map_err(fault::head)?),
        };
        let head = Head {
            v: 1,
            did: self.keys.did(),
            name: name.to_owned(),
            seq,
            root,
            prev,
            writer: key.public(),
            epoch: 0,
            time_ms,
            expires_ms: time_ms.saturating_add(FRESH_MS),
        };
        let head = SignedHead::sign(head, &key).map_err(fault::head)?;
        let settled = before.and_then(|before| match before.rival.clone() {
            Some(other) => {
                let (one, by) = (before.head.clone(), head.clone());
                Some(Box::new(Settled { one, other, by }))
            }
            None => before.settled.clone(),
        });
        let record = HeadRecord { head, rival: None, settled, log: self.keys.log().clone() };
        // What a key signed that is no longer this identity's proves nothing, and would spoil the record.
        let proves = record.settled.is_none() || record.verify(time_ms).is_ok();
        Ok(if proves { record } else { HeadRecord { settled: None, ..record } })
    }

    fn announce(&self, record: &HeadRecord, bytes: Bytes) {
        let key = Key(record_key(record));
        self.announcer.put_record(Record { key, value: bytes.to_vec() });
    }

    /// The current root of a label or of `did/name`.
    pub(crate) async fn resolve(&self, text: &str) -> Result<Reply, ApiError> {
        let key = key_of(text)?;
        let held = self.held(&key).map_err(fault::store)?;
        let found = match held.is_some_and(|record| record.head.head.did == self.keys.did()) {
            true => self.found_of_own(key).await,
            false => self.found(key, READ).await,
        };
        // Looked up again: another search may have found and remembered a newer one meanwhile.
        let held = self.held(&key).map_err(fault::store)?;
        let Some(newest) = newest(held.into_iter().chain(found)) else {
            let message = format!(
                "No head of this name was found: {} peers were connected.",
                self.network.peers().len()
            );
            return Err(ApiError::new(ErrorCode::Unavailable, message)
                .hint("Its author or a holder must be online. Check the name, then try again."));
        };
        let head = &newest.head.head;
        if head.did == self.keys.did() {
            self.hold(&newest)?;
        } else {
            self.remember(&key, &newest).map_err(fault::store)?;
            self.is_owned(head.root, head.did);
        }
        Ok(Reply::Resolved {
            cid: head.root,
            seq: head.seq,
            time_ms: head.time_ms,
            expires_ms: head.expires_ms,
            equivocation: newest.rival.is_some(),
        })
    }

    /// Remembers whose root it is, for the session that is about to read it.
    pub(crate) fn is_owned(&self, root: Cid, did: Did) {
        let mut owners = self.owners.borrow_mut();
        if owners.len() >= OWNERS {
            owners.pop_first();
        }
        owners.insert(root, did);
    }

    /// Tells a session who holds its root, by the placement record of the owner whose name led to it.
    pub(crate) fn hint(&self, session: &Session) {
        let root = session.root();
        let Some(owner) = self.owners.borrow_mut().remove(&root) else { return };
        let key = placement_key(&root, &owner);
        let (search, clock) = (self.network.records(Key(key)), self.clock.clone());
        let session = session.clone();
        self.clock.spawn(Box::pin(async move {
            let Ok(Ok(records)) = timeout(&*clock, READ, search).await else { return };
            for record in records {
                let checked = Signed::verify(&key, &record.value, clock.now().0);
                if let Ok(Signed::Placement(record)) = checked {
                    let holders = record.placement.holders.iter();
                    session.hint(holders.map(|signed| signed.promise.holder));
                }
            }
        }));
    }

    /// What is held here: a head of ours, or the newest that was seen of another.
    pub(crate) fn held(&self, key: &[u8; 32]) -> Result<Option<HeadRecord>, StoreError> {
        self.held_bytes(key)?.map(|bytes| decode(&bytes)).transpose()
    }

    /// The same as a record of the DHT.
    pub(crate) fn held_bytes(&self, key: &[u8; 32]) -> Result<Option<Bytes>, StoreError> {
        for namespace in [Meta::Head, Meta::Record] {
            if let Some(bytes) = self.store.meta_get(namespace, key)? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Valid heads that the DHT has; none if it does not answer in time.
    async fn found(&self, key: [u8; 32], limit: Duration) -> Vec<HeadRecord> {
        let search = self.network.records(Key(key));
        let records = match timeout(&*self.clock, limit, search).await {
            Ok(Ok(records)) => records,
            Ok(Err(error)) => {
                tracing::debug!(%error, "no heads from the DHT");
                return Vec::new();
            }
            Err(_) => return Vec::new(),
        };
        let now_ms = self.clock.now().0;
        let checked = records.into_iter().filter_map(|record| {
            match Signed::verify(&key, &record.value, now_ms) {
                Ok(Signed::Head(head)) => Some(*head),
                Ok(Signed::Placement(_)) => None,
                Err(error) => {
                    tracing::debug!(%error, "a bad head from the DHT");
                    None
                }
            }
        });
        checked.collect()
    }

    /// What another device of this identity may have made of one of its names since it was looked for last.
    async fn found_of_own(&self, key: [u8; 32]) -> Vec<HeadRecord> {
        let now = self.clock.monotonic();
        let is_fresh = self.asked.borrow().get(&key).is_some_and(|again| now < *again);
        if is_fresh || self.network.peers().is_empty() {
            return Vec::new();
        }
        let found = self.found(key, BEFORE_WRITE).await;
        let fresh = if found.is_empty() { OWN_UNKNOWN } else { OWN_FRESH };
        self.asked.borrow_mut().insert(key, self.clock.monotonic() + fresh);
        found
    }

    fn remember(&self, key: &[u8; 32], record: &HeadRecord) -> Result<(), StoreError> {
        let bytes =
            encode(record).map_err(|error| StoreError::Corrupt { reason: error.message })?;
        let mut batch = Batch::new();
        if record.rival.is_some() {
            let seq = record.head.head.seq.to_be_bytes();
            batch.meta_put(Meta::Equivocation, [key.as_slice(), &seq].concat(), bytes.clone());
        }
        let known = self.store.meta_get(Meta::Record, key)?;
        if known.as_ref() == Some(&bytes) {
            return Ok(());
        }
        if known.is_some() || self.store.meta_scan(Meta::Record)?.len() < REMEMBERED {
            batch.meta_put(Meta::Record, key, bytes);
        }
        self.store.commit(batch)?;
        self.changes.ring(key);
        Ok(())
    }
}

/// The newest of several valid heads; two that contradict each other become their proof, unless a later
/// one settles that.
fn newest(records: impl Iterator<Item = HeadRecord>) -> Option<HeadRecord> {
    let mut best: Option<HeadRecord> = None;
    for record in records {
        best = Some(match best {
            None => record,
            Some(best) => match best.equivocation(&record) {
                Ok(Some(proof)) => proof,
                _ if record.settles(&best) => record,
                _ if best.settles(&record) => best,
                _ if record.rival.is_some() && best.rival.is_none() => record,
                _ if best.rival.is_some() => best,
                _ if record.head.head.seq > best.head.head.seq => record,
                _ => best,
            },
        });
    }
    best
}

pub(crate) fn key_of(text: &str) -> Result<[u8; 32], ApiError> {
    if let Some(key) = key_of_label(text) {
        return Ok(key);
    }
    let wrong = || {
        let shown: String = text.chars().take(80).collect();
        fault::input(format!("`{shown}` is not a name."))
            .hint("A name is a label of 53 characters that begins with n, or did:craftec:…/name.")
    };
    let (did, name) = text.split_once('/').ok_or_else(wrong)?;
    let did: Did = did.parse().map_err(|_| wrong())?;
    check_name(name).map_err(fault::head)?;
    Ok(head_key(&did, name))
}

pub(crate) fn record_key(record: &HeadRecord) -> [u8; 32] {
    head_key(&record.head.head.did, &record.head.head.name)
}

fn encode(record: &HeadRecord) -> Result<Bytes, ApiError> {
    let record = Signed::Head(Box::new(record.clone()));
    Ok(record.encode().map_err(fault::record)?.into())
}

fn decode(bytes: &[u8]) -> Result<HeadRecord, StoreError> {
    match craftec_core::cbor::decode(bytes, craftec_core::limits::RECORD_BYTES)? {
        Signed::Head(record) => Ok(*record),
        Signed::Placement(_) => {
            Err(StoreError::Corrupt { reason: "a placement in the place of a head".to_owned() })
        }
    }
}
