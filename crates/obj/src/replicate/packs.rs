//! Which small objects of ours are kept together. Plain code over values: time is an argument.
//!
//! An object waits a moment for others that are put with it; what waited together becomes a pack, and
//! what waited alone is kept by itself. Each object has one **home**, under which it is placed: a pack,
//! or itself. A home in which little is left is given up: what is left waits again, and the old home is
//! let go only after everything in it has been placed elsewhere or is wanted no longer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use craftec_core::{Cid, limits::SMALL_OBJECT_BYTES};

use crate::pack::MEMBERS;

/// How long an object waits for another one, and for all that follow: so an upload of many is divided
/// by its length rather than by its pauses, and its first objects are safe soon.
const QUIET: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(2);
/// Bytes in one pack at most: then whoever has room for any small object has room for any pack.
const PACK_BYTES: u64 = SMALL_OBJECT_BYTES;
/// Objects that came one by one are packed when so many are kept by themselves: then a pack saves most
/// of what they cost, and each is sent once more in its life.
const ALONE: usize = 64;

/// The longest objects that are kept together. What one costs by itself is some 20 records of 1 KiB in the
/// DHT, and what is said about each copy: longer ones cost more by their bytes.
pub(super) const SMALL_BYTES: u64 = 32 << 10;

/// Small objects of ours by their address, and what they are kept in.
#[derive(Debug, Default)]
pub(super) struct Packs {
    objects: BTreeMap<Cid, Small>,
    homes: BTreeMap<Cid, Home>,
    /// Since when an object waits for a home, or for another one.
    waiting: BTreeMap<Cid, Duration>,
    /// Homes of which something was taken away, and so may be given up.
    left: BTreeSet<Cid>,
    /// Objects that can't be given to anybody now, and must not keep others from it.
    apart: BTreeSet<Cid>,
}

#[derive(Debug)]
struct Small {
    bytes: u64,
    wanted: u16,
    home: Option<Cid>,
    /// Where it was before, for as long as that is not let go.
    former: Option<Cid>,
}

#[derive(Debug)]
struct Home {
    /// Everything that was put in.
    members: Vec<Cid>,
    bytes: u64,
}

/// Objects that are to be kept together, or a single one by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Which.
    pub(super) members: Vec<Cid>,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Copies wanted.
    pub(super) wanted: u16,
}

impl Packs {
    /// An object that was put. It waits for its home, unless it has one with as many copies as it wants.
    pub(super) fn put(&mut self, object: Cid, bytes: u64, wanted: u16, now: Duration) {
        let known = self.objects.get(&object);
        if known.is_some_and(|known| known.wanted == wanted) {
            return;
        }
        let (home, former) = known.map_or((None, None), |known| (known.home, known.former));
        self.objects.insert(object, Small { bytes, wanted, home, former });
        self.waiting.insert(object, now);
    }

    /// Whether a root is a pack, and not an object by itself.
    pub(super) fn is_pack(&self, root: &Cid) -> bool {
        self.homes.get(root).is_some_and(|home| home.members != [*root])
    }

    /// The roots under which an object is placed: none yet, its home, or also the one before, which holds
    /// it until the other one is placed. What is not known here, is by itself.
    pub(super) fn homes(&self, object: &Cid) -> Vec<Cid> {
        match self.objects.get(object) {
            Some(known) => known.home.into_iter().chain(known.former).collect(),
            None => vec![*object],
        }
    }

    /// Copies that an object wants which has no home yet, and its bytes.
    pub(super) fn size(&self, object: &Cid) -> Option<(u16, u64)> {
        self.objects.get(object).map(|known| (known.wanted, known.bytes))
    }

    /// What is placed under a root: the objects in a pack that still belong there, or the root itself.
    pub(super) fn members(&self, root: &Cid) -> Vec<Cid> {
        match self.homes.get(root) {
            Some(home) => self.left(root, home).copied().collect(),
            None => vec![*root],
        }
    }

