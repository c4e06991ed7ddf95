//! What wins when a backup meets a node that is not empty.
//!
//! - **Identity**: the same one stays, with the longer of the two logs. Another one takes its place
//!   where the node has nothing of its own, or where the caller said so; then the names and
//!   placements of the old one go (it could not sign for them any more), its sites stay as sites
//!   without a name, its objects stay.
//! - **Objects**: what is here stays as it is; what is not is added.
//! - **Names**: the head with the higher number. Two different heads with one number: the one here
//!   stays, and both are kept as a proof.
//! - **Sites**: the one that was published later.
//! - **Settings**: what a person set here stays.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use craftec_api::Restored;
use craftec_core::{Cid, Did, cbor, head::HeadRecord, limits, record::Record as Signed};
use craftec_obj::{
    StoreError,
    objects::Import,
    store::{Batch, Meta},
};

use super::{
    BackupError,
    record::{Object, Settings},
    restore::{Contents, Owner},
};
use crate::{
    Node, keys::WALLET, lending::LEND, names::record_key, serving::SERVE, session::SiteRecord,
};

/// Time for the answer to reach whoever asked, before a node with another identity ends.
const GOODBYE: Duration = Duration::from_millis(300);

/// Whether the file's identity may be this node's.
pub(super) fn check_owner(node: &Node, theirs: &Did, replace: bool) -> Result<(), BackupError> {
    let ours = node.keys.did();
    if *theirs == ours || replace {
        return Ok(());
    }
    for namespace in [Meta::Object, Meta::Site, Meta::Head] {
        if !node.store.meta_scan(namespace)?.is_empty() {
            let (theirs, ours) = (theirs.to_string(), ours.to_string());
            return Err(BackupError::OtherIdentity { theirs, ours });
        }
    }
    Ok(())
}

/// Commits everything at once, and lets the node see it.
pub(super) fn merge(
    node: &Rc<Node>,
    contents: Contents,
    import: Import,
    bytes: u64,
) -> Result<Restored, BackupError> {
    let Contents { owner, settings, objects, sites, heads, placements, .. } = contents;
    let owner = owner.ok_or_else(|| BackupError::Content("no identity".to_owned()))?;
    let mut merge = Merge { node, batch: Batch::new(), other: owner.did != node.keys.did() };
    let mut restored = Restored {
        did: owner.did.to_string(),
        objects: 0,
        known: 0,
        bytes,
        names: 0,
        names_kept: 0,
        restart: merge.identity(&owner)?,
    };
    merge.settings(&settings)?;
    let mut added: Vec<Object> = Vec::new();
    for object in objects {
        match merge.object(&object)? {
            true => added.push(object),
            false => restored.known += 1,
        }
    }
    restored.objects = added.len() as u64;
    for site in sites {
        merge.site(&site)?;
    }
    for head in heads {
        match merge.head(&head)? {
            true => restored.names += 1,
            false => restored.names_kept += 1,
        }
    }
    for placed in placements {
        if added.iter().any(|object| object.root == placed.root) {
            merge.placement(&placed.root, placed.record.into_vec().into())?;
        }
    }
    import.commit(merge.batch)?;
    show(node, &added, restored.restart)?;
    Ok(restored)
}

/// Lets the running node see what is on its disk now.
fn show(node: &Rc<Node>, added: &[Object], restart: bool) -> Result<(), StoreError> {
    if restart {
        let ending = node.clone();
        let sleep = node.ports.clock.sleep(GOODBYE);
        node.ports.clock.spawn(Box::pin(async move {
            sleep.await;
            ending.stop().await;
            ending.restart();
        }));
        return Ok(());
    }
    node.lending.reload()?;
    node.serving.reload()?;
    for object in added {
        node.objects.kept(object.root, object.about.block_bytes);
        node.place(object.root, &object.about)?;
    }
    node.names.announce_own()
}

struct Merge<'a> {
    node: &'a Node,
    batch: Batch,
    /// The file is of another identity, which takes the place of this node's.
    other: bool,
}

