//! What worlds found, for people (a table) and machines (one line).

use std::fmt;

use super::{
    config::{Config, HOUR_MS, MONTH_DAYS, MONTH_MS},
    figures::{Above, Cause, Figures},
    plan::Scheme,
    plot,
    world::World,
};

/// Bytes of a day's audits of one holder: 688 samples with their tree paths.
const AUDIT_DAY_BYTES: f64 = 1e6;

/// The sum of what worlds found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub(super) config: Config,
    pub(super) worlds: u64,
    /// In the order of `Scheme::ALL`.
    pub(super) figures: Vec<Figures>,
    /// Hours from departures to giving up, sorted.
    delays: Vec<u32>,
    false_alarms: u64,
    convicted: u64,
    /// Closings of tabs, and joint departures.
    closings: u64,
    left_together: u64,
    /// By hour of the day: sums of the share of nodes that are here, and of how many.
    hours: [(f64, u64); 24],
    /// Sums over worlds: coded pieces aimed at, days believed of a life, hours of blindness.
    floor: f64,
    life_days: f64,
    blind_hours: [f64; 2],
    mend_hours: f64,
    traces: Vec<String>,
}

impl Found {
    pub(super) fn of(world: World<'_>) -> Self {
        let (exposure, ..) = world.exposure();
        let months = (world.config.end_ms() - world.config.settle_ms()) as f64 / MONTH_MS as f64;
        let hours = |ms: u64| ms as f64 / HOUR_MS as f64;
        let mut figures: Vec<Figures> =
            world.kept.iter().map(|kept| kept.figures.clone()).collect();
        for object in &world.objects {
            figures[usize::from(object.scheme)].object_months += months;
        }
        let mut delays = world.delays;
        delays.sort_unstable();
        Self {
            config: world.config.clone(),
            worlds: 1,
            figures,
            delays,
            false_alarms: world.false_alarms,
            convicted: world.convicted,
            closings: world.closings,
            left_together: world.left_together,
            hours: world.hours,
            floor: f64::from(world.kept[0].aim.floor),
            life_days: hours(exposure.lifetime_ms) / 24.0,
            blind_hours: [hours(exposure.blind_ms), hours(exposure.whole_blind_ms)],
            mend_hours: hours(exposure.mend_ms),
            traces: vec![format!("{:016x}", world.trace)],
        }
    }

    pub(super) fn merge(mut self, other: &Self) -> Self {
        self.worlds += other.worlds;
        self.figures.iter_mut().zip(&other.figures).for_each(|(sum, more)| sum.merge(more));
        self.delays.extend(&other.delays);
        self.delays.sort_unstable();
        self.false_alarms += other.false_alarms;
        self.convicted += other.convicted;
        self.closings += other.closings;
        self.left_together += other.left_together;
        for (sum, more) in self.hours.iter_mut().zip(other.hours) {
            *sum = (sum.0 + more.0, sum.1 + more.1);
        }
        self.floor += other.floor;
        self.life_days += other.life_days;
        for (sum, more) in self.blind_hours.iter_mut().zip(other.blind_hours) {
            *sum += more;
        }
        self.mend_hours += other.mend_hours;
        self.traces.extend(other.traces.iter().cloned());
        self
    }

    /// Objects of ours that were lost, measured or not.
    pub fn lost(&self) -> u64 {
        self.ours().lost + self.ours().lost_settling
    }

    /// Repair traffic of ours, in objects' sizes per object and month.
    pub fn repair_per_month(&self) -> f64 {
        self.ours().repair_per_month()
    }

    /// Bytes stored of ours over objects' size, on average.
    pub fn space(&self) -> f64 {
        self.ours().space()
    }

    /// One hash of all traces.
    pub fn trace(&self) -> String {
        match self.traces.as_slice() {
            [one] => one.clone(),
            all => blake3::hash(all.concat().as_bytes()).to_hex()[..16].to_owned(),
        }
    }

    /// File names and contents of the pictures: margin over time, traffic beside others and
    /// by cause, survival.
    pub fn pictures(&self) -> Vec<(&'static str, String)> {
        vec![
            ("churn-margin.svg", plot::margin(self)),
            ("churn-traffic.svg", plot::traffic(self)),
            ("churn-causes.svg", plot::causes(self)),
            ("churn-survival.svg", plot::survival(self)),
        ]
    }

    /// The last line.
    pub fn line(&self) -> String {
        let ours = self.ours();
        let scheme = |n: usize| self.figures[n].repair_per_month();
        let margin = |share| self.settled_margin(share);
        format!(
            "sim churn seeds={} lost={} repair_per_month={:.4} object_years={:.0} nines={} \
             space={:.3} space_most={:.3} above_2.5={:.7} readable={:.5} margin_p50={} \
             margin_p0.1={} batched_per_month={:.4} \
             lazy_rs_per_month={:.4} replicas_per_month={:.4} msr_bound_per_month={:.4} \
             audit_per_month={:.4} detect_p50_h={} detect_p99_h={} trace={}",
            self.worlds,
            self.lost(),
            ours.repair_per_month(),
            ours.object_years(),
            nines(ours.nines().1),
            ours.space(),
            ours.stored_most,
            self.above(),
            ours.readable_share(),
            margin(0.5),
            margin(0.001),
            scheme(1),
            scheme(2),
            scheme(3),
            scheme(4),
            self.audit_per_month(),
            self.delay(0.5),
            self.delay(0.99),
            self.trace(),
        )
    }