    /// What of a home lives there.
    fn left<'a>(&'a self, root: &'a Cid, home: &'a Home) -> impl Iterator<Item = &'a Cid> {
        let lives_here = |known: &Small| known.home == Some(*root);
        home.members.iter().filter(move |member| self.objects.get(member).is_some_and(lives_here))
    }

    /// Whether an object waits for a home.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What waited long enough. Each group is to be given a home by [`Packs::settle`].
    pub(super) fn due(&self, now: Duration) -> Vec<Group> {
        let mut by_wanted: BTreeMap<u16, Vec<(&Cid, &Small, Duration)>> = BTreeMap::new();
        let mut groups = Vec::new();
        for (object, since) in &self.waiting {
            let Some(known) = self.objects.get(object) else { continue };
            if self.apart.contains(object) {
                let (members, bytes, wanted) = (vec![*object], known.bytes, known.wanted);
                groups.push(Group { members, bytes, wanted });
            } else {
                by_wanted.entry(known.wanted).or_default().push((object, known, *since));
            }
        }
        for (wanted, waiting) in by_wanted {
            let waited = |since: &Duration| now.saturating_sub(*since);
            let newest = waiting.iter().map(|(.., since)| waited(since)).min().unwrap_or_default();
            let oldest = waiting.iter().map(|(.., since)| waited(since)).max().unwrap_or_default();
            if newest < QUIET && oldest < LONGEST && waiting.len() < MEMBERS {
                continue;
            }
            let mut group = Group { members: Vec::new(), bytes: 0, wanted };
            for (object, known, _) in waiting {
                let bytes = group.bytes.saturating_add(known.bytes);
                let full = group.members.len() >= MEMBERS || bytes > PACK_BYTES;
                if full && !group.members.is_empty() {
                    groups.push(group);
                    group = Group { members: Vec::new(), bytes: 0, wanted };
                }
                group.members.push(*object);
                group.bytes += known.bytes;
            }
            groups.push(group);
        }
        groups
    }

    /// A group is placed under `root` from now on. What is wanted no longer, or in another number of
    /// copies, is in there too, but does not live there.
    pub(super) fn settle(&mut self, root: Cid, group: Group) {
        let Group { members, bytes, wanted } = group;
        for member in &members {
            if let Some(known) = self.objects.get_mut(member).filter(|m| m.wanted == wanted) {
                let before = known.home.replace(root).filter(|before| *before != root);
                // The oldest is the one that holds it for sure.
                known.former = known.former.or(before).filter(|former| *former != root);
                self.left.extend(before);
                self.waiting.remove(member);
            }
        }
        self.homes.insert(root, Home { members, bytes });
        // Not all of it may live there.
        self.left.insert(root);
    }

    /// All objects: copies wanted, and bytes.
    pub(super) fn all(&self) -> Vec<(Cid, u16, u64)> {
        let row = |(object, known): (&Cid, &Small)| (*object, known.wanted, known.bytes);
        self.objects.iter().map(row).collect()
    }

    /// Takes over from an earlier run which objects are placed by themselves, after all packs are known:
    /// those that wait for a home have it there; of the others that is one to be given up.
    pub(super) fn recall(&mut self, is_placed: impl Fn(&Cid) -> bool) {
        for (object, known) in self.objects.iter_mut().filter(|(object, _)| is_placed(object)) {
            self.homes.insert(*object, Home { members: vec![*object], bytes: known.bytes });
            match known.home {
                None => {
                    known.home = Some(*object);
                    self.waiting.remove(object);
                }
                Some(_) => known.former = Some(*object),
            }
            self.left.insert(*object);
        }
    }

    /// An object is wanted no longer. `false` if it was none of these.
    pub(super) fn remove(&mut self, object: &Cid) -> bool {
        self.waiting.remove(object);
        self.apart.remove(object);
        let known = self.objects.remove(object);
        self.left.extend(known.iter().flat_map(|known| known.home.into_iter().chain(known.former)));
        known.is_some()
    }

    /// A pack can't be given to anybody, because `missing` of it is not here: what lives there waits for
    /// another home, and what is missing gets one for itself.
    pub(super) fn give_up(&mut self, root: &Cid, missing: &BTreeSet<Cid>, now: Duration) {
        for object in self.members(root).into_iter().filter(|object| object != root) {
            self.waiting.entry(object).or_insert(now);
            if missing.contains(&object) {
                self.apart.insert(object);
            }
        }
    }

    /// Has what is left wait for another home: where it is less than half of what its home holds for it,
    /// and where many are by themselves.
    pub(super) fn rearrange(&mut self, now: Duration) {
        let mut moving: Vec<Cid> = Vec::new();
        for root in &self.left {
            let Some(home) = self.homes.get(root).filter(|home| home.members.len() > 1) else {
                continue;
            };
            let left: Vec<Cid> = self.left(root, home).copied().collect();
            let bytes: u64 = left.iter().filter_map(|member| Some(self.size(member)?.1)).sum();
            if bytes * 2 < home.bytes || left.len() * 2 < home.members.len() {
                moving.extend(left);
            }
        }
        let mut alone: BTreeMap<u16, Vec<Cid>> = BTreeMap::new();
        for (root, home) in self.homes.iter().filter(|(_, home)| home.members.len() == 1) {
            for member in self.left(root, home).filter(|member| !self.waiting.contains_key(member))
            {
                let wanted = self.size(member).map_or(0, |(wanted, _)| wanted);
                if !self.apart.contains(member) {
                    alone.entry(wanted).or_default().push(*member);
                }
            }
        }
        moving.extend(alone.into_values().filter(|alone| alone.len() >= ALONE).flatten());
        for object in moving {
            self.waiting.entry(object).or_insert(now);
        }
    }

    /// Homes that can be let go, and are forgotten here: everything that was put in is wanted no longer,
    /// or lives under another root that has its copies, if this one has any. `signed` says how many
    /// promises there are for a root, and whether they are enough.
    pub(super) fn empty(&mut self, signed: impl Fn(&Cid) -> (u16, bool)) -> Vec<Cid> {
        let gone = |root: &Cid, member: &Cid| match self.objects.get(member).map(|m| m.home) {
            None => true,
            Some(home) => {
                home.is_some_and(|home| home != *root && (signed(root).0 == 0 || signed(&home).1))
            }
        };
        let (mut empty, mut full) = (Vec::new(), Vec::new());
        for root in &self.left {
            let Some(home) = self.homes.get(root) else { continue };
            if home.members.iter().all(|member| gone(root, member)) {
                empty.push(*root);
            } else if self.left(root, home).count() == home.members.len() {
                full.push(*root);
            }
        }
        self.left.retain(|root| !full.contains(root) && !empty.contains(root));
        let gone = empty.iter().filter_map(|root| self.homes.remove(root));
        for member in gone.flat_map(|home| home.members) {
            if let Some(known) = self.objects.get_mut(&member) {
                known.former = known.former.filter(|former| !empty.contains(former));
            }
        }
        empty
    }
}

#[cfg(test)]
#[path = "packs_tests.rs"]
mod tests;
