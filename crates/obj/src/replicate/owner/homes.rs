//! Small objects that were put together are placed as one pack, and so cost one question, one promise
//! and one placement record instead of each their own. Which go together is decided in `packs`; this
//! makes it durable and does it.
//!
//! On disk: namespace `Pack`, key the pack's CID (36 bytes), value canonical DAG-CBOR of [`PackRecord`],
//! at most [`PACK_RECORD_BYTES`].

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use bytes::Bytes;
use craftec_core::{Cid, Codec, PeerId, cbor};
use craftec_p2p::NetError;
use craftec_platform::timeout;
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{AT_ONCE, Copies, Copy, Inner};
use crate::{
    ObjError, Store, StoreError,
    block::Block,
    event::ObjEvent,
    objects::{Kept, ObjectRecord},
    pack::Pack,
    replicate::{
        packs::{Group, SMALL_BYTES},
        wire::{Ask, PROTOCOL, Release, TOLD_BYTES, Told},
    },
    store::{Batch, Meta},
};

/// How long a holder may take to answer a release.
const RELEASE: Duration = Duration::from_secs(10);
/// Largest encoded record: a pack of 42 KiB and the fixed fields.
const PACK_RECORD_BYTES: usize = 44 << 10;

/// A pack of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackRecord {
    /// Version of this structure: 1.
    v: u8,
    /// The pack's own block.
    pack: ByteBuf,
    /// Bytes of the objects in it.
    bytes: u64,
    /// Copies wanted.
    wanted: u16,
    /// When it was made (ms since 1970): of two with the same object, the younger one is its home.
    time_ms: u64,
}

impl PackRecord {
    /// All records, the oldest first. What is in one that can't be read gets another home.
    fn all(store: &Store) -> Result<Vec<(Block, Pack, Self)>, StoreError> {
        let rows = store.meta_scan(Meta::Pack)?;
        let read = |(_, value): &(Vec<u8>, Bytes)| {
            let read = Self::read(value);
            read.inspect_err(|error| tracing::warn!(%error, "a pack was not readable")).ok()
        };
        let mut all: Vec<_> = rows.iter().filter_map(read).collect();
        all.sort_by_key(|(block, _, record)| (record.time_ms, *block.cid()));
        Ok(all)
    }

    fn read(value: &[u8]) -> Result<(Block, Pack, Self), StoreError> {
        let record: Self = cbor::decode(value, PACK_RECORD_BYTES)?;
        if record.v != 1 {
            return Err(StoreError::Newer { found: record.v.into(), known: 1 });
        }
        let damaged = || StoreError::Corrupt { reason: "a pack that is none".to_owned() };
        let block = Block::of(Codec::DagCbor, record.pack.to_vec()).map_err(|_| damaged())?;
        let pack = Pack::read(&block).ok_or_else(damaged)?;
        Ok((block, pack, record))
    }
}

/// Whether a holder says in the end that it let go.
async fn last(told: &mut (impl Stream<Item = Result<Bytes, NetError>> + Unpin)) -> bool {
    while let Some(Ok(bytes)) = told.next().await {
        if matches!(cbor::decode(&bytes, TOLD_BYTES), Ok(Told::Released)) {
            return true;
        }
    }
    false
}

impl Inner {
    /// Whether an object may be kept together with others: then it waits for them.
    pub(super) fn waits_for_others(&self, root: Cid, record: &ObjectRecord) -> bool {
        let small = !record.folder && record.size <= SMALL_BYTES;
        // Whoever keeps an object with a name keeps the name in the DHT, too.
        if !small || root.codec() != Codec::Raw || !self.around.heads_of(&root).is_empty() {
            return false;
        }
        let (bytes, now) = (record.block_bytes.max(1), self.clock.monotonic());
        self.packs.borrow_mut().put(root, bytes, record.wanted, now);
        true
    }

    /// Takes over the homes that an earlier run gave.
    pub(super) fn restore_homes(self: &Rc<Self>) -> Result<(), StoreError> {
        let store = self.objects.store();
        for (block, pack, record) in PackRecord::all(store)? {
            let members = pack.members().to_vec();
            self.copy_pack(&block, members.len(), record.bytes, record.wanted);
            self.restore(*block.cid())?;
            let group = Group { members, bytes: record.bytes, wanted: record.wanted };
            self.packs.borrow_mut().settle(*block.cid(), group);
        }
        for (object, wanted, bytes) in self.packs.borrow().all() {
            if store.meta_get(Meta::Placement, object.to_bytes())?.is_some() {
                self.roster.borrow_mut().copy(object, wanted, 0, (bytes, 1));
                self.restore(object)?;
            }
        }
        let placed = |object: &Cid| self.roster.borrow().has(object);
        self.packs.borrow_mut().recall(placed);
        self.let_go_of_empty();
        Ok(())
    }

