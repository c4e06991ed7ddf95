//! Heads: the only mutable thing. A head says which root a name of an identity has now.
//!
//! Heads of one name form a chain: `seq` grows by one and `prev` is the hash of the head before. Two
//! different heads with one `seq` are an equivocation; both together are its proof and are kept,
//! because a reader must be told and must not be given a silent choice. Only their author can go on
//! from there, with a head that names both ([`Settled`]), and the proof goes along with what follows.
//! Rollback can be noticed only by someone who saw a newer head; nothing here pretends otherwise.
//!
//! Layout: canonical DAG-CBOR of [`HeadRecord`]. The signature covers the DAG-CBOR of [`Head`].
//! Key in the DHT: BLAKE3 over the head domain, then `did` (32 bytes), then the length of the name
//! (4 bytes, big endian), then the name.

use serde::{Deserialize, Serialize};

use crate::{
    cbor::{self, CborError},
    cid::Cid,
    identity::{Did, Identity, IdentityError, IdentityLog},
    limits,
    sign::{BadSignature, Domain, Hash, PublicKey, SecretKey, Signature, base32},
};

/// How far a head's time may lie ahead of the verifier's clock.
const CLOCK_SKEW_MS: u64 = 10 * 60 * 1000;

/// Why a head is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A version that this build does not know.
    #[error("heads of version {0} are not known here, only 1; a newer Craftec may be")]
    Version(u16),
    /// The name is empty, too long, or holds what a name may not.
    #[error("`{0}` is not a name: 1 to 255 bytes without `/` and control characters")]
    Name(String),
    /// The record belongs under another key.
    #[error("the record does not belong under this key")]
    Key,
    /// Its identity log is for somebody else.
    #[error("the head is of {head}, its identity log of {log}")]
    Foreign {
        /// Named by the head.
        head: Did,
        /// Proven by the log.
        log: Did,
    },
    /// The writer has no leave for this name at this time.
    #[error("the writer may not write `{name}`")]
    NotAllowed {
        /// The name.
        name: String,
    },
    /// Dated in the future.
    #[error("the head is dated {ahead_ms} ms ahead of this node's clock")]
    Future {
        /// How far.
        ahead_ms: u64,
    },
    /// Expires before it was written.
    #[error("the head expires before it was written")]
    Expiry,
    /// The first head has a predecessor, or a later one has none.
    #[error("head {seq}: `prev` does not fit its place")]
    Broken {
        /// The head's number.
        seq: u64,
    },
    /// Not the next link of the chain that is held: somebody else wrote, or the writer forgot.
    #[error("head {seq} does not follow the head {held} that is held here")]
    Fork {
        /// The offered number.
        seq: u64,
        /// The held number.
        held: u64,
    },
    /// Two heads that do not contradict each other.
    #[error("the two heads are not an equivocation")]
    NoEquivocation,
    /// A head that is to settle an equivocation does not follow both of its heads.
    #[error("the head does not settle the two that contradict each other")]
    NotSettled,
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

/// Which root a name has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of this layout: 1.
    pub v: u16,
    /// Whose.
    pub did: Did,
    /// The name, unique per identity.
    pub name: String,
    /// Its number, from 0.
    pub seq: u64,
    /// What the name points to.
    pub root: Cid,
    /// [`SignedHead::hash`] of the head before, or [`Settled::prev`] of two; `None` for number 0.
    pub prev: Option<Hash>,
    /// Who wrote it: the wallet key or a delegated device.
    pub writer: PublicKey,
    /// Epoch of the writer's lease on this name (0 where one device writes).
    pub epoch: u64,
    /// When it was written (ms since 1970).
    pub time_ms: u64,
    /// When it stops being fresh (ms since 1970).
    pub expires_ms: u64,
}

/// A head and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// The head.
    pub head: Head,
    /// By its writer.
    pub sig: Signature,
}

