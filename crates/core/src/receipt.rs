//! Receipts: what one node signs that another did for it. They are the memory of reciprocity: each
//! node keeps its own books, and a receipt is how it can be reminded of what it once knew itself.
//!
//! A receipt carries **running totals** since the two met, which only grow, so that the newest
//! stands for all before it and nothing needs to be added up. One with a smaller total never takes
//! the place of a larger one, whatever its date: an issuer that forgot (its disk broke) is shown its
//! own signature instead, and goes on from there. A receipt says what its issuer is willing to
//! remember and nothing more. Nobody else has a reason to believe it: two that collude can sign
//! each other anything. No node's standing with a third depends on it.
//!
//! Layout: canonical DAG-CBOR of [`SignedReceipt`], at most [`RECEIPT_BYTES`]. The signature covers
//! the DAG-CBOR of its [`Receipt`] under the receipt domain.

use serde::{Deserialize, Serialize};

use crate::{
    cbor::{self, CborError},
    peer::{PeerId, TransportKey},
    sign::{BadSignature, Domain, PublicKey, Signature},
};

/// Largest encoded receipt: two keys, a signature and five numbers, and room for the names.
pub const RECEIPT_BYTES: usize = 448;
/// Largest total: what readers of signed 64-bit integers can hold. 10 TB kept for a century, in
/// byte-hours, is just below it; a total that comes so far stays there.
pub const TOTAL_MOST: u64 = i64::MAX as u64;
/// How far a receipt's period may reach ahead of the verifier's clock.
const CLOCK_SKEW_MS: u64 = 10 * 60 * 1000;

/// Why a receipt is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// A version that this build does not know.
    #[error("receipts of version {0} are not known here, only 1; a newer Craftec may be")]
    Version(u16),
    /// A receipt for oneself.
    #[error("{0} gave itself a receipt")]
    Own(PeerId),
    /// Its period ends before it begins.
    #[error("the receipt's period ends before it begins")]
    Period,
    /// Its period ends in the future.
    #[error("the receipt's period ends {ahead_ms} ms ahead of this node's clock")]
    Future {
        /// How far.
        ahead_ms: u64,
    },
    /// A total that no reader has to hold.
    #[error("a total of {0} is above 2⁶³ − 1")]
    Total(u64),
    /// The signature does not match.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Not canonical DAG-CBOR.
    #[error(transparent)]
    Encoding(#[from] CborError),
}

/// What was done in all. Each number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Bytes kept × hours for which they were kept, as far as the issuer could see.
    pub stored_byte_hours: u64,
    /// Bytes of blocks that were sent because the issuer wanted to read them.
    pub served_bytes: u64,
    /// Audits of what was kept that were passed.
    pub audits_passed: u64,
}

impl Totals {
    const fn numbers(&self) -> [u64; 3] {
        [self.stored_byte_hours, self.served_bytes, self.audits_passed]
    }

    /// Whether no number is smaller than in `earlier`.
    pub fn covers(&self, earlier: &Self) -> bool {
        self.numbers().iter().zip(earlier.numbers()).all(|(now, then)| *now >= then)
    }

    /// The larger of each number.
    pub fn max(&self, other: &Self) -> Self {
        Self {
            stored_byte_hours: self.stored_byte_hours.max(other.stored_byte_hours),
            served_bytes: self.served_bytes.max(other.served_bytes),
            audits_passed: self.audits_passed.max(other.audits_passed),
        }
    }

    /// Both together; a number that would be too large stays at [`TOTAL_MOST`].
    pub fn plus(&self, more: &Self) -> Self {
        let sum = |a: u64, b: u64| a.saturating_add(b).min(TOTAL_MOST);
        Self {
            stored_byte_hours: sum(self.stored_byte_hours, more.stored_byte_hours),
            served_bytes: sum(self.served_bytes, more.served_bytes),
            audits_passed: sum(self.audits_passed, more.audits_passed),
        }
    }
}

/// What `to` did for `giver`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of this layout: 1.
    pub v: u16,
    /// Who gives the receipt, and signs it: it was done for them.
    pub giver: PeerId,
    /// Who did it.
    pub to: PeerId,
    /// From when on the totals count (ms since 1970).
    pub since_ms: u64,
    /// Until when they count (ms since 1970).
    pub until_ms: u64,
    /// What was done between the two.
    pub totals: Totals,
}

/// A receipt and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// By the giver's transport key.
    pub sig: Signature,
}

impl SignedReceipt {
    /// Signs; `receipt.giver` must be the key's own peer id.
    pub fn sign(receipt: Receipt, key: &TransportKey) -> Result<Self, ReceiptError> {
        let body = cbor::encode(&receipt)?;
        let sig = Signature(key.sign(&Domain::Receipt.message(&body)));
        Ok(Self { receipt, sig })
    }

    /// Checks everything that can be checked of a receipt alone.
    pub fn verify(&self, now_ms: u64) -> Result<(), ReceiptError> {
        let receipt = &self.receipt;
        if receipt.v != 1 {
            return Err(ReceiptError::Version(receipt.v));
        }
        if receipt.giver == receipt.to {
            return Err(ReceiptError::Own(receipt.giver));
        }
        if receipt.since_ms > receipt.until_ms {
            return Err(ReceiptError::Period);
        }
        let ahead_ms = receipt.until_ms.saturating_sub(now_ms);
        if ahead_ms > CLOCK_SKEW_MS {
            return Err(ReceiptError::Future { ahead_ms });
        }
        if let Some(total) = receipt.totals.numbers().into_iter().find(|n| *n > TOTAL_MOST) {
            return Err(ReceiptError::Total(total));
        }
        let key = PublicKey(*receipt.giver.public_key());
        Ok(key.verify(Domain::Receipt, &cbor::encode(receipt)?, &self.sig)?)
    }

