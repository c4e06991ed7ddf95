//! Roots and nodes of an encrypted database: what holders must see stays open, the rest is sealed.
//!
//! A holder follows links as in any other database, so that it can fetch, keep, pin and let go of the
//! blocks without a key. What it does not see is which page a link is: links are sorted, and the order is
//! sealed. Golden bytes are in `tests/vectors/sealed.json`.
//!
//! A node's layout: canonical DAG-CBOR of a list of two: its links (sorted, each once; all raw at the
//! lowest level), and the sealed order. Opened, that is a list with the place of a link for each entry of
//! the [`Node`], or null. A root's: [`SealedRoot`]; opened, what is sealed in it is [`Hidden`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    ChangedPages, FANOUT, Holdings, KeyId, MAX_PAGES, NODE_BYTES, Node, PAGE_BYTES, ROOT_VERSION,
    Root, SEAL_BYTES, Seal, TableError,
    seal::Kind,
    share::{READERS, Reader, Share},
};
use crate::{Cid, Codec, cbor, limits, sign::Hash};

/// Version of the layout of roots of encrypted databases, and of the nodes below them.
pub const SEALED_VERSION: u16 = 2;
/// Longest encoding of a sealed node: a node's, and three bytes for each of its entries.
pub const SEALED_NODE_BYTES: usize = NODE_BYTES + FANOUT * 3 + SEAL_BYTES + 16;

/// A node as holders see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedNode(Vec<Cid>, ByteBuf);

impl SealedNode {
    /// Seals a node.
    pub fn of(node: &Node, seal: &Seal) -> Result<Self, TableError> {
        let links: Vec<Cid> = node.links().collect::<BTreeSet<_>>().into_iter().collect();
        let place = |link: &Cid| links.binary_search(link).ok().map(|place| place as u16);
        let order: Vec<Option<u16>> =
            node.entries().map(|link| link.as_ref().and_then(place)).collect();
        let sealed = seal.seal(Kind::Node, &cbor::encode(&order)?);
        Ok(Self(links, ByteBuf::from(sealed)))
    }

    /// Decodes a node. Its order is seen when it is opened.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let node: Self = cbor::decode(bytes, SEALED_NODE_BYTES)?;
        let is_sorted = node.0.is_sorted_by(|one, other| one < other);
        if node.0.is_empty() || node.0.len() > FANOUT || !is_sorted {
            return Err(TableError::Node { entries: node.0.len() });
        }
        Ok(node)
    }

    /// Its bytes.
    pub fn encode(&self) -> Result<Vec<u8>, TableError> {
        Ok(cbor::encode_sized(self, SEALED_NODE_BYTES)?)
    }

    /// What it names, in no order that says anything.
    pub fn links(&self) -> impl Iterator<Item = Cid> {
        self.0.iter().copied()
    }

    /// The node, in its order.
    pub fn open(&self, seal: &Seal) -> Result<Node, TableError> {
        let order: Vec<Option<u16>> =
            cbor::decode(&seal.open(Kind::Node, &self.1)?, FANOUT * 3 + 3)?;
        let entries = order.len();
        let mut used = BTreeSet::new();
        let link = |place: Option<u16>| match place {
            None => Ok(None),
            Some(place) => {
                used.insert(place);
                self.0
                    .get(usize::from(place))
                    .copied()
                    .map(Some)
                    .ok_or(TableError::Node { entries })
            }
        };
        let links = order.into_iter().map(link).collect::<Result<Vec<_>, _>>()?;
        // Holders keep what is named: a link that no entry has would be kept for nothing.
        if used.len() != self.0.len() {
            return Err(TableError::Node { entries });
        }
        Node::checked(links)
    }
}

/// What of a root only those who have the key know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hidden {
    schema: Hash,
    parent: Option<Cid>,
    changed: Option<ChangedPages>,
    readers: Vec<Reader>,
}

/// A snapshot of an encrypted database, as holders see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRoot {
    /// Version of this layout: 2.
    pub v: u16,
    /// Bytes of a page: 4096.
    pub page_bytes: u32,
    /// How many pages the database has.
    pub pages: u32,
    /// Top of the page table; none if there are no pages.
    pub table: Option<Cid>,
    /// What else belongs to the database.
    pub holdings: Holdings,
    /// Which key it is under.
    pub key: KeyId,
    /// The key, for each reader that it was shared with, sorted: whose a share is cannot be seen.
    pub shares: Vec<Share>,
    /// The rest.
    sealed: ByteBuf,
}

