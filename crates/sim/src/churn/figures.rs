//! What is measured of one scheme, and how worlds are added up. Traffic is in objects' sizes.

use super::config::MONTH_MS;

/// Why a piece had to be made anew, in the order in which repairs are charged to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its holder had lied.
    Lied,
    /// Its holder departed for good.
    Departed,
    /// Its holder was given up, and was only away.
    Absent,
    /// Reads of decodings: a whole copy was made, or a batch.
    Read,
    /// Pieces above what one operator may have, and what else the level asked for.
    Other,
}

impl Cause {
    pub(super) const ALL: [Self; 5] =
        [Self::Lied, Self::Departed, Self::Absent, Self::Read, Self::Other];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Departed => "departed",
            Self::Absent => "absent",
            Self::Lied => "lied",
            Self::Read => "read",
            Self::Other => "other",
        }
    }
}

/// The lowest margin of the histogram.
const LEAST_MARGIN: i32 = -64;
const MARGINS: usize = 192;

/// Margins of one month of a world's life.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Margins([u32; MARGINS]);

impl Default for Margins {
    fn default() -> Self {
        Self([0; MARGINS])
    }
}

impl Margins {
    pub(super) fn add(&mut self, margin: i32) {
        let at = (margin - LEAST_MARGIN).clamp(0, MARGINS as i32 - 1);
        self.0[at as usize] += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum += more);
    }

    /// The margin that `share` of the objects do not exceed; `None` without objects.
    pub(super) fn quantile(&self, share: f64) -> Option<i32> {
        let all: u64 = self.0.iter().map(|n| u64::from(*n)).sum();
        let rank = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.0.iter().position(|n| {
            seen += u64::from(*n);
            seen >= rank
        });
        at.map(|at| at as i32 + LEAST_MARGIN)
    }
}

/// What is stored of one object, in pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    /// On all disks that there are, of absent nodes too.
    pub(super) stored: u32,
    /// Of these, what a reader has read for a decoding that isn't done.
    pub(super) reading: u32,
    /// Whole copies.
    pub(super) wholes: u16,
    /// Pieces that decode.
    pub(super) k: u16,
}

/// Why more than 2.5 x is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Above {
    /// Two whole copies: one of an absent holder, and the one that replaces it.
    Wholes,
    /// What a reader has read so far, while the whole copy that it replaces is away.
    Reading,
    /// Pieces: their holders were given up and weren't gone.
    Pieces,
}

impl Above {
    pub(super) const ALL: [Self; 3] = [Self::Wholes, Self::Reading, Self::Pieces];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wholes => "second whole copies",
            Self::Reading => "reading",
            Self::Pieces => "pieces",
        }
    }

    fn of(stock: Stock) -> Self {
        if stock.wholes > 1 {
            return Self::Wholes;
        }
        let kept = stock.stored - stock.reading;
        if kept * 2 <= u32::from(stock.k) * 5 { Self::Reading } else { Self::Pieces }
    }
}

/// Of one scheme, in one world or many.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Objects' time, measured.
    pub(super) object_months: f64,
    pub(super) lost: u64,
    /// Losses before measurement began.
    pub(super) lost_settling: u64,
    /// Traffic by cause.
    pub(super) traffic: [f64; 5],
    /// What of it took a second link, through a relay.
    pub(super) relayed: f64,
    /// Read by decodings that came to nothing.
    pub(super) wasted: f64,
    pub(super) repairs: u64,
    /// Repairs by the one whose turn it was not, because those before it were away.
    pub(super) taken_over: u64,
    pub(super) recoded: u64,
    /// Objects' sizes stored, by objects' milliseconds measured; and the most of any object, ever.
    pub(super) stored: f64,
    pub(super) weighed: f64,
    pub(super) stored_most: f64,
    /// Objects' milliseconds, from the first on, and for how many of them more than 2.5 x was stored.
    pub(super) lived: f64,
    pub(super) above: [f64; 3],
    /// Samples, and of them readable at once.
    pub(super) samples: u64,
    pub(super) readable: u64,
    /// By month since the objects were put, settling included.
    pub(super) margins: Vec<Margins>,
    /// Months of life of lost objects, measured or not: for the survival curve.
    pub(super) lost_at: Vec<u32>,
    /// Objects that ever were.
    pub(super) objects: u64,
}

impl Figures {
    /// Repair traffic in objects' sizes per object and month.
    pub(super) fn repair_per_month(&self) -> f64 {
        self.traffic.iter().sum::<f64>() / self.object_months.max(1e-9)
    }

    /// The same of one cause.
    pub(super) fn cause_per_month(&self, cause: Cause) -> f64 {
        self.traffic[cause as usize] / self.object_months.max(1e-9)
    }

    /// Bytes stored over the object's size, on average.
    pub(super) fn space(&self) -> f64 {
        self.stored / self.weighed.max(1.0)
    }

    /// What was stored of one object for `passed_ms`, of which `measured_ms` are measured.
    pub(super) fn weigh(&mut self, stock: Stock, passed_ms: u64, measured_ms: u64) {
        let stored = f64::from(stock.stored) / f64::from(stock.k);
        self.stored += stored * measured_ms as f64;
        self.weighed += measured_ms as f64;
        self.lived += passed_ms as f64;
        self.stored_most = self.stored_most.max(stored);
        if stock.stored * 2 > u32::from(stock.k) * 5 {
            self.above[Above::of(stock) as usize] += passed_ms as f64;
        }
    }

