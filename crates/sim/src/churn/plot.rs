//! Pictures of what was found, as small SVG. Colours are greys and one accent that hold on light and
//! dark; inside the documentation its style sheet takes over by class. Equal findings, equal bytes.

use std::fmt::Write;

use super::{
    config::MONTH_MS,
    figures::{Cause, Figures},
    plan::Scheme,
    report::Found,
};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 744.0;
const INK: &str = "#74828a";
const ACCENT: &str = "#2b8f9b";

/// A scale from values to places.
#[derive(Clone, Copy)]
struct Scale {
    from: f64,
    to: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn at(self, value: f64) -> f64 {
        self.low + (value - self.from) / (self.to - self.from).max(1e-9) * (self.high - self.low)
    }
}

/// The margin of our objects over their life: the median, and what one in a hundred and one in a
/// thousand do not exceed.
pub(super) fn margin(found: &Found) -> String {
    let months = &found.figures[0].margins;
    let points = |share: f64| -> Vec<(f64, f64)> {
        let margins = months.iter().enumerate();
        margins
            .filter_map(|(month, of)| Some((month as f64, f64::from(of.quantile(share)?))))
            .collect()
    };
    let lines = [("median", 0.5), ("1 in 100", 0.01), ("1 in 1000", 0.001)];
    let lines = lines.map(|(name, share)| (name, points(share)));
    let values = lines.iter().flat_map(|(_, line)| line.iter().map(|(_, margin)| *margin));
    let most = values.clone().fold(10.0, f64::max);
    let least = values.fold(0.0, f64::min);
    let x =
        Scale { from: 0.0, to: months.len().max(2) as f64 - 1.0, low: LEFT, high: RIGHT - 70.0 };
    let y = Scale { from: least, to: most, low: 250.0, high: 36.0 };
    let mut svg = open(290.0);
    let name = "Coded pieces above what decodes, by the months since the object was put";
    text(&mut svg, LEFT, 20.0, "start", "", name);
    for step in (0..=most as i32).step_by(if most > 60.0 { 20 } else { 5 }) {
        rule(&mut svg, y.at(f64::from(step)), &step.to_string());
    }
    for month in (0..months.len()).step_by(12) {
        text(&mut svg, x.at(month as f64), 270.0, "middle", "small", &month.to_string());
    }
    let styles = ["", "6 4", "1.5 4"];
    for (at, ((name, line), dashes)) in lines.iter().zip(styles).enumerate() {
        path(&mut svg, line.iter().map(|(month, margin)| (x.at(*month), y.at(*margin))), dashes);
        if let Some((month, margin)) = line.last() {
            let down = 4.0 + (at as f64 - 1.0) * 10.0;
            text(&mut svg, x.at(*month) + 6.0, y.at(*margin) + down, "start", "small", name);
        }
    }
    svg + "</svg>\n"
}

/// Repair traffic of all schemes, on one trace.
pub(super) fn traffic(found: &Found) -> String {
    let mut rows: Vec<(String, f64, bool)> = Scheme::ALL
        .iter()
        .zip(&found.figures)
        .map(|(scheme, of)| {
            (scheme.title().to_owned(), of.repair_per_month(), *scheme == Scheme::Ours)
        })
        .collect();
    // (ν − λ + 1) / (MTTF ln(ν/λ)), as Storj published it.
    let published = (3.0 - 1.25 + 1.0) / (found.config.mttf_months * (3.0f64 / 1.25).ln());
    rows.push(("lazy Reed-Solomon, as published".to_owned(), published, false));
    let name = format!(
        "Repair traffic in objects’ sizes a month, when a holder lives {} months",
        found.config.mttf_months
    );
    bars(&name, &rows)
}

/// What our repair traffic was for, and what audits cost beside it.
pub(super) fn causes(found: &Found) -> String {
    let name = |cause| match cause {
        Cause::Departed => "pieces of holders that are gone",
        Cause::Absent => "pieces of holders given up in vain",
        Cause::Lied => "pieces of liars that were caught",
        Cause::Read => "reads for new whole copies",
        Cause::Other => "pieces moved from crowded groups, and more",
    };
    let of = |cause: &Cause| found.figures[0].cause_per_month(*cause);
    let rows = Cause::ALL.iter().map(|cause| (name(*cause).to_owned(), of(cause), true));
    let mut rows: Vec<(String, f64, bool)> = rows.collect();
    rows.push(("audits".to_owned(), found.audit_per_month(), false));
    let name = format!(
        "Our traffic by cause, in objects’ sizes a month, when a holder lives {} months",
        found.config.mttf_months
    );
    bars(&name, &rows)
}