impl SignedHead {
    /// Signs `head`; its `writer` must be the key's public side.
    pub fn sign(head: Head, key: &SecretKey) -> Result<Self, HeadError> {
        let sig = key.sign(Domain::Head, &cbor::encode(&head)?);
        Ok(Self { head, sig })
    }

    /// Hash of the head without its signature.
    pub fn hash(&self) -> Result<Hash, HeadError> {
        Ok(Hash(Domain::Head.hash(&cbor::encode(&self.head)?)))
    }

    fn verify(&self, identity: &Identity, now_ms: u64) -> Result<(), HeadError> {
        let head = &self.head;
        if head.v != 1 {
            return Err(HeadError::Version(head.v));
        }
        check_name(&head.name)?;
        if head.did != identity.did {
            return Err(HeadError::Foreign { head: head.did, log: identity.did });
        }
        if head.prev.is_some() != (head.seq > 0) {
            return Err(HeadError::Broken { seq: head.seq });
        }
        if head.expires_ms <= head.time_ms {
            return Err(HeadError::Expiry);
        }
        let ahead_ms = head.time_ms.saturating_sub(now_ms);
        if ahead_ms > CLOCK_SKEW_MS {
            return Err(HeadError::Future { ahead_ms });
        }
        if !identity.may_write(&head.writer, &head.name, head.time_ms) {
            return Err(HeadError::NotAllowed { name: head.name.clone() });
        }
        Ok(head.writer.verify(Domain::Head, &cbor::encode(head)?, &self.sig)?)
    }
}

/// A name that heads can have: 1 to 255 bytes, no `/`, no control characters, not `.` or `..`.
pub fn check_name(name: &str) -> Result<(), HeadError> {
    let fits = (1..=limits::NAME_BYTES).contains(&name.len())
        && !name.chars().any(|c| c == '/' || c.is_control())
        && name != "."
        && name != "..";
    if fits { Ok(()) } else { Err(HeadError::Name(name.chars().take(80).collect())) }
}

/// Where the heads of a name are in the DHT.
pub fn head_key(did: &Did, name: &str) -> [u8; 32] {
    let len = (name.len() as u32).to_be_bytes();
    Domain::Head.hash(&[did.0.0.as_slice(), &len, name.as_bytes()].concat())
}

/// The host label of a name: `n` and the head's DHT key in base32 (53 characters, a DNS label).
pub fn label(did: &Did, name: &str) -> String {
    format!("n{}", base32(&head_key(did, name)))
}

/// The DHT key behind a host label, if it is one.
pub fn key_of_label(label: &str) -> Option<[u8; 32]> {
    let bytes = data_encoding::BASE32_NOPAD_NOCASE.decode(label.strip_prefix('n')?.as_bytes());
    let key: [u8; 32] = bytes.ok()?.try_into().ok()?;
    (format!("n{}", base32(&key)) == label).then_some(key)
}

/// An equivocation that its author has settled. Canonical DAG-CBOR of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The head that was to be followed, the one whose hash comes first.
    pub one: SignedHead,
    /// The other with its number.
    pub other: SignedHead,
    /// The head that followed both.
    pub by: SignedHead,
}

impl Settled {
    /// What a head says before it that follows two: the hash, in the domain of heads, of both hashes.
    pub fn prev(one: &SignedHead, other: &SignedHead) -> Result<Hash, HeadError> {
        let both = [one.hash()?.0, other.hash()?.0].concat();
        Ok(Hash(Domain::Head.hash(&both)))
    }

    fn verify(&self, head: &SignedHead, identity: &Identity, now_ms: u64) -> Result<(), HeadError> {
        let Self { one, other, by } = self;
        for head in [one, other, by] {
            head.verify(identity, now_ms)?;
        }
        let is_named = by.head.name == head.head.name && by.head.name == one.head.name;
        // A head that followed one of them only may have had the next number.
        let follows = by.head.seq > one.head.seq
            && by.head.prev == Some(Self::prev(one, other)?)
            && by.head.seq <= head.head.seq;
        if !contradict(one, other)? || !is_named || !follows {
            return Err(HeadError::NotSettled);
        }
        Ok(())
    }
}

