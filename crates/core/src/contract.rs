//! Storage contracts, the paid tier: a payer offers a price for keeping an object until a date, the
//! named holders countersign, named auditors say period by period who kept it.
//!
//! Here is what is signed, what is believed of it, and what a moment means for a contract
//! ([`Contract::phase`]). What each holder earned is computed in [`crate::settlement`]; nothing here
//! moves money.
//!
//! A contract that ended takes no new data. What it covered is kept as before for [`GRACE_MS`], in
//! which it can be renewed; then it belongs to the free tier like anything else, and even there a
//! holder lets go only some time after it told the payer so ([`Contract::may_let_go`]).
//!
//! Layout: canonical DAG-CBOR of [`ContractRecord`], at most `limits::RECORD_BYTES`. The payer's
//! writer signs the DAG-CBOR of [`Contract`] under the contract domain, each holder the same bytes
//! under the holders' domain, an auditor the DAG-CBOR of [`Audit`] under the audit domain.

use serde::{Deserialize, Serialize};

use crate::{
    amount::Amount,
    cbor::{self, CborError},
    cid::Cid,
    identity::{Did, Identity, IdentityError, IdentityLog},
    limits,
    peer::{PeerId, TransportKey},
    sign::{BadSignature, Domain, Hash, PublicKey, SecretKey, Signature},
};

/// Most auditors of one contract: a settlement keeps a bit of 16 for each.
pub const AUDITORS: usize = 15;
/// Most audit periods: eleven years of days. A settlement keeps four bytes for each and holder.
pub const PERIODS: u64 = 4096;
/// Longest name of an asset in bytes: what a DNS label and a CID in text fit into.
pub const ASSET_BYTES: usize = 64;
/// Most decimals of an asset: those of the finest in use.
pub const SCALE_MOST: u8 = 18;
/// How long what an ended contract covered is kept as before (30 days: the term of a promise).
pub const GRACE_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How long before it lets go a holder tells the payer (7 days: a week's absence).
pub const NOTICE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Why a contract or an audit is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// A version that this build does not know.
    #[error("contracts of version {0} are not known here, only 1; a newer Craftec may be")]
    Version(u16),
    /// More pieces needed than there are, or none.
    #[error("{k} pieces of {n} make no object: 1 to n are needed")]
    Pieces {
        /// Pieces in all.
        n: u16,
        /// Pieces needed.
        k: u16,
    },
    /// No term, or one that is no whole number of periods, or of too many.
    #[error("a term of {term_ms} ms is not 1 to {PERIODS} whole periods of {period_ms} ms")]
    Term {
        /// The term.
        term_ms: u64,
        /// One period.
        period_ms: u64,
    },
    /// The asset's name or scale.
    #[error("`{asset}` with {scale} decimals is no asset: 1 to {ASSET_BYTES} of a-z 0-9 . : - / _")]
    Asset {
        /// The name.
        asset: String,
        /// Its decimals.
        scale: u8,
    },
    /// None, too many, or one of them twice.
    #[error("a contract names 1 to {limit} different holders, not more than pieces", limit = limits::HOLDERS)]
    Holders,
    /// None, too many, one of them twice, or somebody with nobody but itself to audit it.
    #[error("a contract names 1 to {AUDITORS} different auditors, and for each holder another one")]
    Auditors,
    /// Another number of signatures than holders.
    #[error("{found} of {wanted} holders signed")]
    Unsigned {
        /// Signatures.
        found: usize,
        /// Holders.
        wanted: usize,
    },
    /// A holder's signature does not match.
    #[error("{holder} did not sign this contract")]
    Holder {
        /// Who should have.
        holder: PeerId,
    },
    /// The identity log is another identity's, or its writer has no leave.
    #[error("the writer may not sign contracts for {0}")]
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

/// What is agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Version of this layout: 1.
    pub v: u16,
    /// The root of what is to be kept.
    pub object: Cid,
    /// Bytes of all its blocks at most: no holder has to take more.
    pub bytes: u64,
    /// Pieces (or copies) kept in all.
    pub n: u16,
    /// Pieces that give the object back; 1 for copies.
    pub k: u16,
    /// When it begins (ms since 1970).
    pub from_ms: u64,
    /// When it ends (ms since 1970): `from_ms` and 1 to [`PERIODS`] whole periods.
    pub until_ms: u64,
    /// Length of an audit period in milliseconds.
    pub period_ms: u64,
    /// Chunks that an audit must have asked for to count.
    pub samples: u32,
    /// What is paid in all if every holder passes in every period.
    pub price: Amount,
    /// The asset, as its ledger writes it: 1 to [`ASSET_BYTES`] of `a-z 0-9 . : - / _`.
    pub asset: String,
    /// Decimals of the asset, 0 to [`SCALE_MOST`]: the price is `price / 10^scale` of it.
    pub scale: u8,
    /// Who keeps it; all are paid alike.
    pub holders: Vec<PeerId>,
    /// Whose audits count. A holder may be one; its word about itself does not count.
    pub auditors: Vec<PeerId>,
    /// Who pays.
    pub payer: Did,
    /// The payer's wallet key or a device of theirs.
    pub writer: PublicKey,
    /// When it was written (ms since 1970).
    pub time_ms: u64,
}

