//! Identities that outlive their keys: a log of signed events, and the state it proves.
//!
//! A [`Did`] is the hash of the first event, the inception: {key, hash of the next key, threshold}.
//! Every later event names its place (`seq`), the hash of the event before it (`prev`) and is signed
//! by the key in force before it. A rotation reveals the key that was committed to, and commits to
//! another (pre-rotation: a thief of the current key can't rotate). A delegation lets a device write
//! for a while; a revocation ends it. The log is carried inside what it proves, so a verifier needs
//! nothing else.
//!
//! Layout: an event is canonical DAG-CBOR of [`SignedEvent`]; the signature covers the DAG-CBOR of
//! its [`Event`]. At most `limits::IDENTITY_EVENTS` events.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    cbor::{self, CborError},
    limits,
    sign::{BadSignature, Domain, Hash, PublicKey, SecretKey, Signature, base32},
    wallet::Wallet,
};

/// Text in front of an identity's card.
const CARD_PREFIX: &str = "craftec-card:";
/// Text in front of every identity.
const DID_PREFIX: &str = "did:craftec:";

/// An identity: BLAKE3-256 of its inception event. Text: `did:craftec:` and base32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Did(pub Hash);

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DID_PREFIX}{}", self.0)
    }
}

impl FromStr for Did {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bytes = text
            .strip_prefix(DID_PREFIX)
            .and_then(|hash| data_encoding::BASE32_NOPAD_NOCASE.decode(hash.as_bytes()).ok())
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or_else(|| IdentityError::Text(text.chars().take(80).collect()))?;
        let did = Did(Hash(bytes));
        if did.to_string() == text { Ok(did) } else { Err(IdentityError::Text(text.to_owned())) }
    }
}

/// Why an identity log or event is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not the text of an identity.
    #[error("`{0}` is not an identity (`{DID_PREFIX}` and 52 characters of lower-case base32)")]
    Text(String),
    /// A version that this build does not know.
    #[error("identity events of version {0} are not known here, only 1; a newer Craftec may be")]
    Version(u16),
    /// Empty, or longer than a verifier walks.
    #[error("an identity log holds 1 to {limit} events, this one {found}", limit = limits::IDENTITY_EVENTS)]
    Length {
        /// Events found.
        found: usize,
    },
    /// The first event is not an inception, or another one is.
    #[error("event {seq} is not allowed at its place")]
    Misplaced {
        /// The event's place.
        seq: u32,
    },
    /// `seq` or `prev` do not follow the event before.
    #[error("event {seq} does not follow the one before it")]
    Broken {
        /// The event's place.
        seq: u32,
    },
    /// A rotation to a key that was not committed to.
    #[error("event {seq} rotates to a key that was not announced")]
    NotCommitted {
        /// The event's place.
        seq: u32,
    },
    /// Not the text of a card.
    #[error("this is not the card of an identity (`{CARD_PREFIX}` and its history in base32)")]
    Card,
    /// Only single-key identities exist so far.
    #[error("threshold {0} is not supported, only 1")]
    Threshold(u8),
    /// A signature does not match.
    #[error("event {seq}: {source}")]
    Signature {
        /// The event's place.
        seq: u32,
        /// The cause.
        source: BadSignature,
    },
    /// Not canonical DAG-CBOR.
    #[error(transparent)]
    Encoding(#[from] CborError),
}

/// What happened to an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The identity begins with `key`, and commits to the hash of the next one.
    Inception {
        /// The wallet key in force.
        key: PublicKey,
        /// [`key_commitment`] of the next wallet key.
        next: Hash,
        /// Signatures needed; 1.
        threshold: u8,
    },
    /// The committed key takes over.
    Rotation {
        /// The new wallet key.
        key: PublicKey,
        /// Commitment to the one after it.
        next: Hash,
    },
    /// A device may write.
    Delegation(Delegation),
    /// A device may write no more.
    Revocation {
        /// The device's key.
        device: PublicKey,
    },
}

/// Leave for a device to write heads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// The device's key.
    pub device: PublicKey,
    /// Names it may write; `None` is every name.
    pub names: Option<Vec<String>>,
    /// When it ends (ms since 1970).
    pub expires_ms: u64,
}

/// One link of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Version of this layout: 1.
    pub v: u16,
    /// Its place, from 0.
    pub seq: u32,
    /// [`SignedEvent::hash`] of the event before; `None` at the inception.
    pub prev: Option<Hash>,
    /// What happens.
    pub action: Action,
}

/// An event and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedEvent {
    /// The event.
    pub event: Event,
    /// By the wallet key in force before it (the inception by its own key).
    pub sig: Signature,
}

impl SignedEvent {
    fn sign(event: Event, key: &SecretKey) -> Result<Self, IdentityError> {
        let sig = key.sign(Domain::Identity, &cbor::encode(&event)?);
        Ok(Self { event, sig })
    }

