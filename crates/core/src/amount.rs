//! Amounts of an asset: integers in 0..2⁶³, checked arithmetic only.
//!
//! How many decimals an amount has is the asset's scale and no business of this module. The range is
//! what SQLite and readers of JSON as signed 64-bit integers can hold.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// An amount in the smallest unit of its asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Amount(u64);

impl Amount {
    /// The largest: 2⁶³ − 1.
    pub const MOST: Self = Self(i64::MAX as u64);
    /// None.
    pub const ZERO: Self = Self(0);

    /// An amount; none from 2⁶³ on.
    pub const fn new(units: u64) -> Option<Self> {
        if units <= Self::MOST.0 { Some(Self(units)) } else { None }
    }

    /// The number of smallest units.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum, unless it is too large.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }

    /// The difference, unless it is negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `part / whole` of this amount, rounded down; none where that is no share (`part > whole`, or a
    /// whole of 0).
    pub fn share(self, part: u64, whole: u64) -> Option<Self> {
        if part > whole {
            return None;
        }
        let units = (u128::from(self.0) * u128::from(part)).checked_div(u128::from(whole))?;
        u64::try_from(units).ok().map(Self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let units = u64::deserialize(deserializer)?;
        Self::new(units)
            .ok_or_else(|| D::Error::custom(format!("an amount of {units}, above 2⁶³ − 1")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cbor;

    #[test]
    fn the_edges_of_the_range_are_kept() {
        assert_eq!(Amount::new(u64::MAX >> 1), Some(Amount::MOST));
        assert_eq!(Amount::new(1 << 63), None);
        let one = Amount::new(1).unwrap();
        assert_eq!(Amount::MOST.checked_add(one), None);
        assert_eq!(Amount::ZERO.checked_sub(one), None);
        assert_eq!(Amount::MOST.share(3, 3), Some(Amount::MOST));
        assert_eq!(Amount::MOST.share(4, 3), None);
        assert_eq!(Amount::MOST.share(0, 0), None);
        assert_eq!(Amount::new(10).unwrap().share(2, 3), Amount::new(6));
        let most = cbor::encode(&Amount::MOST).unwrap();
        assert_eq!(cbor::decode::<Amount>(&most, 9), Ok(Amount::MOST));
        assert!(cbor::decode::<Amount>(&cbor::encode(&(1_u64 << 63)).unwrap(), 9).is_err());
    }

    proptest! {
        #[test]
        fn shares_of_a_whole_are_never_more_than_it(
            units in 0..=Amount::MOST.units(),
            parts in prop::collection::vec(0_u64..1 << 40, 1..20),
        ) {
            let (amount, whole) = (Amount::new(units).unwrap(), parts.iter().sum::<u64>().max(1));
            let mut shares = parts.iter().map(|part| amount.share(*part, whole).unwrap());
            let sum = shares.try_fold(Amount::ZERO, |sum, share| sum.checked_add(share));
            prop_assert!(sum.unwrap() <= amount);
        }
    }
}