/// Rows of what, how much, and whether it is ours.
fn bars(name: &str, rows: &[(String, f64, bool)]) -> String {
    let most = rows.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    let x = Scale { from: 0.0, to: most, low: 300.0, high: RIGHT - 60.0 };
    let mut svg = open(44.0 + 34.0 * rows.len() as f64);
    text(&mut svg, 8.0, 20.0, "start", "", name);
    for (row, (title, value, ours)) in rows.iter().enumerate() {
        let top = 36.0 + 34.0 * row as f64;
        text(&mut svg, 8.0, top + 16.0, "start", "small", title);
        let (fill, class) = if *ours { (ACCENT, "own") } else { ("none", "box") };
        let width = x.at(*value) - x.low;
        // Writing to a String can't fail.
        let _ = writeln!(
            svg,
            "  <rect class=\"{class}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"22\" \
             fill=\"{fill}\" fill-opacity=\".35\" stroke=\"{INK}\"/>",
            x.low
        );
        let label = if most < 1.0 { format!("{value:.3}") } else { format!("{value:.2}") };
        text(&mut svg, x.at(*value) + 6.0, top + 16.0, "start", "small", &label);
    }
    svg + "</svg>\n"
}

/// The share of objects that are gone by their age, on a logarithmic scale.
pub(super) fn survival(found: &Found) -> String {
    let end = (found.config.end_ms() - found.config.put_ms()).div_ceil(MONTH_MS).max(1) as f64;
    let x = Scale { from: 0.0, to: end, low: LEFT, high: RIGHT - 190.0 };
    let y = Scale { from: -6.0, to: 0.0, low: 250.0, high: 36.0 };
    let mut svg = open(290.0);
    let name = "Share of objects that are lost, by their age in months";
    text(&mut svg, 8.0, 20.0, "start", "", name);
    for power in -6..=0 {
        let label = ["all", "10⁻¹", "10⁻²", "10⁻³", "10⁻⁴", "10⁻⁵", "10⁻⁶"][-power as usize];
        rule(&mut svg, y.at(f64::from(power)), label);
    }
    for month in (0..=end as usize).step_by(12) {
        text(&mut svg, x.at(month as f64), 270.0, "middle", "small", &month.to_string());
    }
    let styles = ["", "6 4", "1.5 4", "10 3 2 3", "2 2"];
    let mut free = 250.0;
    for ((scheme, of), dashes) in Scheme::ALL.iter().zip(&found.figures).zip(styles) {
        let curve = lost_by_age(of, end as u32);
        let last = curve.last().map_or(-6.0, |(_, share)| *share);
        path(&mut svg, curve.iter().map(|(age, share)| (x.at(*age), y.at(*share))), dashes);
        let lost = of.lost + of.lost_settling;
        let label = format!("{}: {lost} of {}", scheme.name().replace('_', " "), of.objects);
        let place = y.at(last).min(free);
        free = place - 15.0;
        text(&mut svg, RIGHT - 184.0, place, "start", "small", &label);
    }
    svg + "</svg>\n"
}

/// Months and the logarithm of the share that is gone by then, at least 10^-6.
fn lost_by_age(of: &Figures, end: u32) -> Vec<(f64, f64)> {
    let share = |age: u32| {
        let gone = of.lost_at.iter().filter(|at| **at < age).count() as f64;
        (gone / of.objects.max(1) as f64).max(1e-6).log10()
    };
    (0..=end).map(|age| (f64::from(age), share(age))).collect()
}

fn open(height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\">\n"
    )
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, words: &str) {
    let size = if class.is_empty() { 14 } else { 12 };
    let _ = writeln!(
        svg,
        "  <text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" \
         font-size=\"{size}\" fill=\"{INK}\">{words}</text>"
    );
}

/// A line across, and what it stands for.
fn rule(svg: &mut String, y: f64, label: &str) {
    let _ = writeln!(
        svg,
        "  <path class=\"way\" d=\"M{LEFT} {y:.1}H{:.0}\" stroke=\"{INK}\" fill=\"none\" \
         opacity=\".25\"/>",
        RIGHT - 70.0
    );
    text(svg, LEFT - 8.0, y + 4.0, "end", "small", label);
}

fn path(svg: &mut String, points: impl Iterator<Item = (f64, f64)>, dashes: &str) {
    let mut way = String::new();
    for (x, y) in points {
        let _ = write!(way, "{}{x:.1} {y:.1}", if way.is_empty() { "M" } else { "L" });
    }
    let _ = writeln!(
        svg,
        "  <path class=\"way act\" d=\"{way}\" stroke=\"{ACCENT}\" stroke-width=\"1.5\" \
         stroke-dasharray=\"{dashes}\" fill=\"none\"/>"
    );
}