impl Merge<'_> {
    /// Whether the node must start again.
    fn identity(&mut self, owner: &Owner) -> Result<bool, StoreError> {
        let ours = &self.node.keys;
        let longer = owner.log != *ours.log() && owner.log.extends(ours.log());
        if !self.other && !longer {
            return Ok(false);
        }
        if self.other {
            self.forget_own()?;
            self.batch.meta_put(Meta::Node, WALLET, owner.wallet.entropy().to_vec());
        }
        self.batch.meta_put(Meta::Identity, owner.did.0.0, cbor::encode(&owner.log)?);
        Ok(true)
    }

    /// What only the old identity could sign for.
    fn forget_own(&mut self) -> Result<(), StoreError> {
        let Self { node, batch, .. } = self;
        batch.meta_delete(Meta::Identity, node.keys.did().0.0);
        for namespace in [Meta::Head, Meta::Placement] {
            for (key, _) in node.store.meta_scan(namespace)? {
                batch.meta_delete(namespace, key);
            }
        }
        for (key, value) in node.store.meta_scan(Meta::Site)? {
            let site = SiteRecord::read(&value)?;
            if site.name.is_some() {
                let site = SiteRecord { name: None, ..site };
                batch.meta_delete(Meta::Site, key);
                batch.meta_put(Meta::Site, site.key(), cbor::encode(&site)?);
            }
        }
        Ok(())
    }

    fn settings(&mut self, settings: &Settings) -> Result<(), StoreError> {
        let set = |key| Ok::<_, StoreError>(self.node.store.meta_get(Meta::Node, key)?.is_some());
        if let (Some(lend), false) = (settings.lend, set(LEND)?) {
            self.batch.meta_put(Meta::Node, LEND, lend.to_be_bytes().to_vec());
        }
        if let (Some(serve), false) = (settings.serve, set(SERVE)?) {
            self.batch.meta_put(Meta::Node, SERVE, cbor::encode(&serve)?);
        }
        Ok(())
    }

    /// Whether it was not here.
    fn object(&mut self, object: &Object) -> Result<bool, StoreError> {
        let Object { root, about, pins } = object;
        if self.node.objects.record(root)?.is_some() {
            return Ok(false);
        }
        self.batch.meta_put(Meta::Object, root.to_bytes(), about.encode()?);
        for pin in pins {
            self.batch.pin(*root, pin.clone());
        }
        Ok(true)
    }

    fn site(&mut self, site: &SiteRecord) -> Result<(), StoreError> {
        let key = site.key();
        // The names of an identity that goes are no rivals.
        let held = match self.other && site.name.is_some() {
            true => None,
            false => self.node.store.meta_get(Meta::Site, &key)?,
        };
        let newer = match held {
            Some(held) => SiteRecord::read(&held)?.time_ms < site.time_ms,
            None => true,
        };
        if newer {
            self.batch.meta_put(Meta::Site, key, cbor::encode(site)?);
        }
        Ok(())
    }

    /// Whether the file's head is the one that counts from now on.
    fn head(&mut self, head: &HeadRecord) -> Result<bool, BackupError> {
        let key = record_key(head);
        let held = match self.other {
            true => None,
            false => self.node.store.meta_get(Meta::Head, key)?,
        };
        if let Some(held) = held {
            let held = match cbor::decode(&held, limits::RECORD_BYTES)? {
                Signed::Head(held) => held,
                Signed::Placement(_) => return Ok(false),
            };
            let proof = held.equivocation(head);
            if let Some(proof) = proof.map_err(|error| BackupError::Content(error.to_string()))? {
                let seq = head.head.head.seq.to_be_bytes();
                let key = [key.as_slice(), &seq].concat();
                self.batch.meta_put(Meta::Equivocation, key, encoded(&proof)?);
                return Ok(false);
            }
            if head.head.head.seq <= held.head.head.seq {
                return Ok(head.head == held.head);
            }
        }
        self.batch.meta_put(Meta::Head, key, encoded(head)?);
        Ok(true)
    }

    fn placement(&mut self, root: &Cid, record: Bytes) -> Result<(), StoreError> {
        if self.other || self.node.store.meta_get(Meta::Placement, root.to_bytes())?.is_none() {
            self.batch.meta_put(Meta::Placement, root.to_bytes(), record);
        }
        Ok(())
    }
}

fn encoded(head: &HeadRecord) -> Result<Bytes, BackupError> {
    let record = Signed::Head(Box::new(head.clone())).encode();
    Ok(record.map_err(|error| BackupError::Content(error.to_string()))?.into())
}
