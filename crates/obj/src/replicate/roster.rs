//! What we placed on others: objects in whole copies, and coded ones in shards. Plain code over
//! values: time and who is connected are arguments.
//!
//! What a holder is asked to keep is a **unit**: the object itself where copies are wanted, one shard
//! where it is coded. A copy's holders are as many as copies are wanted; a shard has one. Shards of
//! one object go to as many holders as there are, each of which gets no more than its even part, and
//! no part of the network more than the object can lose.

use std::collections::{BTreeMap, BTreeSet};

use craftec_core::{
    Cid, Codec, PeerId,
    placement::{Placement, SignedPromise},
    sign::Hash,
};

use super::{
    Copies, Copy,
    placed::{Candidate, Now, Placed},
};
use crate::objects::MadeShard;

/// Everything that we placed.
#[derive(Debug, Default)]
pub(super) struct Roster {
    objects: BTreeMap<Cid, Object>,
    /// The object of each unit.
    of: BTreeMap<Cid, Cid>,
}

#[derive(Debug)]
struct Object {
    epoch: u64,
    wanted: u16,
    /// Pieces per hundred source pieces if it is to be coded as soon as there are enough holders.
    percent: u16,
    /// Units that give it back: 1 copy, or so many shards.
    needed: u16,
    coded: bool,
    /// Whether its shards are here to be taken.
    here: bool,
    units: Vec<(Cid, Placed)>,
}

/// Whom to ask to keep what.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Unit, peer and the peer's part of the network.
    pub(super) asks: Vec<(Cid, Candidate)>,
    /// Objects that are to be coded, or coded again, before anybody can be asked.
    pub(super) code: Vec<Cid>,
}

/// How many holders must be there before an object is coded rather than copied: with fewer, each would
/// have so many shards that the loss of three is the loss of all, and copies are no dearer.
pub(super) const HOLDERS_TO_CODE: usize = 6;

impl Roster {
    pub(super) fn has(&self, object: &Cid) -> bool {
        self.objects.contains_key(object)
    }

    /// The object that a unit is a part of.
    pub(super) fn object_of(&self, unit: &Cid) -> Option<Cid> {
        self.of.get(unit).copied()
    }

    /// An object in whole copies, for now if `percent` is above 0.
    pub(super) fn copy(
        &mut self,
        object: Cid,
        wanted: u16,
        percent: u16,
        (bytes, blocks): (u64, u64),
    ) {
        let unit = (object, Placed::new(wanted, bytes.max(1), blocks.max(1)));
        self.insert(
            object,
            Object {
                epoch: 0,
                wanted,
                percent,
                needed: 1,
                coded: false,
                here: true,
                units: vec![unit],
            },
        );
    }

    /// Changes how many copies are wanted.
    pub(super) fn want(&mut self, object: &Cid, wanted: u16) {
        if let Some(known) = self.objects.get_mut(object).filter(|known| !known.coded) {
            known.wanted = wanted;
            known.units.iter_mut().for_each(|(_, placed)| placed.wanted = wanted);
        }
    }

    fn insert(&mut self, object: Cid, mut new: Object) {
        if let Some(old) = self.objects.remove(&object) {
            new.epoch = new.epoch.max(old.epoch);
            self.of.retain(|unit, _| !old.units.iter().any(|(old, _)| old == unit));
        }
        self.of.extend(new.units.iter().map(|(unit, _)| (*unit, object)));
        self.objects.insert(object, new);
    }

    /// An object's shards were made: they are asked for from now on. Promises that are known stay.
    pub(super) fn code(&mut self, object: Cid, needed: u8, made: &[MadeShard]) {
        let Some(known) = self.objects.get_mut(&object) else { return };
        let mut old: BTreeMap<Cid, Placed> = std::mem::take(&mut known.units).into_iter().collect();
        let units = made.iter().map(|shard| {
            let mut placed = Placed::new(1, shard.bytes.max(1), shard.blocks.max(1));
            if let Some(before) = old.remove(&shard.root) {
                placed.take_over(before);
            }
            (shard.root, placed)
        });
        let new = Object {
            epoch: known.epoch,
            wanted: u16::try_from(made.len()).unwrap_or(u16::MAX),
            percent: known.percent,
            needed: needed.into(),
            coded: true,
            here: true,
            units: units.collect(),
        };
        self.insert(object, new);
    }