    /// Whether whoever holds `held` should take `self` instead (both verified): it is of the same
    /// two, no total is smaller, and something grew.
    pub fn replaces(&self, held: &Self) -> bool {
        let (new, old) = (&self.receipt, &held.receipt);
        (new.giver, new.to) == (old.giver, old.to)
            && new.totals.covers(&old.totals)
            && new.until_ms >= old.until_ms
            && (new.totals, new.until_ms) != (old.totals, old.until_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn key(n: u8) -> TransportKey {
        TransportKey::from_seed([n; 32])
    }

    fn totals(stored_byte_hours: u64, served_bytes: u64, audits_passed: u64) -> Totals {
        Totals { stored_byte_hours, served_bytes, audits_passed }
    }

    fn receipt(totals: Totals, until_ms: u64) -> Receipt {
        let (giver, to) = (key(1).peer_id(), key(2).peer_id());
        Receipt { v: 1, giver, to, since_ms: 1_000, until_ms, totals }
    }

    fn signed(receipt: Receipt) -> SignedReceipt {
        SignedReceipt::sign(receipt, &key(1)).unwrap()
    }

    #[test]
    fn each_condition_counts() {
        let good = receipt(totals(1, 2, 3), NOW_MS);
        signed(good.clone()).verify(NOW_MS).unwrap();
        let refused = |change: fn(&mut Receipt)| {
            let mut other = good.clone();
            change(&mut other);
            signed(other).verify(NOW_MS).unwrap_err()
        };
        assert_eq!(refused(|r| r.v = 2), ReceiptError::Version(2));
        assert_eq!(refused(|r| r.to = r.giver), ReceiptError::Own(good.giver));
        assert_eq!(refused(|r| r.since_ms = r.until_ms + 1), ReceiptError::Period);
        let ahead_ms = CLOCK_SKEW_MS + 1;
        assert_eq!(refused(|r| r.until_ms += CLOCK_SKEW_MS + 1), ReceiptError::Future { ahead_ms });
        assert_eq!(
            refused(|r| r.totals.audits_passed = TOTAL_MOST + 1),
            ReceiptError::Total(TOTAL_MOST + 1)
        );
        assert_eq!(refused(|r| r.giver = key(3).peer_id()), BadSignature.into());
        let mut changed = signed(good.clone());
        changed.receipt.totals.served_bytes += 1;
        assert_eq!(changed.verify(NOW_MS), Err(BadSignature.into()));
        // The edges themselves are fine.
        let most = totals(TOTAL_MOST, TOTAL_MOST, TOTAL_MOST);
        let mut edge = receipt(most, NOW_MS + CLOCK_SKEW_MS);
        edge.since_ms = edge.until_ms;
        signed(edge).verify(NOW_MS).unwrap();
    }

    #[test]
    fn the_largest_receipt_fits_its_limit() {
        let most = totals(u64::MAX, u64::MAX, u64::MAX);
        let mut large = receipt(most, u64::MAX);
        large.since_ms = u64::MAX;
        large.v = u16::MAX;
        let bytes = cbor::encode(&signed(large)).unwrap().len();
        assert!(bytes <= RECEIPT_BYTES, "{bytes}");
    }

    #[test]
    fn only_growth_replaces() {
        let held = signed(receipt(totals(10, 10, 10), 50));
        let replaces = |new: Totals, until| signed(receipt(new, until)).replaces(&held);
        assert!(replaces(totals(10, 11, 10), 50));
        assert!(replaces(totals(10, 10, 10), 51));
        assert!(!replaces(totals(10, 10, 10), 50), "the same");
        assert!(!replaces(totals(99, 99, 9), 99), "later, and one total is smaller");
        assert!(!replaces(totals(99, 99, 99), 49), "larger, and earlier");
        let mut other = receipt(totals(99, 99, 99), 99);
        other.to = key(4).peer_id();
        assert!(!signed(other).replaces(&held));
    }

    proptest! {
        #[test]
        fn whoever_takes_what_replaces_never_holds_less(
            steps in prop::collection::vec((0u64..9, 0u64..9, 0u64..9, 0u64..9), 1..30),
        ) {
            let unsigned = |receipt| SignedReceipt { receipt, sig: Signature([0; 64]) };
            let mut held = unsigned(receipt(Totals::default(), 0));
            for (a, b, c, until) in steps {
                let new = unsigned(receipt(totals(a, b, c), until));
                prop_assert!(!(new.replaces(&held) && held.replaces(&new)));
                if new.replaces(&held) {
                    prop_assert!(new.receipt.totals.covers(&held.receipt.totals));
                    held = new;
                }
            }
        }

        #[test]
        fn totals_stay_in_range_and_only_grow(a: u64, b: u64, c: u64) {
            let (first, more) = (totals(a >> 1, b >> 1, 0), totals(c >> 1, c, c));
            let sum = first.plus(&more);
            prop_assert!(sum.covers(&first) && sum.numbers().iter().all(|n| *n <= TOTAL_MOST));
            prop_assert!(first.max(&more).covers(&first) && first.max(&more).covers(&more));
        }
    }
}
