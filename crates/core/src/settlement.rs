//! What holders earned under a contract: a pure function of the contract and of audit receipts,
//! which whoever pays, earns or watches computes alike, in any order of the receipts.
//!
//! The price is divided evenly over all holders and all audit periods. A period is earned by a holder
//! once it ended, if more than half of the auditors other than the holder say that it passed: an
//! auditor says so with at least one passed audit of enough samples and no failed one in that
//! period. A holder with `m` earned periods of `p`, one of `h` holders, has earned
//! `price × m / (h × p)`, rounded down to whole units, so that all together never earn more than
//! the price; what rounding leaves, and what was not earned, stays the payer's.
//!
//! Nothing is ever taken back by time: with the same receipts, a later moment gives the same or
//! more. A receipt that fails a holder counts whenever it comes, so a settlement waits a while after
//! a period's end for those that are late; how long is the settling program's business.

use crate::{
    amount::Amount,
    contract::{AuditReceipt, Contract, ContractError, ContractRecord},
    peer::PeerId,
    sign::Hash,
};

/// Why an audit receipt does not count under a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// It is about another contract.
    #[error("the audit is of another contract")]
    Foreign,
    /// The contract does not name this auditor.
    #[error("{0} is no auditor of this contract")]
    Auditor(PeerId),
    /// The contract does not name this holder.
    #[error("{0} is no holder of this contract")]
    Holder(PeerId),
    /// An auditor's word about itself.
    #[error("{0} audited itself")]
    Own(PeerId),
    /// Before the contract began or after it ended.
    #[error("the audit was at {time_ms} ms since 1970, outside the contract's term")]
    Time {
        /// When.
        time_ms: u64,
    },
    /// A signature does not match, or the contract is invalid.
    #[error(transparent)]
    Contract(#[from] ContractError),
}

/// What a holder has earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earned {
    /// Who.
    pub holder: PeerId,
    /// Periods that it earned.
    pub periods: u64,
    /// For which it is owed this much in all.
    pub amount: Amount,
}

/// One bit for each auditor: who said yes, and who said no, about one holder in one period.
#[derive(Clone, Copy, Debug, Default)]
struct Voices {
    passed: u16,
    failed: u16,
}

/// Audit receipts of one contract, reduced to what counts: four bytes for each holder and period,
/// at most 4 MiB.
#[derive(Debug)]
pub struct Settlement<'a> {
    contract: &'a Contract,
    id: Hash,
    /// By period within holder.
    voices: Vec<Voices>,
    periods: usize,
}

impl<'a> Settlement<'a> {
    /// Begins with a contract in force, which is verified here.
    pub fn of(record: &'a ContractRecord) -> Result<Self, ContractError> {
        record.verify()?;
        let contract = record.contract();
        // A verified contract has at most `contract::PERIODS`.
        let periods = contract.periods() as usize;
        let voices = vec![Voices::default(); contract.holders.len() * periods];
        Ok(Self { contract, id: contract.id()?, voices, periods })
    }

    /// Takes an audit receipt, which is verified here. The same one twice counts once.
    pub fn add(&mut self, receipt: &AuditReceipt) -> Result<(), AuditError> {
        let (contract, audit) = (self.contract, &receipt.audit);
        if audit.contract != self.id {
            return Err(AuditError::Foreign);
        }
        let place = |peers: &[PeerId], peer: &PeerId| peers.iter().position(|p| p == peer);
        let auditor = place(&contract.auditors, &audit.auditor);
        let auditor = auditor.ok_or(AuditError::Auditor(audit.auditor))?;
        let holder = place(&contract.holders, &audit.holder);
        let holder = holder.ok_or(AuditError::Holder(audit.holder))?;
        if audit.auditor == audit.holder {
            return Err(AuditError::Own(audit.holder));
        }
        let time_ms = audit.time_ms;
        if time_ms >= contract.until_ms {
            return Err(AuditError::Time { time_ms });
        }
        let since_ms = time_ms.checked_sub(contract.from_ms).ok_or(AuditError::Time { time_ms })?;
        receipt.verify()?;
        let period = (since_ms / contract.period_ms) as usize;
        let voice = 1_u16 << auditor;
        if let Some(voices) = self.voices.get_mut(holder * self.periods + period) {
            match audit.passed {
                false => voices.failed |= voice,
                true if audit.samples >= contract.samples => voices.passed |= voice,
                true => {}
            }
        }
        Ok(())
    }