    /// Takes over what an earlier run recorded.
    pub(super) fn restore(&mut self, placement: Placement, now: Now) {
        let Some(known) = self.objects.get_mut(&placement.root) else { return };
        known.epoch = placement.epoch;
        let mut by_root: BTreeMap<Cid, Vec<SignedPromise>> = BTreeMap::new();
        for promise in placement.holders {
            by_root.entry(promise.promise.root).or_default().push(promise);
        }
        if !placement.pieces.is_empty() {
            // How large they are is known when they are made again, which is when one is lacking.
            let shard = |hash: &Hash| Cid::from_hash(Codec::DagCbor, hash.0);
            let units = placement.pieces.iter().map(|hash| (shard(hash), Placed::new(1, 1, 1)));
            let units = units.collect();
            let wanted = placement.n;
            let (epoch, percent) = (placement.epoch, known.percent);
            // Two fifths, until the code is read again.
            let needed = (wanted * 2).div_ceil(5);
            let object = Object { epoch, wanted, percent, needed, coded: true, here: false, units };
            self.insert(placement.root, object);
        }
        let Some(known) = self.objects.get_mut(&placement.root) else { return };
        for (unit, placed) in &mut known.units {
            placed.restore(by_root.remove(unit).unwrap_or_default(), now);
        }
    }

    /// Forgets an object: its units and who holds them.
    pub(super) fn remove(&mut self, object: &Cid, now: Now) -> Vec<(Cid, PeerId)> {
        let Some(old) = self.objects.remove(object) else { return Vec::new() };
        let mut held = Vec::new();
        for (unit, placed) in old.units {
            self.of.remove(&unit);
            held.extend(placed.promises(now).iter().map(|p| (unit, p.promise.holder)));
        }
        held
    }

    /// Whom to ask now, `most` at most. What is to be coded is not begun while others are being met.
    pub(super) fn next(
        &mut self,
        candidates: &[Candidate],
        most: usize,
        meeting: bool,
        now: Now,
    ) -> Asks {
        let mut asks = Asks::default();
        for (root, object) in &mut self.objects {
            if meeting && !object.coded && object.percent > 0 {
                continue;
            }
            if !object.coded && object.is_to_be_coded(candidates.len(), now) {
                asks.code.push(*root);
                continue;
            }
            let mut loads = Loads::of(object, candidates, now);
            let mut lacking = false;
            for (unit, placed) in &mut object.units {
                // Also notes who is there, so it runs for those with enough holders too.
                let chosen = placed.next(unit, candidates, |peer| loads.weight(peer), now);
                for peer in chosen {
                    let renewal = placed.is_promised_by(&peer, now);
                    if !object.here && !renewal {
                        lacking = true;
                        continue;
                    }
                    let candidate = candidates.iter().find(|c| c.peer == peer);
                    let Some(candidate) = candidate.filter(|_| asks.asks.len() < most) else {
                        continue;
                    };
                    placed.asking(peer, candidate.place.clone(), now);
                    loads.add(&peer);
                    asks.asks.push((*unit, candidate.clone()));
                }
            }
            if lacking {
                asks.code.push(*root);
            }
        }
        asks
    }

    /// Something happened to a unit.
    pub(super) fn with(&mut self, unit: &Cid, act: impl FnOnce(&mut Placed)) {
        if let Some(placed) = self.unit(unit) {
            act(placed);
        }
    }

    fn unit(&mut self, unit: &Cid) -> Option<&mut Placed> {
        let object = self.objects.get_mut(self.of.get(unit)?)?;
        object.units.iter_mut().find(|(root, _)| root == unit).map(|(_, placed)| placed)
    }