/// What a moment means for a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun.
    Upcoming,
    /// Data of the object is taken and kept, audits count.
    Active,
    /// It ended: nothing new is taken, and what is here is kept as before until then.
    Grace {
        /// When the free tier begins (ms since 1970).
        until_ms: u64,
    },
    /// It is kept under the free tier's rules.
    Free,
}

impl Phase {
    /// Whether new data comes under the contract.
    pub const fn takes_data(self) -> bool {
        matches!(self, Self::Active)
    }
}

impl Contract {
    /// What names the contract: BLAKE3 of its DAG-CBOR under the contract domain.
    pub fn id(&self) -> Result<Hash, ContractError> {
        Ok(Hash(Domain::Contract.hash(&cbor::encode(self)?)))
    }

    /// Whole audit periods of the term; 0 where it is no term.
    pub fn periods(&self) -> u64 {
        self.until_ms.saturating_sub(self.from_ms).checked_div(self.period_ms).unwrap_or(0)
    }

    /// What `now_ms` means for it.
    pub fn phase(&self, now_ms: u64) -> Phase {
        let grace_ends_ms = self.until_ms.saturating_add(GRACE_MS);
        match now_ms {
            now if now < self.from_ms => Phase::Upcoming,
            now if now < self.until_ms => Phase::Active,
            now if now < grace_ends_ms => Phase::Grace { until_ms: grace_ends_ms },
            _ => Phase::Free,
        }
    }

    /// Whether a holder may drop what the contract covered: never before the free tier, and there
    /// not before the payer was told for [`NOTICE_MS`]. `told_ms` is when the payer took the notice.
    pub fn may_let_go(&self, now_ms: u64, told_ms: Option<u64>) -> bool {
        let told_for_ms = told_ms.and_then(|told| now_ms.checked_sub(told));
        self.phase(now_ms) == Phase::Free && told_for_ms.is_some_and(|ms| ms >= NOTICE_MS)
    }

    /// Auditors other than `holder`, of whom a majority decides about it.
    pub fn auditors_of(&self, holder: &PeerId) -> usize {
        self.auditors.iter().filter(|auditor| *auditor != holder).count()
    }

    fn check(&self) -> Result<(), ContractError> {
        if self.v != 1 {
            return Err(ContractError::Version(self.v));
        }
        let (n, k) = (self.n, self.k);
        if k == 0 || k > n {
            return Err(ContractError::Pieces { n, k });
        }
        let term_ms = self.until_ms.saturating_sub(self.from_ms);
        let whole = term_ms.checked_rem(self.period_ms) == Some(0);
        if !whole || !(1..=PERIODS).contains(&self.periods()) {
            return Err(ContractError::Term { term_ms, period_ms: self.period_ms });
        }
        let legible =
            |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b':' | b'-' | b'/' | b'_');
        let named =
            (1..=ASSET_BYTES).contains(&self.asset.len()) && self.asset.bytes().all(legible);
        if !named || self.scale > SCALE_MOST {
            let asset = self.asset.chars().take(ASSET_BYTES).collect();
            return Err(ContractError::Asset { asset, scale: self.scale });
        }
        if !are_distinct(&self.holders, limits::HOLDERS.min(usize::from(n))) {
            return Err(ContractError::Holders);
        }
        let audited = |holder: &PeerId| self.auditors_of(holder) > 0;
        if !are_distinct(&self.auditors, AUDITORS) || !self.holders.iter().all(audited) {
            return Err(ContractError::Auditors);
        }
        Ok(())
    }
}

