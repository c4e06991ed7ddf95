//! Placement: which nodes signed that they keep a copy of an object.
//!
//! The owner asks; each holder answers with a [`Promise`] signed by its transport key once it has
//! everything durably; the owner signs the set as a [`PlacementRecord`]. Rendezvous hashing
//! ([`rank_holders`]) proposes holders once; from then on the record is what counts, and a change is
//! a record with a higher epoch.
//!
//! Layout: canonical DAG-CBOR. Key in the DHT: BLAKE3 over the placement domain, then the CID
//! (36 bytes), then the owner's `did` (32 bytes): everyone who places an object has their own record.

use serde::{Deserialize, Serialize};

use crate::{
    cbor::{self, CborError},
    cid::{Cid, Codec},
    identity::{Did, Identity, IdentityError, IdentityLog},
    limits,
    peer::{PeerId, TransportKey},
    sign::{BadSignature, Domain, Hash, PublicKey, SecretKey, Signature},
};

/// Why a promise or a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// A version that this build does not know.
    #[error("placement of version {0} is not known here, only 1; a newer Craftec may be")]
    Version(u16),
    /// The promise is about something else than was asked.
    #[error("the promise of {peer} is about another object, owner or epoch")]
    Mismatch {
        /// Who signed it.
        peer: PeerId,
    },
    /// Too many holders or shards, or a holder twice for the same.
    #[error("a placement names at most {limit} different holders or shards", limit = limits::HOLDERS)]
    Holders,
    /// The record belongs under another key.
    #[error("the record does not belong under this key")]
    Key,
    /// The identity log is another identity's, or its writer has no leave.
    #[error("the writer may not place objects for {0}")]
    NotAllowed(Did),
    /// A signature does not match.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// The identity log is invalid.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Not canonical DAG-CBOR.
    #[error(transparent)]
    Encoding(#[from] CborError),
}

/// A holder's word that it keeps a whole copy, or a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Version of this layout: 1.
    pub v: u16,
    /// The root of what it keeps: the object's, or a shard's.
    pub root: Cid,
    /// Bytes of all blocks below the root, itself included.
    pub bytes: u64,
    /// For whom.
    pub owner: Did,
    /// The owner's epoch for this object.
    pub epoch: u64,
    /// Who promises.
    pub holder: PeerId,
    /// Until when (ms since 1970); renewed by asking again.
    pub until_ms: u64,
}

/// A promise and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedPromise {
    /// The promise.
    pub promise: Promise,
    /// By the holder's transport key.
    pub sig: Signature,
}

impl SignedPromise {
    /// Signs; `promise.holder` must be the key's own peer id.
    pub fn sign(promise: Promise, key: &TransportKey) -> Result<Self, PlacementError> {
        let body = cbor::encode(&promise)?;
        let sig = Signature(key.sign(&Domain::Promise.message(&body)));
        Ok(Self { promise, sig })
    }

    /// Checks version and signature.
    pub fn verify(&self) -> Result<(), PlacementError> {
        if self.promise.v != 1 {
            return Err(PlacementError::Version(self.promise.v));
        }
        let key = PublicKey(*self.promise.holder.public_key());
        Ok(key.verify(Domain::Promise, &cbor::encode(&self.promise)?, &self.sig)?)
    }
}

/// Who keeps an object, under one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Version of this layout: 1.
    pub v: u16,
    /// The object's root.
    pub root: Cid,
    /// Whose placement this is.
    pub owner: Did,
    /// Grows with every change of the holders.
    pub epoch: u64,
    /// Copies wanted, or shards if it is coded.
    pub n: u16,
    /// The holders' own words. Promises of earlier epochs stay valid for holders that stayed.
    pub holders: Vec<SignedPromise>,
    /// The shards of a coded object by their number: the BLAKE3 hashes of their roots, which are
    /// DAG-CBOR blocks and list the pieces. Empty for copies.
    pub pieces: Vec<Hash>,
    /// The owner's wallet key or a device of theirs.
    pub writer: PublicKey,
    /// When it was written (ms since 1970).
    pub time_ms: u64,
}

/// What the DHT holds under a placement's key: enough to verify it alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// The placement.
    pub placement: Placement,
    /// By its writer.
    pub sig: Signature,
    /// The identity log that gives the writer leave.
    pub log: IdentityLog,
}

impl Placement {
    /// Whether holders may promise `root` under this placement: the object, or one of its shards.
    pub fn is_about(&self, root: &Cid) -> bool {
        let shard = |hash: &Hash| root.codec() == Codec::DagCbor && root.hash() == &hash.0;
        *root == self.root || self.pieces.iter().any(shard)
    }
}

impl PlacementRecord {
    /// Signs a placement.
    pub fn sign(
        placement: Placement,
        key: &SecretKey,
        log: IdentityLog,
    ) -> Result<Self, PlacementError> {
        let sig = key.sign(Domain::Placement, &cbor::encode(&placement)?);
        Ok(Self { placement, sig, log })
    }

    /// Verifies the record and every promise in it.
    pub fn verify(&self) -> Result<Identity, PlacementError> {
        let placement = &self.placement;
        if placement.v != 1 {
            return Err(PlacementError::Version(placement.v));
        }
        let identity = self.log.verify()?;
        let leave = identity.may_write(&placement.writer, "", placement.time_ms);
        if placement.owner != identity.did || !leave {
            return Err(PlacementError::NotAllowed(placement.owner));
        }
        let mut holders: Vec<_> =
            placement.holders.iter().map(|h| (h.promise.holder, h.promise.root)).collect();
        holders.sort_unstable();
        holders.dedup();
        let pieces = placement.pieces.len();
        let too_many = holders.len() > limits::HOLDERS || pieces > limits::HOLDERS;
        if holders.len() != placement.holders.len() || too_many {
            return Err(PlacementError::Holders);
        }
        for SignedPromise { promise, .. } in &placement.holders {
            let fits = placement.is_about(&promise.root)
                && promise.owner == placement.owner
                && promise.epoch <= placement.epoch;
            if !fits {
                return Err(PlacementError::Mismatch { peer: promise.holder });
            }
        }
        placement.holders.iter().try_for_each(SignedPromise::verify)?;
        placement.writer.verify(Domain::Placement, &cbor::encode(placement)?, &self.sig)?;
        Ok(identity)
    }