    fn copy_pack(&self, block: &Block, members: usize, bytes: u64, wanted: u16) {
        let size = (bytes + block.len() as u64, members as u64 + 1);
        let mut roster = self.roster.borrow_mut();
        match roster.has(block.cid()) {
            true => roster.want(block.cid(), wanted),
            false => roster.copy(*block.cid(), wanted, 0, size),
        }
    }

    /// Gives homes to what waited long enough.
    pub(super) fn gather(self: &Rc<Self>) {
        if !self.packs.borrow().is_waiting() {
            return;
        }
        let now = self.clock.monotonic();
        let groups = self.packs.borrow().due(now);
        let mut failed = false;
        for group in groups {
            if let Err(error) = self.house(group) {
                // Nothing was asked of anybody yet; it is tried again at the next look.
                tracing::warn!(%error, "objects could not be packed");
                failed = true;
            }
        }
        self.packs.borrow_mut().rearrange(now);
        self.let_go_of_empty();
        if !failed && self.packs.borrow().is_waiting() {
            self.wake();
        }
    }

    fn house(&self, group: Group) -> Result<(), StoreError> {
        if let [alone] = group.members[..] {
            let mut roster = self.roster.borrow_mut();
            match roster.has(&alone) {
                true => roster.want(&alone, group.wanted),
                false => roster.copy(alone, group.wanted, 0, (group.bytes, 1)),
            }
            drop(roster);
            self.packs.borrow_mut().settle(alone, group);
            return Ok(());
        }
        let damaged = || StoreError::Corrupt { reason: "objects that make no pack".to_owned() };
        let pack = Pack::of(group.members.iter().copied()).ok_or_else(damaged)?;
        let block = pack.block().ok_or_else(damaged)?;
        let record = PackRecord {
            v: 1,
            pack: ByteBuf::from(block.bytes().to_vec()),
            bytes: group.bytes,
            wanted: group.wanted,
            time_ms: self.clock.now().0,
        };
        let value = Bytes::from(cbor::encode(&record)?);
        self.objects.store().meta_put(Meta::Pack, block.cid().to_bytes(), value)?;
        self.copy_pack(&block, pack.members().len(), group.bytes, group.wanted);
        tracing::debug!(pack = %block.cid(), objects = pack.members().len(), "packed");
        self.packs.borrow_mut().settle(*block.cid(), group);
        Ok(())
    }

    /// Has the block of a pack here for a peer that is asked to keep it. Where something of it was deleted
    /// or rotted, and the peer has not got it, the pack is given up.
    ///
    /// # Errors
    /// When the pack can't be given to anybody, and those of the disk.
    pub(super) fn offer(&self, unit: Cid, peer: &PeerId) -> Result<Option<Kept>, ObjError> {
        let store = self.objects.store();
        let Some(value) = store.meta_get(Meta::Pack, unit.to_bytes())? else { return Ok(None) };
        let (block, pack, _) = PackRecord::read(&value)?;
        if !self.roster.borrow().is_promised_by(&unit, peer, self.now()) {
            let mut missing = BTreeSet::new();
            for member in pack.members() {
                if !self.objects.exchange().has(member)? {
                    missing.insert(*member);
                }
            }
            if let Some(first) = missing.first() {
                tracing::debug!(pack = %unit, missing = missing.len(), "it is packed anew");
                let now = self.clock.monotonic();
                self.packs.borrow_mut().give_up(&unit, &missing, now);
                return Err(ObjError::Missing { cid: *first });
            }
        }
        self.objects.offer(block).map(Some)
    }

    /// An object is wanted no longer.
    pub(super) fn release(self: &Rc<Self>, root: Cid) -> Result<(), StoreError> {
        if !self.packs.borrow_mut().remove(&root) {
            return self.let_go(root);
        }
        self.packs.borrow_mut().rearrange(self.clock.monotonic());
        self.let_go_of_empty();
        self.wake();
        Ok(())
    }