/// Whether these are 1 to `most` different peers.
fn are_distinct(peers: &[PeerId], most: usize) -> bool {
    if peers.is_empty() || peers.len() > most {
        return false;
    }
    let mut sorted = peers.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// A contract that its payer signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractOffer {
    /// What is offered.
    pub contract: Contract,
    /// By its writer.
    pub sig: Signature,
    /// The identity log that gives the writer leave.
    pub log: IdentityLog,
}

impl ContractOffer {
    /// Signs an offer.
    pub fn sign(
        contract: Contract,
        key: &SecretKey,
        log: IdentityLog,
    ) -> Result<Self, ContractError> {
        let sig = key.sign(Domain::Contract, &cbor::encode(&contract)?);
        Ok(Self { contract, sig, log })
    }

    /// Verifies the offer; who makes it.
    pub fn verify(&self) -> Result<Identity, ContractError> {
        let contract = &self.contract;
        contract.check()?;
        let identity = self.log.verify()?;
        let leave = identity.may_write(&contract.writer, "", contract.time_ms);
        if contract.payer != identity.did || !leave {
            return Err(ContractError::NotAllowed(contract.payer));
        }
        contract.writer.verify(Domain::Contract, &cbor::encode(contract)?, &self.sig)?;
        Ok(identity)
    }

    /// A holder's consent. It is for [`ContractRecord::signatures`], at the holder's own place.
    pub fn countersign(&self, key: &TransportKey) -> Result<Signature, ContractError> {
        let body = cbor::encode(&self.contract)?;
        Ok(Signature(key.sign(&Domain::ContractHolder.message(&body))))
    }
}

/// A contract in force: offered by its payer, agreed to by every holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractRecord {
    /// The payer's side.
    pub offer: ContractOffer,
    /// By the transport key of each holder, in the order of the holders.
    pub signatures: Vec<Signature>,
}

impl ContractRecord {
    /// What is agreed.
    pub const fn contract(&self) -> &Contract {
        &self.offer.contract
    }

    /// Encodes the record; a longer one than may be sent is refused here.
    pub fn encode(&self) -> Result<Vec<u8>, ContractError> {
        let bytes = cbor::encode(self)?;
        if bytes.len() > limits::RECORD_BYTES {
            let limit = limits::RECORD_BYTES;
            return Err(CborError::TooLong { bytes: bytes.len(), limit }.into());
        }
        Ok(bytes)
    }

    /// Verifies the offer and every holder's signature; who pays.
    pub fn verify(&self) -> Result<Identity, ContractError> {
        let identity = self.offer.verify()?;
        let holders = &self.contract().holders;
        if self.signatures.len() != holders.len() {
            let (found, wanted) = (self.signatures.len(), holders.len());
            return Err(ContractError::Unsigned { found, wanted });
        }
        let body = cbor::encode(self.contract())?;
        for (holder, sig) in holders.iter().zip(&self.signatures) {
            let key = PublicKey(*holder.public_key());
            key.verify(Domain::ContractHolder, &body, sig)
                .map_err(|BadSignature| ContractError::Holder { holder: *holder })?;
        }
        Ok(identity)
    }
}

/// An auditor's word about one audit of one holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Version of this layout: 1.
    pub v: u16,
    /// [`Contract::id`].
    pub contract: Hash,
    /// Who audited, and signs.
    pub auditor: PeerId,
    /// Who was audited.
    pub holder: PeerId,
    /// Chunks asked for.
    pub samples: u32,
    /// Whether all of them came, in time and right.
    pub passed: bool,
    /// When (ms since 1970): it counts for the period that this lies in.
    pub time_ms: u64,
}

/// An audit and its signature: the paid tier's receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReceipt {
    /// The audit.
    pub audit: Audit,
    /// By the auditor's transport key.
    pub sig: Signature,
}

impl AuditReceipt {
    /// Signs; `audit.auditor` must be the key's own peer id.
    pub fn sign(audit: Audit, key: &TransportKey) -> Result<Self, ContractError> {
        let body = cbor::encode(&audit)?;
        let sig = Signature(key.sign(&Domain::Audit.message(&body)));
        Ok(Self { audit, sig })
    }

    /// Checks version and signature. Whether it belongs to a contract is checked there.
    pub fn verify(&self) -> Result<(), ContractError> {
        if self.audit.v != 1 {
            return Err(ContractError::Version(self.audit.v));
        }
        let key = PublicKey(*self.audit.auditor.public_key());
        Ok(key.verify(Domain::Audit, &cbor::encode(&self.audit)?, &self.sig)?)
    }
}

#[cfg(test)]
#[path = "contract_tests.rs"]
pub(crate) mod tests;