    /// What each holder has earned up to `until_ms` (ms since 1970), in the contract's order.
    pub fn earned(&self, until_ms: u64) -> Vec<Earned> {
        let contract = self.contract;
        let since_ms = until_ms.saturating_sub(contract.from_ms);
        let ended = ((since_ms / contract.period_ms) as usize).min(self.periods);
        let shares = self.voices.len() as u64;
        let of = |(at, holder): (usize, &PeerId)| {
            let voices = &self.voices[at * self.periods..][..ended];
            let auditors = contract.auditors_of(holder);
            let says_yes =
                |v: &&Voices| (v.passed & !v.failed).count_ones() as usize * 2 > auditors;
            let periods = voices.iter().filter(says_yes).count() as u64;
            // A part of the whole, which there is always one of.
            let amount = contract.price.share(periods, shares).unwrap_or(Amount::ZERO);
            Earned { holder: *holder, periods, amount }
        };
        contract.holders.iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::{
        Audit,
        tests::{contract, key, record},
    };

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    const HOLDERS: [u8; 3] = [10, 11, 12];

    fn audit(contract: &Contract, auditor: u8, holder: u8, day: u64, passed: bool) -> AuditReceipt {
        let audit = Audit {
            v: 1,
            contract: contract.id().unwrap(),
            auditor: key(auditor).peer_id(),
            holder: key(holder).peer_id(),
            samples: 688,
            passed,
            time_ms: contract.from_ms + day * DAY_MS,
        };
        AuditReceipt::sign(audit, &key(auditor)).unwrap()
    }

    fn amounts(settlement: &Settlement<'_>, until_ms: u64) -> Vec<u64> {
        settlement.earned(until_ms).iter().map(|earned| earned.amount.units()).collect()
    }

    #[test]
    fn a_majority_of_others_decides_and_a_period_has_to_end() {
        let record = record(contract(), &HOLDERS);
        let contract = record.contract();
        let mut settlement = Settlement::of(&record).unwrap();
        let mut add = |auditor, holder, day, passed| {
            settlement.add(&audit(contract, auditor, holder, day, passed)).unwrap();
        };
        // Of three auditors two are a majority. Holder 12 audits too: of the other two, both are.
        add(20, 10, 0, true);
        add(21, 10, 0, true);
        add(21, 10, 0, true);
        add(20, 11, 0, true);
        add(20, 12, 0, true);
        add(20, 10, 29, true);
        add(12, 10, 29, true);
        // Yes and no in one period is no.
        add(20, 11, 1, true);
        add(21, 11, 1, true);
        add(21, 11, 1, false);
        let share = 1_000_000 / 90;
        let day = |n: u64| contract.from_ms + n * DAY_MS;
        assert_eq!(amounts(&settlement, 0), [0, 0, 0]);
        assert_eq!(amounts(&settlement, day(1) - 1), [0, 0, 0]);
        assert_eq!(amounts(&settlement, day(1)), [share, 0, 0]);
        assert_eq!(amounts(&settlement, day(30)), [2 * 1_000_000 / 90, 0, 0]);
        assert_eq!(amounts(&settlement, u64::MAX), [2 * 1_000_000 / 90, 0, 0]);
        assert_eq!(settlement.earned(u64::MAX)[0].periods, 2);
    }

    #[test]
    fn what_does_not_belong_to_a_contract_is_refused() {
        let record = record(contract(), &HOLDERS);
        let contract = record.contract();
        let mut settlement = Settlement::of(&record).unwrap();
        let mut refused = |auditor: u8, holder: u8, change: fn(&mut Audit)| {
            let mut audit = audit(contract, auditor, holder, 0, true).audit;
            change(&mut audit);
            let receipt = AuditReceipt::sign(audit, &key(auditor)).unwrap();
            settlement.add(&receipt).unwrap_err()
        };
        let peer = |n| key(n).peer_id();
        assert_eq!(refused(20, 10, |a| a.contract.0[0] ^= 1), AuditError::Foreign);
        assert_eq!(refused(10, 11, |_| ()), AuditError::Auditor(peer(10)));
        assert_eq!(refused(20, 21, |_| ()), AuditError::Holder(peer(21)));
        assert_eq!(refused(12, 12, |_| ()), AuditError::Own(peer(12)));
        assert!(matches!(refused(20, 10, |a| a.time_ms -= 1), AuditError::Time { .. }));
        assert!(matches!(refused(20, 10, |a| a.time_ms += 30 * DAY_MS), AuditError::Time { .. }));
        assert!(matches!(refused(20, 10, |a| a.time_ms = u64::MAX), AuditError::Time { .. }));
        assert_eq!(refused(20, 10, |a| a.v = 2), ContractError::Version(2).into());
        let mut forged = audit(contract, 20, 10, 0, true);
        forged.audit.samples += 1;
        assert!(matches!(settlement.add(&forged), Err(AuditError::Contract(_))));
        // Too few samples are no lie and count for nothing.
        let mut few = audit(contract, 20, 10, 0, true).audit;
        few.samples = 687;
        settlement.add(&AuditReceipt::sign(few, &key(20)).unwrap()).unwrap();
        settlement.add(&audit(contract, 21, 10, 0, true)).unwrap();
        assert_eq!(amounts(&settlement, u64::MAX), [0, 0, 0]);
        let unsigned = crate::contract::tests::record(contract.clone(), &HOLDERS[..2]);
        assert!(Settlement::of(&unsigned).is_err());
    }

    #[test]
    fn a_price_that_nobody_could_pay_does_not_overflow() {
        let mut dear = contract();
        dear.price = Amount::MOST;
        let record = record(dear, &HOLDERS);
        let mut settlement = Settlement::of(&record).unwrap();
        settlement.voices.fill(Voices { passed: u16::MAX, failed: 0 });
        let third = Amount::MOST.units() / 3;
        assert_eq!(amounts(&settlement, u64::MAX), [third, third, third]);
    }

    proptest! {
        #[test]
        fn all_earn_at_most_the_price_and_never_less_with_time(
            price in 0..=Amount::MOST.units(),
            voices in prop::collection::vec((0u16..8, 0u16..8), 90),
            days in prop::collection::vec(0u64..40, 2..10),
        ) {
            let mut priced = contract();
            priced.price = Amount::new(price).unwrap();
            let record = record(priced, &HOLDERS);
            let mut settlement = Settlement::of(&record).unwrap();
            for (place, (passed, failed)) in settlement.voices.iter_mut().zip(voices) {
                *place = Voices { passed, failed };
            }
            let mut days = days;
            days.sort_unstable();
            let mut before = vec![0; 3];
            for day in days {
                let now = amounts(&settlement, record.contract().from_ms + day * DAY_MS);
                prop_assert!(now.iter().zip(&before).all(|(now, before)| now >= before));
                prop_assert!(now.iter().map(|n| u128::from(*n)).sum::<u128>() <= price.into());
                before = now;
            }
        }

        #[test]
        fn the_order_of_receipts_does_not_matter(
            said in prop::collection::vec((0usize..3, 0usize..3, 0u64..3, any::<bool>()), 1..12),
            turn in any::<prop::sample::Index>(),
        ) {
            let record = record(contract(), &HOLDERS);
            let receipts: Vec<_> = said
                .iter()
                .map(|(a, h, day, passed)| {
                    audit(record.contract(), [20, 21, 12][*a], HOLDERS[*h], *day, *passed)
                })
                .collect();
            let mut turned = receipts.clone();
            turned.rotate_left(turn.index(receipts.len()));
            let earned = |receipts: &[AuditReceipt]| {
                let mut settlement = Settlement::of(&record).unwrap();
                for receipt in receipts {
                    let own = receipt.audit.auditor == receipt.audit.holder;
                    assert_eq!(settlement.add(receipt).is_err(), own);
                }
                settlement.earned(u64::MAX)
            };
            prop_assert_eq!(earned(&receipts), earned(&turned));
        }
    }
}