    /// Hash of the event without its signature.
    pub fn hash(&self) -> Result<Hash, IdentityError> {
        Ok(Hash(Domain::Identity.hash(&cbor::encode(&self.event)?)))
    }
}

/// Commitment to a key that is not shown yet.
pub fn key_commitment(key: &PublicKey) -> Hash {
    Hash(Domain::Identity.hash(&[b"next".as_slice(), &key.0].concat()))
}

/// The whole history of one identity, as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityLog {
    /// Inception first.
    pub events: Vec<SignedEvent>,
}

/// What a valid log proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub did: Did,
    /// The wallet key in force.
    pub key: PublicKey,
    /// Rotations so far.
    pub rotations: u32,
    next: Hash,
    last: Hash,
    seq: u32,
    delegations: BTreeMap<PublicKey, Delegation>,
}

impl IdentityLog {
    /// A new identity under the wallet's first key.
    pub fn incept(wallet: &Wallet) -> Result<Self, IdentityError> {
        let (key, next) = (wallet.identity_key(0), wallet.identity_key(1));
        let action = Action::Inception {
            key: key.public(),
            next: key_commitment(&next.public()),
            threshold: 1,
        };
        let event = Event { v: 1, seq: 0, prev: None, action };
        Ok(Self { events: vec![SignedEvent::sign(event, &key)?] })
    }

    /// Moves on to the wallet's next key.
    pub fn rotate(&mut self, wallet: &Wallet) -> Result<(), IdentityError> {
        let now = self.verify()?;
        let key = wallet.identity_key(now.rotations + 1).public();
        let next = key_commitment(&wallet.identity_key(now.rotations + 2).public());
        self.append(wallet, &now, Action::Rotation { key, next })
    }

    /// Lets a device write.
    pub fn delegate(&mut self, wallet: &Wallet, leave: Delegation) -> Result<(), IdentityError> {
        let now = self.verify()?;
        self.append(wallet, &now, Action::Delegation(leave))
    }

    /// Ends a device's leave.
    pub fn revoke(&mut self, wallet: &Wallet, device: PublicKey) -> Result<(), IdentityError> {
        let now = self.verify()?;
        self.append(wallet, &now, Action::Revocation { device })
    }

    /// The card of the identity: what somebody needs who has never met it, as one line of text. Nothing of
    /// it is secret, and it proves itself.
    pub fn card(&self) -> Result<String, IdentityError> {
        Ok(format!("{CARD_PREFIX}{}", base32(&cbor::encode(self)?)))
    }

    /// Reads a card; none if the text is not one at all.
    pub fn from_card(text: &str) -> Option<Result<Self, IdentityError>> {
        let text = text.trim().strip_prefix(CARD_PREFIX)?;
        let read = || {
            // A log's limit, in base32.
            let fits = text.len() <= limits::RECORD_BYTES * 8 / 5 + 8;
            let bytes = data_encoding::BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok();
            let bytes = bytes.filter(|_| fits).ok_or(IdentityError::Card)?;
            let log: Self = cbor::decode(&bytes, limits::RECORD_BYTES)?;
            log.verify()?;
            Ok(log)
        };
        Some(read())
    }

    fn append(
        &mut self,
        wallet: &Wallet,
        now: &Identity,
        action: Action,
    ) -> Result<(), IdentityError> {
        let event = Event { v: 1, seq: now.seq + 1, prev: Some(now.last), action };
        let signed = SignedEvent::sign(event, &wallet.identity_key(now.rotations))?;
        self.events.push(signed);
        if let Err(error) = self.verify() {
            self.events.pop();
            return Err(error);
        }
        Ok(())
    }

    /// Checks every link and says what the log proves.
    pub fn verify(&self) -> Result<Identity, IdentityError> {
        let found = self.events.len();
        let (first, rest) = self.events.split_first().ok_or(IdentityError::Length { found })?;
        if found > limits::IDENTITY_EVENTS {
            return Err(IdentityError::Length { found });
        }
        rest.iter().try_fold(Identity::begin(first)?, Identity::apply)
    }

    /// Whether `self` is the same history as `other`, or a longer one.
    pub fn extends(&self, other: &IdentityLog) -> bool {
        self.events.starts_with(&other.events)
    }
}

impl Identity {
    fn begin(first: &SignedEvent) -> Result<Self, IdentityError> {
        let Event { v, seq, prev, action } = &first.event;
        if *v != 1 {
            return Err(IdentityError::Version(*v));
        }
        let Action::Inception { key, next, threshold } = action else {
            return Err(IdentityError::Misplaced { seq: *seq });
        };
        if *seq != 0 || prev.is_some() {
            return Err(IdentityError::Broken { seq: *seq });
        }
        if *threshold != 1 {
            return Err(IdentityError::Threshold(*threshold));
        }
        check(key, first)?;
        let hash = first.hash()?;
        Ok(Self {
            did: Did(hash),
            key: *key,
            rotations: 0,
            next: *next,
            last: hash,
            seq: 0,
            delegations: BTreeMap::new(),
        })
    }

