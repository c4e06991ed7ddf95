//! What a node remembers of each of its databases.
//!
//! In the store's namespace `Database`, key the database's name, value canonical DAG-CBOR of
//! [`DatabaseRecord`], at most [`RECORD_BYTES`]. Version 1 had no branches, knew one name, and not which
//! root that had been given; version 2 no keys. Both are read, and written as version 3.

use craftec_api::Retention;
use craftec_core::{Cid, cbor, database::KeyId, limits};
use craftec_obj::StoreError;
use serde::{Deserialize, Serialize};

/// Version of the structure.
const VERSION: u8 = 3;
/// Names under which one database is published, with what is remembered of each.
const NAMES: usize = 16;
/// Branches of one database.
pub(crate) const BRANCHES: usize = 64;
/// Roots of drafts that are remembered.
const SHOWN: usize = 8;
/// Largest encoded record: names and branches, each with 255 bytes of name and two CIDs; drafts.
const RECORD_BYTES: usize =
    (NAMES + BRANCHES + 2) * 512 + NAMES * (limits::RECORD_BYTES + 512 + SHOWN * 64);

/// A name that a database was published under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    /// The name.
    pub(crate) name: String,
    /// The root that its head had when this database was published there, or taken from there, last.
    /// What is written now stands on that. None where version 1 did not say: then on the head as it is.
    pub(crate) root: Option<Cid>,
    /// Where two heads contradicted each other, the root of the other, which the database holds too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<Cid>,
}

/// Work that is kept by name, because the head had moved on when it was to be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Branch {
    /// Its name.
    pub(crate) name: String,
    /// The snapshot.
    pub(crate) root: Cid,
    /// The published root that it stands on; none if it stands on nothing.
    pub(crate) base: Option<Cid>,
    /// When it was kept (ms since 1970).
    pub(crate) time_ms: u64,
    /// Whether the database holds it with what was published meanwhile. It goes with the next
    /// publication.
    pub(crate) merged: bool,
}

/// A publication that waits until other nodes are there to be asked for a newer head, and have this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The name.
    pub(crate) name: String,
    /// The root.
    pub(crate) root: Cid,
    /// The head that was signed last for the name, as a record of the DHT: somebody may have seen it, so
    /// that no other is signed with its number.
    #[serde(with = "serde_bytes")]
    pub(crate) draft: Option<Vec<u8>>,
    /// Roots of heads that were signed for it before, the newest last: also those may have been seen.
    pub(crate) shown: Vec<Cid>,
}

/// What is remembered of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DatabaseRecord {
    v: u8,
    /// When it was created (ms since 1970).
    pub(crate) time_ms: u64,
    /// The snapshot that was taken last.
    pub(crate) root: Option<Cid>,
    /// Names, the last used first.
    names: Vec<Published>,
    /// What waits to be published, each name once.
    pub(crate) waiting: Vec<Waiting>,
    /// Work that is kept, the oldest first.
    pub(crate) branches: Vec<Branch>,
    /// Which key it is under; none if it is not encrypted. The keys themselves come from the wallet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<KeyId>,
    /// The key that it is going over to, or may have gone over to when power failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_key: Option<KeyId>,
    /// Which of its snapshots stay; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retention: Option<Retention>,
}

/// Version 1.
#[derive(Serialize, Deserialize)]
struct First {
    v: u8,
    time_ms: u64,
    root: Option<Cid>,
    published: Option<String>,
}

/// The version of a record: canonical DAG-CBOR has the shortest key first.
fn version(value: &[u8]) -> Option<u8> {
    match value {
        [_, 0x61, b'v', version @ 0..24, ..] => Some(*version),
        _ => None,
    }
}

