//! What a disk is answerable for, read behind its node's back.

use std::collections::BTreeSet;

use craftec_core::{Cid, PeerId, cbor};
use craftec_obj::{
    Store, StoreError,
    pack::{Pack, pack_links},
    replicate::LentRecord,
    store::Meta,
    unixfs::PbNode,
};

use super::world::World;
use crate::ClusterError;

/// Longest record of a copy; longer ones are none of ours.
const LENT_BYTES: usize = 512;

/// Copies for which a machine signed.
pub(super) type Promised = BTreeSet<(Cid, PeerId)>;

/// The promises on a running machine's disk.
pub(super) fn promised(store: &Store) -> Result<Promised, StoreError> {
    let mut promised = Promised::new();
    for (_, value) in store.meta_scan(Meta::Lent)? {
        let record: LentRecord = cbor::decode(&value, LENT_BYTES)?;
        if record.complete {
            promised.insert((record.root, record.asker));
        }
    }
    Ok(promised)
}

/// Whether every block below `root` is in the store, byte for byte.
pub(super) fn is_whole(store: &Store, root: &Cid) -> Result<bool, StoreError> {
    let (mut open, mut seen) = (vec![*root], BTreeSet::new());
    while let Some(cid) = open.pop() {
        if !seen.insert(cid) {
            continue;
        }
        let Some(block) = store.get(&cid)? else { return Ok(false) };
        if let Ok(node) = PbNode::decode(block.bytes()) {
            open.extend(node.links.iter().map(|link| link.cid));
        }
        open.extend(pack_links(&block).into_iter().flatten());
    }
    Ok(true)
}

/// The objects in a promised pack; the root itself of what is none.
fn objects_of(store: &Store, root: &Cid) -> Result<Vec<Cid>, StoreError> {
    let pack = store.get(root)?.as_ref().and_then(Pack::read);
    Ok(pack.map_or_else(|| vec![*root], |pack| pack.members().to_vec()))
}

/// Whether the store answers for `root` to others: as its author's, a pin, or a promised copy, by itself
/// or in a pack.
pub(super) fn answers_for(store: &Store, root: &Cid) -> Result<bool, StoreError> {
    let own = store.meta_get(Meta::Object, root.to_bytes())?.is_some();
    let lent = || -> Result<bool, StoreError> {
        for (held, _) in promised(store)? {
            if objects_of(store, &held)?.contains(root) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    Ok((own || lent()?) && is_whole(store, root)?)
}

impl World {
    /// After a machine with an honest disk came back: everything that it acknowledged, and every
    /// copy it had promised before, must be on its disk.
    pub(super) fn check_custody(&self, index: usize, before: &Promised) {
        if let Err(error) = self.custody(index, before) {
            self.fail(format!("the disk of node {index}: {error}"));
        }
    }

    fn custody(&self, index: usize, before: &Promised) -> Result<(), ClusterError> {
        let store = self.cluster.store(index)?;
        let broken = |source| ClusterError::Store { index, source };
        let (own, withdrawn): (Vec<Cid>, BTreeSet<Cid>) = {
            let state = self.state.borrow();
            let own = state
                .objects
                .iter()
                .filter(|object| object.author == index && object.disk == 0 && !object.withdrawn);
            let own = own.map(|object| object.cid).collect();
            let gone = state.objects.iter().filter(|object| object.withdrawn);
            (own, gone.map(|object| object.cid).collect())
        };
        for cid in own {
            if !answers_for(&store, &cid).map_err(broken)? {
                self.fail(format!("node {index} lost {cid}, which it had acknowledged"));
            }
        }
        let after = promised(&store).map_err(broken)?;
        for (cid, asker) in before {
            // Of a pack whose author took something out of it, another one may have taken the place.
            let of = objects_of(&store, cid).map_err(broken)?;
            if of.iter().any(|object| withdrawn.contains(object)) {
                continue;
            }
            let kept = after.contains(&(*cid, *asker)) && is_whole(&store, cid).map_err(broken)?;
            if !kept {
                self.fail(format!("node {index} lost its copy of {cid}, which it had promised"));
            }
        }
        Ok(())
    }

    /// Honest machines that run and answer for `root`.
    pub(super) fn holders(&self, root: &Cid) -> Vec<usize> {
        let holds = |index: &usize| {
            let store = self.cluster.store(*index).ok();
            store.is_some_and(|store| answers_for(&store, root).unwrap_or(false))
        };
        (0..self.size.honest()).filter(holds).collect()
    }
}