    /// Whether a store that holds `held` should take `self` (both verified, same key).
    pub fn replaces(&self, held: &PlacementRecord) -> bool {
        let age = |r: &PlacementRecord| (r.placement.epoch, r.placement.time_ms);
        age(self) > age(held)
    }
}

/// Where a placement is in the DHT.
pub fn placement_key(root: &Cid, owner: &Did) -> [u8; 32] {
    Domain::Placement.hash(&[root.to_bytes().as_slice(), &owner.0.0].concat())
}

/// Candidates in the order in which rendezvous hashing prefers them for `root`: highest
/// BLAKE3(root, peer) first. The order does not depend on who else is a candidate.
pub fn rank_holders(root: &Cid, candidates: impl IntoIterator<Item = PeerId>) -> Vec<PeerId> {
    let mut ranked: Vec<_> = candidates
        .into_iter()
        .map(|peer| {
            let weight = blake3::hash(&[root.to_bytes().as_slice(), peer.public_key()].concat());
            (std::cmp::Reverse(*weight.as_bytes()), peer)
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().map(|(_, peer)| peer).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wallet::Wallet;

    pub(crate) fn record(epoch: u64, holders: &[u8]) -> PlacementRecord {
        let wallet = Wallet::from_entropy([1; 32]);
        let log = IdentityLog::incept(&wallet).unwrap();
        let (root, owner) = (Cid::of(Codec::Raw, b"object"), log.verify().unwrap().did);
        let promise = |seed: &u8| {
            let key = TransportKey::from_seed([*seed; 32]);
            let holder = key.peer_id();
            let promise =
                Promise { v: 1, root, bytes: 6, owner, epoch, holder, until_ms: 1_000_000 };
            SignedPromise::sign(promise, &key).unwrap()
        };
        let key = wallet.identity_key(0);
        let placement = Placement {
            v: 1,
            root,
            owner,
            epoch,
            n: 3,
            holders: holders.iter().map(promise).collect(),
            pieces: vec![],
            writer: key.public(),
            time_ms: 1_000,
        };
        PlacementRecord::sign(placement, &key, log).unwrap()
    }

    #[test]
    fn a_record_stands_on_its_own() {
        record(1, &[10, 11, 12]).verify().unwrap();
        assert_eq!(record(1, &[10, 10]).verify(), Err(PlacementError::Holders));
        let mut moved = record(1, &[10]);
        moved.placement.holders[0].promise.bytes = 7;
        assert_eq!(moved.verify(), Err(BadSignature.into()));
        let mut other = record(1, &[10]);
        other.placement.holders[0].promise.root = Cid::of(Codec::Raw, b"else");
        assert!(matches!(other.verify(), Err(PlacementError::Mismatch { .. })));
        assert!(record(2, &[]).replaces(&record(1, &[10])));
        assert!(!record(1, &[10]).replaces(&record(1, &[10])));
    }

    #[test]
    fn holders_of_a_coded_object_promise_its_shards() {
        let shards = [Cid::of(Codec::DagCbor, b"0"), Cid::of(Codec::DagCbor, b"1")];
        let coded = |promised: [Cid; 2]| {
            let wallet = Wallet::from_entropy([1; 32]);
            let mut coded = record(1, &[]);
            coded.placement.pieces = shards.iter().map(|shard| Hash(*shard.hash())).collect();
            let (key, root) = (TransportKey::from_seed([10; 32]), coded.placement.root);
            let promise = |root| {
                let (owner, holder) = (coded.placement.owner, key.peer_id());
                let promise =
                    Promise { v: 1, root, bytes: 6, owner, epoch: 1, holder, until_ms: 1_000_000 };
                SignedPromise::sign(promise, &key).unwrap()
            };
            coded.placement.holders = promised.map(promise).to_vec();
            assert_ne!(root, promised[0]);
            PlacementRecord::sign(coded.placement, &wallet.identity_key(0), coded.log).unwrap()
        };
        coded(shards).verify().unwrap();
        assert_eq!(coded([shards[0]; 2]).verify(), Err(PlacementError::Holders));
        for other in [Cid::of(Codec::DagCbor, b"2"), Cid::from_hash(Codec::Raw, *shards[1].hash())]
        {
            let refused = coded([shards[0], other]).verify();
            assert!(matches!(refused, Err(PlacementError::Mismatch { .. })));
        }
    }

    #[test]
    fn rendezvous_order_does_not_depend_on_the_others() {
        let peers: Vec<_> = (0..20).map(|i| PeerId::from_public_key([i; 32])).collect();
        let root = Cid::of(Codec::Raw, b"object");
        let all = rank_holders(&root, peers.iter().copied());
        let half = rank_holders(&root, peers.iter().copied().take(10));
        let kept: Vec<_> = all.iter().filter(|p| half.contains(p)).copied().collect();
        assert_eq!(kept, half);
        let other = rank_holders(&Cid::of(Codec::Raw, b"other"), peers);
        assert_ne!(all, other);
    }
}