impl DatabaseRecord {
    /// Of a database that is new.
    pub(crate) fn new(time_ms: u64) -> Self {
        Self {
            v: VERSION,
            time_ms,
            root: None,
            names: Vec::new(),
            waiting: Vec::new(),
            branches: Vec::new(),
            key: None,
            next_key: None,
            retention: None,
        }
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, StoreError> {
        match version(value) {
            Some(1) => {
                let First { v: _, time_ms, root, published } = cbor::decode(value, RECORD_BYTES)?;
                let names = published.map(|name| Published { name, root: None, beside: None });
                let names = names.into_iter().collect();
                Ok(Self { root, names, ..Self::new(time_ms) })
            }
            Some(v) if v > VERSION => {
                Err(StoreError::Newer { found: v.into(), known: VERSION.into() })
            }
            _ => Ok(Self { v: VERSION, ..cbor::decode(value, RECORD_BYTES)? }),
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        Ok(cbor::encode(self)?)
    }

    /// The name under which it was published last.
    pub(crate) fn published(&self) -> Option<&Published> {
        self.names.first()
    }

    /// What is remembered of a name.
    pub(crate) fn of_name(&self, name: &str) -> Option<&Published> {
        self.names.iter().find(|known| known.name == name)
    }

    /// From now on it stands on `root`, as the head of `name` says. The oldest name goes for a 17th.
    pub(crate) fn stands_on(&mut self, name: &str, root: Cid) {
        self.names.retain(|known| known.name != name);
        let (name, root) = (name.to_owned(), Some(root));
        self.names.insert(0, Published { name, root, beside: None });
        self.names.truncate(NAMES);
    }

    /// From now on it stands on both of two roots that heads of `name` with one number say.
    pub(crate) fn stands_on_both(&mut self, name: &str, root: Cid, beside: Cid) {
        self.stands_on(name, root);
        if let Some(known) = self.names.first_mut() {
            known.beside = Some(beside);
        }
    }

    /// What waits to be published under a name.
    pub(crate) fn waits_for(&self, name: &str) -> Option<&Waiting> {
        self.waiting.iter().find(|waiting| waiting.name == name)
    }

    /// Lets a root wait to be published, with the head that was signed for it. `false` if there is no room
    /// for another name.
    pub(crate) fn wait(&mut self, name: &str, root: Cid, draft: Option<Vec<u8>>) -> bool {
        let before = self.waiting.iter().position(|waiting| waiting.name == name);
        let mut shown = match before {
            Some(at) => {
                let before = self.waiting.remove(at);
                let mut shown = before.shown;
                shown.extend(before.draft.map(|_| before.root).filter(|it| *it != root));
                shown
            }
            None if self.waiting.len() >= NAMES => return false,
            None => Vec::new(),
        };
        shown.drain(..shown.len().saturating_sub(SHOWN));
        self.waiting.push(Waiting { name: name.to_owned(), root, draft, shown });
        true
    }

    /// Roots that no rule lets go: what a name says or is to say, what a branch is or stands on, and the
    /// one that was taken last.
    pub(crate) fn held(&self) -> impl Iterator<Item = Cid> {
        let named = self.names.iter().flat_map(|known| known.root.into_iter().chain(known.beside));
        let waiting = self.waiting.iter().flat_map(|it| it.shown.iter().copied().chain([it.root]));
        let branches = self.branches.iter().flat_map(|it| it.base.into_iter().chain([it.root]));
        self.root.into_iter().chain(named).chain(waiting).chain(branches)
    }

    /// Whether a root is one of those.
    pub(crate) fn holds(&self, root: &Cid) -> bool {
        self.held().any(|held| held == *root)
    }

    /// Keeps work by a name, which is given. Work on the same base takes the place of what was kept of
    /// it before: the database still holds that. `None` if there is no room.
    pub(crate) fn branch(&mut self, root: Cid, base: Option<Cid>, time_ms: u64) -> Option<&Branch> {
        let again = self.branches.iter().position(|it| it.base == base && !it.merged);
        let at = match again {
            Some(at) => at,
            None if self.branches.len() >= BRANCHES => return None,
            None => {
                let taken = |name: &String| self.branches.iter().any(|it| it.name == *name);
                let name = (1..).map(|n| format!("work-{n}")).find(|name| !taken(name))?;
                self.branches.push(Branch { name, root, base, time_ms, merged: false });
                self.branches.len() - 1
            }
        };
        let branch = self.branches.get_mut(at)?;
        (branch.root, branch.time_ms) = (root, time_ms);
        Some(branch)
    }
}

#[cfg(test)]
mod tests {
    use craftec_core::Codec;

    use super::*;

    fn cid(text: &str) -> Cid {
        Cid::of(Codec::DagCbor, text.as_bytes())
    }

    #[test]
    fn earlier_versions_are_read_and_the_bytes_stay() {
        let (root, published) = (Some(cid("root")), Some("shop".to_owned()));
        let one = cbor::encode(&First { v: 1, time_ms: 7, root, published }).expect("bytes");
        let mut record = DatabaseRecord::decode(&one).expect("version 1");
        let shop = Published { name: "shop".to_owned(), root: None, beside: None };
        assert_eq!(record.published(), Some(&shop));
        record.stands_on("shop", cid("new"));
        record.branch(cid("work"), Some(cid("root")), 9).expect("room");
        assert!(record.wait("shop", cid("new"), Some(vec![1, 2, 3])));
        assert!(record.wait("shop", cid("newer"), Some(vec![4])));
        assert_eq!(record.waits_for("shop").expect("it waits").shown, [cid("new")]);
        let bytes = record.encode().expect("bytes");
        assert_eq!(DatabaseRecord::decode(&bytes).expect("version 3"), record);
        let two = DatabaseRecord { v: 2, ..record.clone() }.encode().expect("bytes");
        assert_eq!(DatabaseRecord::decode(&two).expect("version 2"), record);
        (record.key, record.next_key) = (Some(KeyId([1; 16])), Some(KeyId([2; 16])));
        record.retention = Some(Retention { last: 3, days: 1 });
        let bytes = record.encode().expect("bytes");
        assert_eq!(DatabaseRecord::decode(&bytes).expect("with keys"), record);
        // The layout: these bytes are on people's disks.
        let hash = Cid::of(Codec::DagCbor, &bytes).to_string();
        assert_eq!(hash, "bafyr4igiv6b54z3ufqtwhuhgp4jztm4ojlnossdvfcrii5ytfuchnj2jbm");
        let newer = cbor::encode(&only(4)).expect("bytes");
        assert!(matches!(DatabaseRecord::decode(&newer), Err(StoreError::Newer { found: 4, .. })));
    }

    fn only(v: u8) -> impl Serialize {
        #[derive(Serialize)]
        struct Only {
            v: u8,
        }
        Only { v }
    }

    #[test]
    fn work_on_one_base_is_one_branch_and_there_is_an_end_to_branches() {
        let mut record = DatabaseRecord::new(0);
        for n in 0..BRANCHES {
            let base = Some(cid(&n.to_string()));
            let name = record.branch(cid("a"), base, 1).expect("room").name.clone();
            assert_eq!(name, format!("work-{}", n + 1));
            assert_eq!(record.branch(cid("b"), base, 2).expect("the same").name, name);
        }
        assert_eq!(record.branch(cid("c"), Some(cid("another")), 3), None);
        record.branches.remove(0);
        assert_eq!(record.branch(cid("c"), None, 3).expect("room").name, "work-1");
        for n in 0..=NAMES {
            record.stands_on(&n.to_string(), cid("a"));
        }
        assert_eq!(
            (record.of_name("0"), record.published().expect("one").name.as_str()),
            (None, "16")
        );
        assert!(record.encode().expect("bytes").len() < RECORD_BYTES);
    }
}