/// Whether two verified heads of one identity are the two of a proof, in its order.
fn contradict(one: &SignedHead, other: &SignedHead) -> Result<bool, HeadError> {
    let same_place = one.head.name == other.head.name && one.head.seq == other.head.seq;
    Ok(same_place && one.hash()? < other.hash()?)
}

/// What the DHT holds under a head's key: enough to verify it alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRecord {
    /// The newest head known, or the first of two that contradict each other.
    pub head: SignedHead,
    /// The other head of an equivocation.
    pub rival: Option<SignedHead>,
    /// The last equivocation before it, which its author has settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Box<Settled>>,
    /// The identity log that gives the writers leave.
    pub log: IdentityLog,
}

impl HeadRecord {
    /// Verifies everything in the record against the verifier's clock.
    pub fn verify(&self, now_ms: u64) -> Result<Identity, HeadError> {
        let identity = self.log.verify()?;
        self.head.verify(&identity, now_ms)?;
        if let Some(rival) = &self.rival {
            rival.verify(&identity, now_ms)?;
            if !contradict(&self.head, rival)? {
                return Err(HeadError::NoEquivocation);
            }
        }
        if let Some(settled) = &self.settled {
            settled.verify(&self.head, &identity, now_ms)?;
        }
        Ok(identity)
    }

    /// The proof that `self` and `other` contradict each other, if they do.
    pub fn equivocation(&self, other: &HeadRecord) -> Result<Option<HeadRecord>, HeadError> {
        let (a, b) = (&self.head, &other.head);
        let same_place =
            a.head.did == b.head.did && a.head.name == b.head.name && a.head.seq == b.head.seq;
        if !same_place || a.head == b.head {
            return Ok(None);
        }
        let log = if other.log.extends(&self.log) { &other.log } else { &self.log };
        let (first, second) = if a.hash()? < b.hash()? { (a, b) } else { (b, a) };
        let by = |record: &&HeadRecord| record.settled.as_ref().map(|settled| settled.by.head.seq);
        let later = [self, other].into_iter().max_by_key(by).unwrap_or(self);
        let (head, rival, settled) = (first.clone(), Some(second.clone()), later.settled.clone());
        Ok(Some(HeadRecord { head, rival, settled, log: log.clone() }))
    }

    /// Whether a store that holds `held` should take `self` (both verified, same key).
    ///
    /// A proof of equivocation beats everything and stays, until its author settles it. Else the
    /// higher number wins, if it can follow what is held. Two different heads with one number are for
    /// [`equivocation`](Self::equivocation); here the held one stays.
    pub fn replaces(&self, held: &HeadRecord) -> Result<bool, HeadError> {
        if self.settles(held) {
            return Ok(true);
        }
        if held.rival.is_some() || held.settles(self) {
            return Ok(false);
        }
        if self.rival.is_some() {
            return Ok(true);
        }
        let (new, old) = (&self.head.head, &held.head.head);
        if new.seq == old.seq + 1 && new.prev != Some(held.head.hash()?) {
            return Err(HeadError::Fork { seq: new.seq, held: old.seq });
        }
        let longer_log = self.log.events.len() > held.log.events.len();
        Ok(new.seq > old.seq || (new == old && longer_log && self.log.extends(&held.log)))
    }