impl SealedRoot {
    /// Seals a root, for those who have the key and these readers.
    pub fn of(root: &Root, readers: &[Reader], seal: &Seal) -> Result<Self, TableError> {
        root.check()?;
        let mut shares: Vec<Share> =
            readers.iter().map(|reader| Share::of(seal, reader)).collect::<Result<_, _>>()?;
        shares.sort_unstable();
        let hidden = Hidden {
            schema: root.schema,
            parent: root.parent,
            changed: root.changed.clone(),
            readers: readers.to_vec(),
        };
        let sealed = Self {
            v: SEALED_VERSION,
            page_bytes: root.page_bytes,
            pages: root.pages,
            table: root.table,
            holdings: root.holdings.clone(),
            key: seal.id(),
            shares,
            sealed: ByteBuf::from(seal.seal(Kind::Root, &cbor::encode(&hidden)?)),
        };
        sealed.check()?;
        Ok(sealed)
    }

    /// Decodes a root and checks what can be checked without the key.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let root: Self = cbor::decode(bytes, limits::BLOCK_BYTES)?;
        root.check()?;
        Ok(root)
    }

    /// Its CID and its bytes.
    pub fn block(&self) -> Result<(Cid, Vec<u8>), TableError> {
        self.check()?;
        let bytes = cbor::encode(self)?;
        Ok((Cid::of(Codec::DagCbor, &bytes), bytes))
    }

    /// The root, and with whom the database is shared.
    pub fn open(&self, seal: &Seal) -> Result<(Root, Vec<Reader>), TableError> {
        if seal.id() != self.key {
            return Err(TableError::Locked);
        }
        let hidden = seal.open(Kind::Root, &self.sealed)?;
        let Hidden { schema, parent, changed, readers } =
            cbor::decode(&hidden, limits::BLOCK_BYTES)?;
        let root = Root { schema, parent, changed, ..self.outline() };
        root.check()?;
        Ok((root, readers))
    }

    /// What can be seen of it without the key.
    pub fn outline(&self) -> Root {
        let (pages, table, holdings) = (self.pages, self.table, self.holdings.clone());
        Root {
            v: ROOT_VERSION,
            page_bytes: self.page_bytes,
            pages,
            table,
            schema: Hash([0; 32]),
            parent: None,
            changed: None,
            holdings,
        }
    }

    fn check(&self) -> Result<(), TableError> {
        if self.v != SEALED_VERSION {
            return Err(TableError::Version(self.v));
        }
        if self.page_bytes as usize != PAGE_BYTES {
            return Err(TableError::PageSize(self.page_bytes));
        }
        if self.pages > MAX_PAGES {
            return Err(TableError::TooManyPages { pages: self.pages, limit: MAX_PAGES });
        }
        if self.shares.len() > READERS || !self.shares.is_sorted_by(|one, other| one < other) {
            return Err(TableError::Shares);
        }
        self.outline().check()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{database::DatabaseKey, identity::Did, sign::SecretKey};

    fn seal(byte: u8) -> Seal {
        Seal::new(KeyId([byte; 16]), DatabaseKey([byte; 32]))
    }

    fn page(number: u32) -> Cid {
        Cid::of(Codec::Raw, &number.to_be_bytes())
    }

    fn reader(byte: u8) -> (Reader, SecretKey) {
        let secret = SecretKey::from_seed([byte; 32]);
        (Reader { did: Did(Hash([byte; 32])), key: secret.public() }, secret)
    }

    #[test]
    fn a_root_opens_for_its_owner_and_its_readers() {
        let readers = [reader(3), reader(4)];
        let named = readers.each_ref().map(|(reader, _)| *reader);
        let root = Root {
            schema: Hash([7; 32]),
            parent: Some(Cid::of(Codec::DagCbor, b"before")),
            changed: ChangedPages::of([2, 3]),
            ..Root::new(300, Some(Cid::of(Codec::DagCbor, b"a table")))
        };
        let (_, bytes) = SealedRoot::of(&root, &named, &seal(1)).unwrap().block().unwrap();
        let sealed = SealedRoot::decode(&bytes).unwrap();
        assert_eq!(sealed.open(&seal(1)).unwrap(), (root.clone(), named.to_vec()));
        assert_eq!(sealed.open(&seal(2)), Err(TableError::Locked));
        let other = Seal::new(KeyId([1; 16]), DatabaseKey([2; 32]));
        assert_eq!(sealed.open(&other), Err(TableError::Locked), "another key by that id");
        for (_, secret) in &readers {
            let seal = sealed.shares.iter().find_map(|share| share.open(sealed.key, secret));
            assert_eq!(sealed.open(&seal.unwrap()).unwrap().0, root);
        }
        let parent = root.parent.unwrap();
        assert!(!bytes.windows(32).any(|part| part == parent.hash() || part == [7; 32]));
        let who = readers[0].0;
        assert!(!bytes.windows(32).any(|part| part == who.did.0.0 || part == who.key.0));
        assert!(Root::decode(&bytes).is_err(), "an older Craftec does not take it for another");
    }

    #[test]
    fn what_is_out_of_order_or_too_much_is_refused() {
        let readers: Vec<Reader> = (0..=READERS as u32)
            .map(|number| {
                let mut seed = [1; 32];
                seed[..4].copy_from_slice(&number.to_be_bytes());
                Reader { did: Did(Hash(seed)), key: SecretKey::from_seed(seed).public() }
            })
            .collect();
        let root = Root::new(1, Some(Cid::of(Codec::DagCbor, b"a table")));
        assert_eq!(SealedRoot::of(&root, &readers, &seal(1)), Err(TableError::Shares));
        let most = SealedRoot::of(&root, &readers[1..], &seal(1)).unwrap();
        SealedRoot::decode(&most.block().unwrap().1).unwrap();
        let (mut twice, mut other) = (most.clone(), most.clone());
        twice.shares[0] = twice.shares[1].clone();
        other.v = 3;
        let bytes = |root: &SealedRoot| cbor::encode(root).unwrap();
        assert_eq!(SealedRoot::decode(&bytes(&twice)), Err(TableError::Shares));
        assert_eq!(SealedRoot::decode(&bytes(&other)), Err(TableError::Version(3)));
        let tables = [None, Some(page(1))];
        for table in tables {
            let changed = SealedRoot { table, ..most.clone() };
            assert!(SealedRoot::decode(&bytes(&changed)).is_err());
        }
    }

    #[test]
    fn a_node_names_what_its_order_has_and_nothing_else() {
        let node = Node::of([Some(page(1)), None, Some(page(2))].into_iter()).unwrap();
        let sealed = SealedNode::of(&node, &seal(1)).unwrap();
        let mut more = sealed.clone();
        more.0.push(page(3));
        more.0.sort();
        let decoded = SealedNode::decode(&more.encode().unwrap()).unwrap();
        assert!(matches!(decoded.open(&seal(1)), Err(TableError::Node { .. })));
        let mut fewer = sealed.clone();
        fewer.0.pop();
        assert!(fewer.open(&seal(1)).is_err());
        let mut unsorted = sealed;
        unsorted.0.reverse();
        assert!(SealedNode::decode(&unsorted.encode().unwrap()).is_err());
        assert!(SealedNode::decode(&node.encode().unwrap()).is_err());
        assert!(Node::decode(&decoded.encode().unwrap()).is_err());
    }

    #[test]
    fn the_largest_node_fits() {
        let node = Node::of((0..256).map(|number| Some(page(number)))).unwrap();
        let bytes = SealedNode::of(&node, &seal(1)).unwrap().encode().unwrap();
        assert!(bytes.len() <= SEALED_NODE_BYTES, "{}", bytes.len());
        assert_eq!(SealedNode::decode(&bytes).unwrap().open(&seal(1)).unwrap(), node);
    }

    proptest! {
        #[test]
        fn every_node_comes_back_and_shows_its_links_sorted(
            entries in prop::collection::vec(prop::option::of(0u32..40), 1..FANOUT),
        ) {
            if let Some(node) = Node::of(entries.iter().map(|entry| entry.map(page))) {
                let bytes = SealedNode::of(&node, &seal(1)).unwrap().encode().unwrap();
                let sealed = SealedNode::decode(&bytes).unwrap();
                prop_assert_eq!(sealed.open(&seal(1)), Ok(node.clone()));
                prop_assert_eq!(sealed.open(&seal(2)), Err(TableError::Locked));
                let links: BTreeSet<Cid> = node.links().collect();
                prop_assert!(sealed.links().eq(links));
            }
        }

        #[test]
        fn random_bytes_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(node) = SealedNode::decode(&bytes) {
                prop_assert_eq!(node.encode().unwrap(), bytes.clone());
                drop(node.open(&seal(1)));
            }
            if let Ok(root) = SealedRoot::decode(&bytes) {
                drop(root.open(&seal(1)));
            }
        }
    }
}