    /// Lets go of homes in which nothing lives any more.
    pub(super) fn let_go_of_empty(self: &Rc<Self>) {
        let empty = {
            let (roster, now, nobody) = (self.roster.borrow(), self.now(), BTreeSet::new());
            let signed = |root: &Cid| {
                let copies = roster.copies(root, &nobody, now);
                (copies.signed, copies.signed > 0 && copies.signed >= copies.wanted)
            };
            self.packs.borrow_mut().empty(signed)
        };
        for root in empty {
            if let Err(error) = self.let_go(root) {
                tracing::warn!(%root, %error, "its copies could not be let go");
            }
        }
    }

    /// Tells the holders of a root that it is wanted no longer, and says so in the DHT.
    fn let_go(self: &Rc<Self>, root: Cid) -> Result<(), StoreError> {
        let now = self.now();
        let Some((epoch, ..)) = self.roster.borrow().record(&root, now) else { return Ok(()) };
        let held = self.roster.borrow_mut().remove(&root, now);
        self.made.borrow_mut().remove(&root);
        self.objects.announcer().forget_record(self.key(&root));
        let mut batch = Batch::new();
        batch.meta_delete(Meta::Placement, root.to_bytes());
        batch.meta_delete(Meta::Pack, root.to_bytes());
        self.objects.store().commit(batch)?;
        match self.record(&root, (epoch + 1, 0, Vec::new(), Vec::new())) {
            Ok(record) => {
                let last = self.rpc.network().put_record(record);
                self.clock.spawn(Box::pin(async move { drop(last.await) }));
            }
            Err(error) => tracing::warn!(%error, %root, "no last placement record"),
        }
        self.releases.borrow_mut().extend(held);
        self.send_releases();
        Ok(())
    }

    /// Tells holders that they may let go, a few at one time: they may be many, when packs take the place
    /// of what was kept by itself.
    fn send_releases(self: &Rc<Self>) {
        while self.releasing.get() < AT_ONCE {
            let Some((root, holder)) = self.releases.borrow_mut().pop_front() else { return };
            let release = Ask::Release(Release { root, owner: self.signer.did });
            let Ok(body) = cbor::encode(&release) else { return };
            self.releasing.set(self.releasing.get() + 1);
            let mut told = self.rpc.subscribe(holder, PROTOCOL, body);
            // It keeps nothing open that a node which stops has to let go of.
            let (weak, clock) = (Rc::downgrade(self), self.clock.clone());
            self.clock.spawn(Box::pin(async move {
                match timeout(&*clock, RELEASE, last(&mut told)).await {
                    Ok(true) => {}
                    // The owner's last record says so, too, and is read within half a day.
                    _ => {
                        tracing::debug!(%holder, %root, "it may not have heard that it may let go")
                    }
                }
                if let Some(inner) = weak.upgrade() {
                    inner.releasing.set(inner.releasing.get() - 1);
                    inner.send_releases();
                }
            }));
        }
    }

    /// How many copies there are: under whatever root there are most of them.
    pub(super) fn copies(&self, object: &Cid) -> Copies {
        let (packs, roster) = (self.packs.borrow(), self.roster.borrow());
        let (connected, now) = (self.connected(), self.now());
        let copies = packs.homes(object).into_iter().map(|it| roster.copies(&it, &connected, now));
        let most = copies.max_by_key(|copies| copies.signed).unwrap_or_default();
        match packs.size(object) {
            Some((wanted, _)) => Copies { wanted, needed: 1, ..most },
            None => most,
        }
    }

    /// Each holder of an object, and each peer that was asked. Of a pack the object's part is counted.
    pub(super) fn holders(&self, object: &Cid, connected: &BTreeSet<PeerId>) -> Vec<Copy> {
        let packs = self.packs.borrow();
        let homes = packs.homes(object).into_iter();
        let lists = homes.map(|home| self.roster.borrow().list(&home, connected, self.now()));
        let signed = |copies: &Vec<Copy>| copies.iter().filter(|copy| copy.signed).count();
        let mut copies = lists.max_by_key(signed).unwrap_or_default();
        if let Some((_, bytes)) = packs.size(object) {
            copies.iter_mut().for_each(|copy| copy.bytes = copy.bytes.min(bytes));
        }
        copies
    }

    /// Tells about an object, or about all that live in a pack.
    pub(super) fn tell_of(&self, root: &Cid) {
        let roots = self.packs.borrow().members(root);
        self.news.tell(ObjEvent::Copies { roots });
    }
}

#[cfg(test)]
#[path = "homes_tests.rs"]
mod tests;