    /// A unit's bytes and blocks, and the epoch of its object.
    pub(super) fn size(&self, unit: &Cid) -> Option<(u64, u64, u64)> {
        let object = self.objects.get(self.of.get(unit)?)?;
        let (_, placed) = object.units.iter().find(|(root, _)| root == unit)?;
        Some((placed.bytes, placed.blocks, object.epoch))
    }

    /// A holder signed for a unit, under an epoch.
    pub(super) fn promised(&mut self, unit: &Cid, promise: SignedPromise, now: Now) {
        let epoch = promise.promise.epoch;
        self.with(unit, |placed| placed.promised(promise, now));
        if let Some(object) = self.of.get(unit).and_then(|object| self.objects.get_mut(object)) {
            object.epoch = epoch.max(object.epoch + 1);
        }
    }

    /// A peer is here again.
    pub(super) fn revive(&mut self, peer: &PeerId, now: Now) {
        for object in self.objects.values_mut() {
            object.units.iter_mut().for_each(|(_, placed)| placed.revive(peer, now));
        }
    }

    /// Whether a peer's promise for a unit holds.
    pub(super) fn is_promised_by(&self, unit: &Cid, peer: &PeerId, now: Now) -> bool {
        let object = self.of.get(unit).and_then(|object| self.objects.get(object));
        let placed = object.and_then(|object| object.units.iter().find(|(root, _)| root == unit));
        placed.is_some_and(|(_, placed)| placed.is_promised_by(peer, now))
    }

    /// Bytes that each peer keeps for us, by the promises that hold.
    pub(super) fn kept(&self, now: Now) -> BTreeMap<PeerId, u64> {
        let mut kept: BTreeMap<PeerId, u64> = BTreeMap::new();
        let units = self.objects.values().flat_map(|object| &object.units);
        for signed in units.flat_map(|(_, placed)| placed.promises(now)) {
            let sum = kept.entry(signed.promise.holder).or_default();
            *sum = sum.saturating_add(signed.promise.bytes);
        }
        kept
    }

    /// Objects of which `peer` holds something.
    pub(super) fn held_by(&self, peer: &PeerId, now: Now) -> Vec<Cid> {
        let holds = |object: &Object| {
            object.units.iter().any(|(_, placed)| placed.is_promised_by(peer, now))
        };
        self.objects.iter().filter(|(_, object)| holds(object)).map(|(root, _)| *root).collect()
    }

    /// What the placement record says: epoch, units wanted, promises, and the shards of a coded one.
    pub(super) fn record(
        &self,
        object: &Cid,
        now: Now,
    ) -> Option<(u64, u16, Vec<SignedPromise>, Vec<Hash>)> {
        let known = self.objects.get(object)?;
        let promises = known.units.iter().flat_map(|(_, placed)| placed.promises(now));
        let shards = known.units.iter().filter(|_| known.coded).map(|(root, _)| Hash(*root.hash()));
        Some((known.epoch, known.wanted, promises.collect(), shards.collect()))
    }

    /// Whether every shard of a coded object has a holder: what was made need not be kept.
    pub(super) fn is_placed(&self, object: &Cid, now: Now) -> bool {
        let placed = |object: &Object| {
            object.coded && object.units.iter().all(|(_, placed)| !placed.promises(now).is_empty())
        };
        self.objects.get(object).is_some_and(placed)
    }

    /// The shards that were made for an object are here no longer.
    pub(super) fn let_shards_go(&mut self, object: &Cid) {
        if let Some(known) = self.objects.get_mut(object).filter(|known| known.coded) {
            known.here = false;
        }
    }

    /// Pieces per hundred source pieces that an object is to be coded with.
    pub(super) fn percent(&self, object: &Cid) -> u16 {
        self.objects.get(object).map_or(0, |known| known.percent)
    }

    /// How many shards a coded object has; 0 for a copied one.
    pub(super) fn shards(&self, object: &Cid) -> usize {
        self.objects.get(object).filter(|known| known.coded).map_or(0, |known| known.units.len())
    }