    /// The share of objects' time in which more than 2.5 x is stored of them.
    pub fn above(&self) -> f64 {
        Above::ALL.iter().map(|why| self.ours().above_share(*why)).sum()
    }

    /// The shares of nodes that are here at the worst and at the best hour of the day.
    fn wave(&self) -> (f64, f64) {
        let seen = self.hours.iter().filter(|(_, times)| *times > 0);
        let shares = seen.map(|(sum, times)| sum / *times as f64);
        shares.fold((1.0, 0.0), |(least, most), here| (here.min(least), here.max(most)))
    }

    fn ours(&self) -> &Figures {
        &self.figures[0]
    }

    /// Audits are by holder: an object bears them by its share of what the holder has.
    pub(super) fn audit_per_month(&self) -> f64 {
        let held_bytes = self.config.held_gib.max(1e-3) * (1u64 << 30) as f64;
        self.ours().space() * AUDIT_DAY_BYTES * MONTH_DAYS / held_bytes
    }

    fn delay(&self, share: f64) -> u32 {
        let rank = (self.delays.len() as f64 * share).ceil() as usize;
        self.delays.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    fn settled_margin(&self, share: f64) -> i32 {
        let settled = self.config.settle_months as usize;
        let months = self.ours().margins.iter().skip(settled);
        months.filter_map(|month| month.quantile(share)).min().unwrap_or_default()
    }
}

/// The table.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<38} {:>9} {:>5} {:>7} {:>6} {:>6} {:>8}  by cause, a month",
            "scheme", "obj-years", "lost", "repair", "space", "most", "readable"
        )?;
        for (scheme, figures) in Scheme::ALL.iter().zip(&self.figures) {
            write!(
                f,
                "{:<38} {:>9.0} {:>5} {:>7.4} {:>6.3} {:>6.3} {:>8.5} ",
                scheme.title(),
                figures.object_years(),
                figures.lost + figures.lost_settling,
                figures.repair_per_month(),
                figures.space(),
                figures.stored_most,
                figures.readable_share()
            )?;
            for cause in Cause::ALL {
                write!(f, " {}={:.4}", cause.name(), figures.cause_per_month(cause))?;
            }
            writeln!(f)?;
        }
        self.about_ours(f)?;
        self.about_network(f)
    }
}

impl Found {
    /// What our scheme did, beside the table.
    fn about_ours(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, worlds) = (self.ours(), self.worlds as f64);
        let months = ours.object_months.max(1e-9);
        writeln!(
            f,
            "ours: floor {:.1} of k = {}; relayed {:.4}, wasted {:.4} per month; repairs {}, \
             taken over {}, recoded {}",
            self.floor / worlds,
            self.config.k,
            ours.relayed / months,
            ours.wasted / months,
            ours.repairs,
            ours.taken_over,
            ours.recoded
        )?;
        write!(f, "ours above 2.5 x: {:.7} of the time", self.above())?;
        for why in Above::ALL {
            write!(f, ", {} {:.7}", why.name(), ours.above_share(why))?;
        }
        let (found, certain) = ours.nines();
        writeln!(
            f,
            "\nours: lost {:.3e} per object-month; nines of a year's survival {} (certain to 95%: {}); \
             audits {:.5} a month",
            self.lost() as f64 / (ours.lived / MONTH_MS as f64).max(1e-9),
            nines(found),
            nines(certain),
            self.audit_per_month()
        )
    }

    /// What the nodes did.
    fn about_network(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worlds = self.worlds as f64;
        let (least, most) = self.wave();
        writeln!(
            f,
            "network: {:.1}% of nodes here at the worst hour, {:.1}% at the best; tabs closed \
             together {} times, one hand left {} times; gone for good and noticed after {} h \
             (median), {} h (99%)",
            least * 100.0,
            most * 100.0,
            self.closings,
            self.left_together,
            self.delay(0.5),
            self.delay(0.99)
        )?;
        write!(
            f,
            "holders: life {:.0} d as learned, missed after {:.1} h (of whole copies {:.1} h), \
             mended in {:.1} h; given up in vain {}, liars caught {}",
            self.life_days / worlds,
            self.blind_hours[0] / worlds,
            self.blind_hours[1] / worlds,
            self.mend_hours / worlds,
            self.false_alarms,
            self.convicted
        )
    }
}

/// Nines, or that there is no end to them.
fn nines(of: Option<f64>) -> String {
    of.map_or_else(|| "-".to_owned(), |nines| format!("{nines:.2}"))
}