    /// The share of objects' time in which more than 2.5 x is stored, for one reason.
    pub(super) fn above_share(&self, why: Above) -> f64 {
        self.above[why as usize] / self.lived.max(1.0)
    }

    pub(super) fn readable_share(&self) -> f64 {
        self.readable as f64 / self.samples.max(1) as f64
    }

    pub(super) fn object_years(&self) -> f64 {
        self.object_months / 12.0
    }

    /// Losses and years of all objects, settling included.
    fn all_lost(&self) -> (f64, f64) {
        ((self.lost + self.lost_settling) as f64, self.lived / (12 * MONTH_MS) as f64)
    }

    /// The nines of a year's survival: what was found, and what is certain to 95% (losses are taken to
    /// be independent). `None` where nothing was lost, or nothing lived.
    pub(super) fn nines(&self) -> (Option<f64>, Option<f64>) {
        let (lost, years) = self.all_lost();
        // Wilson and Hilferty's approximation of the upper end of a Poisson mean.
        let next = lost + 1.0;
        let most = next * (1.0 - 1.0 / (9.0 * next) + 1.645 / (3.0 * next.sqrt())).powi(3);
        let nines =
            |lost: f64| (lost > 0.0 && years > 0.0).then(|| (years / lost).log10().max(0.0));
        (nines(lost), nines(most))
    }

    pub(super) fn month(&mut self, since_ms: u64) -> &mut Margins {
        let month = (since_ms / MONTH_MS) as usize;
        if self.margins.len() <= month {
            self.margins.resize(month + 1, Margins::default());
        }
        &mut self.margins[month]
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.object_months += other.object_months;
        self.lost += other.lost;
        self.lost_settling += other.lost_settling;
        self.traffic.iter_mut().zip(other.traffic).for_each(|(sum, more)| *sum += more);
        self.relayed += other.relayed;
        self.wasted += other.wasted;
        self.repairs += other.repairs;
        self.taken_over += other.taken_over;
        self.recoded += other.recoded;
        self.samples += other.samples;
        self.lived += other.lived;
        self.above.iter_mut().zip(other.above).for_each(|(sum, more)| *sum += more);
        self.weighed += other.weighed;
        self.stored += other.stored;
        self.stored_most = self.stored_most.max(other.stored_most);
        self.readable += other.readable;
        if self.margins.len() < other.margins.len() {
            self.margins.resize(other.margins.len(), Margins::default());
        }
        self.margins.iter_mut().zip(&other.margins).for_each(|(sum, more)| sum.merge(more));
        self.lost_at.extend(&other.lost_at);
        self.objects += other.objects;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lost_in_few_years_proves_little() {
        let lived = 30_000.0 * 12.0 * MONTH_MS as f64;
        let none = Figures { lived, ..Figures::default() };
        let (found, certain) = none.nines();
        // The rule of three: 3 in 30,000 at most.
        assert!(found.is_none() && (certain.unwrap() - 4.0).abs() < 0.01, "{certain:?}");
        let three = Figures { lost: 3, lived, ..Figures::default() };
        let (found, certain) = three.nines();
        assert!((found.unwrap() - 4.0).abs() < 1e-9 && certain.unwrap() < 3.65, "{certain:?}");
        assert_eq!(Figures::default().nines(), (None, None));
    }

    #[test]
    fn what_is_stored_is_weighed_by_time_and_by_why_it_is_too_much() {
        let mut figures = Figures::default();
        let stock = Stock { stored: 128, reading: 0, wholes: 1, k: 64 };
        figures.weigh(stock, 100, 50);
        figures.weigh(Stock { stored: 200, wholes: 2, ..stock }, 10, 10);
        figures.weigh(Stock { stored: 170, reading: 20, ..stock }, 20, 0);
        figures.weigh(Stock { stored: 170, ..stock }, 70, 0);
        assert!((figures.space() - (2.0 * 50.0 + 3.125 * 10.0) / 60.0).abs() < 1e-9);
        assert!((figures.stored_most - 3.125).abs() < 1e-9);
        let shares = Above::ALL.map(|why| figures.above_share(why) * 200.0);
        assert_eq!(shares.map(f64::round), [10.0, 20.0, 70.0]);
    }

    #[test]
    fn quantiles_are_of_all_that_was_added() {
        let mut margins = Margins::default();
        assert_eq!(margins.quantile(0.5), None);
        (0..100).for_each(|n| margins.add(n % 10 - 2));
        margins.add(-1000);
        assert_eq!(margins.quantile(0.0), Some(LEAST_MARGIN));
        assert_eq!(margins.quantile(0.5), Some(2));
        assert_eq!(margins.quantile(1.0), Some(7));
    }

    #[test]
    fn worlds_add_up() {
        let mut one = Figures { object_months: 10.0, lost: 1, ..Figures::default() };
        one.traffic[Cause::Read as usize] = 2.0;
        one.month(MONTH_MS).add(3);
        let mut both = one.clone();
        both.merge(&one);
        assert_eq!((both.lost, both.margins.len()), (2, 2));
        assert!((both.repair_per_month() - 0.2).abs() < 1e-12);
        assert!((both.cause_per_month(Cause::Read) - 0.2).abs() < 1e-12);
    }
}