    /// Whether its author settled a contradiction with a later number than `held` has: what was held,
    /// one side of it or the proof, is over.
    pub fn settles(&self, held: &HeadRecord) -> bool {
        let later = |settled: &Settled| settled.by.head.seq > held.head.head.seq;
        self.settled.as_deref().is_some_and(later)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{cid::Codec, identity::Delegation, wallet::Wallet};

    pub(crate) fn record(seq: u64, root: &[u8], prev: Option<Hash>) -> HeadRecord {
        let wallet = Wallet::from_entropy([1; 32]);
        let device = SecretKey::from_seed([5; 32]);
        let mut log = IdentityLog::incept(&wallet).unwrap();
        let leave = Delegation { device: device.public(), names: None, expires_ms: 1_000_000_000 };
        log.delegate(&wallet, leave).unwrap();
        let head = Head {
            v: 1,
            did: log.verify().unwrap().did,
            name: "blog".to_owned(),
            seq,
            root: Cid::of(Codec::Raw, root),
            prev,
            writer: device.public(),
            epoch: 0,
            time_ms: 1_000,
            expires_ms: 2_000,
        };
        HeadRecord {
            head: SignedHead::sign(head, &device).unwrap(),
            rival: None,
            settled: None,
            log,
        }
    }

    #[test]
    fn a_chain_moves_forward_only() {
        let first = record(0, b"one", None);
        let second = record(1, b"two", Some(first.head.hash().unwrap()));
        second.verify(1_000).unwrap();
        assert_eq!(second.replaces(&first), Ok(true));
        assert_eq!(first.replaces(&second), Ok(false));
        assert_eq!(second.replaces(&second), Ok(false));
        let astray = record(1, b"two", Some(Hash([0; 32])));
        assert_eq!(astray.replaces(&first), Err(HeadError::Fork { seq: 1, held: 0 }));
    }

    #[test]
    fn two_heads_with_one_number_prove_an_equivocation_for_ever() {
        let (a, b) = (record(0, b"one", None), record(0, b"other", None));
        assert_eq!(a.replaces(&b), Ok(false));
        let proof = a.equivocation(&b).unwrap().unwrap();
        assert_eq!(Some(&proof), b.equivocation(&a).unwrap().as_ref(), "one proof, not two");
        proof.verify(1_000).unwrap();
        assert_eq!(proof.replaces(&a), Ok(true));
        let later = record(1, b"later", Some(a.head.hash().unwrap()));
        assert_eq!(later.replaces(&proof), Ok(false));
        assert_eq!(a.equivocation(&a).unwrap(), None);
        let fake = HeadRecord { rival: Some(a.head.clone()), ..a.clone() };
        assert_eq!(fake.verify(1_000), Err(HeadError::NoEquivocation));
    }

    #[test]
    fn a_bad_head_is_named() {
        let good = record(0, b"one", None);
        let tamper = |change: fn(&mut Head)| {
            let mut bad = good.clone();
            change(&mut bad.head.head);
            bad.verify(1_000).unwrap_err()
        };
        assert_eq!(tamper(|h| h.v = 2), HeadError::Version(2));
        assert_eq!(tamper(|h| h.seq = 1), HeadError::Broken { seq: 1 });
        assert_eq!(tamper(|h| h.root = Cid::of(Codec::Raw, b"x")), BadSignature.into());
        assert_eq!(tamper(|h| h.expires_ms = 0), HeadError::Expiry);
        assert!(matches!(tamper(|h| h.name = "../x".into()), HeadError::Name(_)));
        assert!(matches!(tamper(|h| h.time_ms = u64::MAX - 1), HeadError::Expiry));
        let stranger = SecretKey::from_seed([8; 32]);
        let mut head = good.head.head.clone();
        head.writer = stranger.public();
        let bad = HeadRecord { head: SignedHead::sign(head, &stranger).unwrap(), ..good };
        assert!(matches!(bad.verify(1_000), Err(HeadError::NotAllowed { .. })));
    }

    #[test]
    fn labels_are_dns_labels_and_lead_back_to_the_key() {
        let head = record(0, b"one", None).head.head;
        let label = label(&head.did, &head.name);
        assert_eq!(label.len(), 53);
        assert_eq!(key_of_label(&label), Some(head_key(&head.did, &head.name)));
        assert_eq!(key_of_label(&label.to_uppercase()), None);
        assert_eq!(key_of_label("news"), None);
    }
}