    /// An object can't be coded: it is kept in copies.
    pub(super) fn keep_copies(&mut self, object: &Cid) {
        if let Some(known) = self.objects.get_mut(object) {
            known.percent = 0;
        }
    }

    /// How many units of an object there are.
    pub(super) fn copies(&self, object: &Cid, connected: &BTreeSet<PeerId>, now: Now) -> Copies {
        let Some(known) = self.objects.get(object) else { return Copies::default() };
        let mut copies = Copies { wanted: known.wanted, needed: known.needed, ..Copies::default() };
        for (_, placed) in &known.units {
            let unit = placed.copies(connected, now);
            let most = if known.coded { 1 } else { u16::MAX };
            copies.signed += unit.signed.min(most);
            copies.reachable += unit.reachable.min(most);
        }
        copies
    }

    /// Each holder of an object, and each peer that was asked.
    pub(super) fn list(&self, object: &Cid, connected: &BTreeSet<PeerId>, now: Now) -> Vec<Copy> {
        let Some(known) = self.objects.get(object) else { return Vec::new() };
        let mut by_peer: BTreeMap<PeerId, Copy> = BTreeMap::new();
        for copy in known.units.iter().flat_map(|(_, placed)| placed.list(connected, now)) {
            match by_peer.get_mut(&copy.peer) {
                Some(known) => {
                    known.bytes += copy.bytes;
                    known.signed |= copy.signed;
                    known.error = copy.error.or(known.error.take());
                }
                None => drop(by_peer.insert(copy.peer, copy)),
            }
        }
        by_peer.into_values().collect()
    }
}

impl Object {
    /// Whether shards are to be made in place of copies that are not there yet.
    fn is_to_be_coded(&self, candidates: usize, now: Now) -> bool {
        let signed = |placed: &Placed| placed.promises(now).len() >= usize::from(self.wanted);
        let copied = self.units.iter().all(|(_, placed)| signed(placed));
        self.percent > 0 && candidates >= HOLDERS_TO_CODE && !copied
    }
}

/// How many shards of one object each peer and each part of the network has.
struct Loads {
    peers: BTreeMap<PeerId, usize>,
    places: BTreeMap<String, usize>,
    place_of: BTreeMap<PeerId, String>,
    coded: bool,
    /// Most shards that one peer gets.
    most: usize,
    /// Most shards that one part of the network gets, while there are others.
    most_in_place: usize,
}

impl Loads {
    fn of(object: &Object, candidates: &[Candidate], now: Now) -> Self {
        let place_of = candidates.iter().filter_map(|c| Some((c.peer, c.place.clone()?)));
        let refused =
            |c: &&Candidate| object.units.iter().any(|(_, p)| p.has_refused(&c.peer, now));
        let willing = candidates.len() - candidates.iter().filter(refused).count();
        let shards = usize::from(object.wanted);
        let mut loads = Self {
            peers: BTreeMap::new(),
            places: BTreeMap::new(),
            place_of: place_of.collect(),
            coded: object.coded,
            most: shards.div_ceil(willing.max(1)),
            most_in_place: (shards.saturating_sub(object.needed.into()) / 2).max(1),
        };
        if object.coded {
            for peer in object.units.iter().flat_map(|(_, placed)| placed.keepers(now)) {
                loads.add(&peer);
            }
        }
        loads
    }

    fn add(&mut self, peer: &PeerId) {
        *self.peers.entry(*peer).or_default() += 1;
        if let Some(place) = self.place_of.get(peer) {
            *self.places.entry(place.clone()).or_default() += 1;
        }
    }

    /// The lower the sooner; `None` for a peer that gets no more.
    fn weight(&self, peer: &PeerId) -> Option<usize> {
        if !self.coded {
            return Some(0);
        }
        let load = self.peers.get(peer).copied().unwrap_or_default();
        let place = self.place_of.get(peer).and_then(|place| self.places.get(place));
        let crowded = place.is_some_and(|there| *there >= self.most_in_place);
        (load < self.most).then_some(load + if crowded { self.most } else { 0 })
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