    fn apply(mut self, signed: &SignedEvent) -> Result<Self, IdentityError> {
        let Event { v, seq, prev, action } = &signed.event;
        if *v != 1 {
            return Err(IdentityError::Version(*v));
        }
        if *seq != self.seq + 1 || *prev != Some(self.last) {
            return Err(IdentityError::Broken { seq: *seq });
        }
        check(&self.key, signed)?;
        match action {
            Action::Inception { .. } => return Err(IdentityError::Misplaced { seq: *seq }),
            Action::Rotation { key, next } => {
                if key_commitment(key) != self.next {
                    return Err(IdentityError::NotCommitted { seq: *seq });
                }
                (self.key, self.next, self.rotations) = (*key, *next, self.rotations + 1);
            }
            Action::Delegation(leave) => {
                self.delegations.insert(leave.device, leave.clone());
            }
            Action::Revocation { device } => {
                self.delegations.remove(device);
            }
        }
        (self.seq, self.last) = (*seq, signed.hash()?);
        Ok(self)
    }

    /// Whether `writer` may write `name` at `time_ms`: the wallet key always, a device by its leave.
    pub fn may_write(&self, writer: &PublicKey, name: &str, time_ms: u64) -> bool {
        if *writer == self.key {
            return true;
        }
        self.delegations.get(writer).is_some_and(|leave| {
            time_ms < leave.expires_ms
                && leave.names.as_ref().is_none_or(|names| names.iter().any(|n| n == name))
        })
    }
}

fn check(key: &PublicKey, signed: &SignedEvent) -> Result<(), IdentityError> {
    key.verify(Domain::Identity, &cbor::encode(&signed.event)?, &signed.sig)
        .map_err(|source| IdentityError::Signature { seq: signed.event.seq, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wallet() -> Wallet {
        Wallet::from_entropy([1; 32])
    }

    fn leave(device: u8, names: Option<&str>) -> Delegation {
        Delegation {
            device: SecretKey::from_seed([device; 32]).public(),
            names: names.map(|n| vec![n.to_owned()]),
            expires_ms: 1_000,
        }
    }

    #[test]
    fn an_identity_survives_rotation_and_bounds_its_devices() {
        let mut log = IdentityLog::incept(&wallet()).unwrap();
        let did = log.verify().unwrap().did;
        log.delegate(&wallet(), leave(5, Some("blog"))).unwrap();
        log.rotate(&wallet()).unwrap();
        log.delegate(&wallet(), leave(6, None)).unwrap();
        let now = log.verify().unwrap();
        assert_eq!((now.did, now.rotations), (did, 1));
        let (five, six) = (leave(5, None).device, leave(6, None).device);
        assert!(now.may_write(&five, "blog", 999));
        assert!(!now.may_write(&five, "blog", 1_000), "expired");
        assert!(!now.may_write(&five, "shop", 999), "out of scope");
        assert!(now.may_write(&six, "shop", 0));
        assert!(!now.may_write(&wallet().identity_key(0).public(), "shop", 0), "rotated away");
        log.revoke(&wallet(), six).unwrap();
        assert!(!log.verify().unwrap().may_write(&six, "shop", 0));
        assert_eq!(did.to_string().parse(), Ok(did));
    }

    #[test]
    fn tampering_is_found() {
        let mut log = IdentityLog::incept(&wallet()).unwrap();
        log.delegate(&wallet(), leave(5, None)).unwrap();
        log.rotate(&wallet()).unwrap();
        let mut cut = log.clone();
        cut.events.remove(1);
        assert_eq!(cut.verify(), Err(IdentityError::Broken { seq: 2 }));
        let mut forged = log.clone();
        if let Action::Delegation(leave) = &mut forged.events[1].event.action {
            leave.expires_ms += 1;
        }
        assert!(matches!(forged.verify(), Err(IdentityError::Signature { seq: 1, .. })));
        assert_eq!(
            IdentityLog { events: vec![] }.verify(),
            Err(IdentityError::Length { found: 0 })
        );
    }

    #[test]
    fn a_thief_of_the_current_key_cannot_rotate() {
        let mut log = IdentityLog::incept(&wallet()).unwrap();
        let now = log.verify().unwrap();
        let thief = SecretKey::from_seed([66; 32]).public();
        let action = Action::Rotation { key: thief, next: key_commitment(&thief) };
        let stolen = log.append(&wallet(), &now, action);
        assert_eq!(stolen, Err(IdentityError::NotCommitted { seq: 1 }));
        assert_eq!(log.events.len(), 1);
    }
}
