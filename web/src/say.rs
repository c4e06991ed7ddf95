//! Figures in words: bytes, counts, times, dates and shortened ids, as the app writes them.
//!
//! Pure: the present moment and the time zone are arguments. Never reads a clock, never rounds a
//! count.

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A point in time together with how the reader's clock shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// Minutes to add to UTC for the reader's zone.
    pub(crate) zone_min: i64,
}

/// A whole number with thousands commas: `1,284`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 file`, `1,284 files`. The plural adds an `s`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(n))
}

/// The ten words that read better than a figure at the start of a sentence.
pub(crate) fn small_number(n: u64) -> String {
    const WORDS: [&str; 11] =
        ["None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"];
    usize::try_from(n)
        .ok()
        .and_then(|i| WORDS.get(i))
        .map_or_else(|| count(n), |word| (*word).to_owned())
}

/// Bytes as figure and unit; MB is 10⁶.
pub(crate) fn byte_parts(bytes: u64) -> (String, &'static str) {
    const UNITS: [(&str, u64); 4] =
        [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];
    if bytes < 1_000 {
        return (bytes.to_string(), "B");
    }
    // The smallest unit that still shows fewer than four digits once it is rounded.
    for (unit, size) in UNITS {
        let tenths = (u128::from(bytes) * 10 + u128::from(size) / 2) / u128::from(size);
        if tenths >= 9_995 && unit != "TB" {
            continue;
        }
        if tenths >= 1_000 {
            return (count(u64::try_from((tenths + 5) / 10).unwrap_or(u64::MAX)), unit);
        }
        if size >= 1_000_000_000 && tenths < 100 {
            let hundredths = (u128::from(bytes) * 100 + u128::from(size) / 2) / u128::from(size);
            let figure = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            return (figure.trim_end_matches('0').trim_end_matches('.').to_owned(), unit);
        }
        return (format!("{}.{}", tenths / 10, tenths % 10), unit);
    }
    (count(bytes), "B")
}

/// Bytes with their unit: `6.1 MB`.
pub(crate) fn bytes(n: u64) -> String {
    let (figure, unit) = byte_parts(n);
    format!("{figure} {unit}")
}

/// Part of a whole: `48.2 of 72.3 MB`, or both with their own unit where these differ.
pub(crate) fn bytes_of(part: u64, whole: u64) -> String {
    let (a, unit_a) = byte_parts(part);
    let (b, unit_b) = byte_parts(whole);
    if unit_a == unit_b {
        format!("{a} of {b} {unit_b}")
    } else {
        format!("{a} {unit_a} of {b} {unit_b}")
    }
}

/// Bytes a second, or nothing where no time has passed.
pub(crate) fn rate(bytes_moved: u64, elapsed_ms: u64) -> Option<String> {
    (elapsed_ms > 0 && bytes_moved > 0).then(|| {
        let per_second = u128::from(bytes_moved) * 1_000 / u128::from(elapsed_ms);
        format!("{}/s", bytes(u64::try_from(per_second).unwrap_or(u64::MAX)))
    })
}

/// A wait of seconds: `0.1 s`, `12 s`, `3 min 4 s`.
pub(crate) fn seconds(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / SECOND_MS, ms % SECOND_MS / 100),
        10_000..MINUTE_MS => format!("{} s", ms / SECOND_MS),
        _ => format!("{} min {} s", ms / MINUTE_MS, ms % MINUTE_MS / SECOND_MS),
    }
}

/// A long time: `2 h 14 min`, `3 d 4 h`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..MINUTE_MS => format!("{} s", ms / SECOND_MS),
        MINUTE_MS..HOUR_MS => format!("{} min", ms / MINUTE_MS),
        HOUR_MS..DAY_MS => format!("{} h {} min", ms / HOUR_MS, ms % HOUR_MS / MINUTE_MS),
        _ => format!("{} d {} h", ms / DAY_MS, ms % DAY_MS / HOUR_MS),
    }
}

/// A date near now: `just now`, `4 min ago`, `Today 18:40`, `Yesterday 22:10`, `17 Nov`,
/// `17 Nov 2025`.
pub(crate) fn when(time_ms: u64, now: Now) -> String {
    let age_ms = now.time_ms.saturating_sub(time_ms);
    if age_ms < MINUTE_MS {
        return "just now".into();
    }
    if age_ms < HOUR_MS {
        return format!("{} min ago", age_ms / MINUTE_MS);
    }
    let (then, today) = (Local::of(time_ms, now.zone_min), Local::of(now.time_ms, now.zone_min));
    match today.day_number - then.day_number {
        0 => format!("Today {}", then.clock()),
        1 => format!("Yesterday {}", then.clock()),
        _ if then.year == today.year => then.date(),
        _ => format!("{} {}", then.date(), then.year),
    }
}

/// The exact moment: `17 Nov 2026 18:02`.
pub(crate) fn moment(time_ms: u64, now: Now) -> String {
    let then = Local::of(time_ms, now.zone_min);
    format!("{} {} {}", then.date(), then.year, then.clock())
}

/// A date on the reader's calendar.
struct Local {
    day_number: i64,
    year: i64,
    month: usize,
    day: i64,
    minute_of_day: i64,
}

impl Local {
    /// Days since 1970 to a Gregorian date (Howard Hinnant's `civil_from_days`).
    fn of(time_ms: u64, zone_min: i64) -> Self {
        let minutes = i64::try_from(time_ms / MINUTE_MS).unwrap_or(0) + zone_min;
        let day_number = minutes.div_euclid(24 * 60);
        let z = day_number + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 2 } else { shifted - 10 };
        Self {
            day_number,
            year: year_of_era + era * 400 + i64::from(month < 2),
            month: usize::try_from(month).unwrap_or(0),
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            minute_of_day: minutes.rem_euclid(24 * 60),
        }
    }

    fn date(&self) -> String {
        format!("{} {}", self.day, MONTHS.get(self.month).unwrap_or(&""))
    }

    fn clock(&self) -> String {
        format!("{:02}:{:02}", self.minute_of_day / 60, self.minute_of_day % 60)
    }
}

/// The last characters of an id, which differ even where the first ones are a fixed prefix.
pub(crate) fn tail(id: &str, chars: usize) -> &str {
    let skip = id.chars().count().saturating_sub(chars);
    id.char_indices().nth(skip).map_or("", |(at, _)| &id[at..])
}

/// The first characters of an id.
pub(crate) fn lead(id: &str, chars: usize) -> &str {
    id.char_indices().nth(chars).map_or(id, |(at, _)| &id[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_795_089_600_000; // 19 Nov 2026 12:00 UTC
    const NOW: Now = Now { time_ms: NOON, zone_min: 0 };

    #[test]
    fn counts_have_commas() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_284), "1,284");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(2_000, "file"), "2,000 files");
        assert_eq!(small_number(5), "Five");
        assert_eq!(small_number(11), "11");
    }

    #[test]
    fn bytes_are_decimal_and_never_show_four_digits() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (3_149, "3.1 kB"),
            (214_000, "214 kB"),
            (999_400, "999 kB"),
            (999_600, "1.0 MB"),
            (6_100_000, "6.1 MB"),
            (48_249_000, "48.2 MB"),
            (1_840_000_000, "1.84 GB"),
            (22_400_000_000, "22.4 GB"),
            (9_999_000_000, "10.0 GB"),
            (2_000_000_000, "2 GB"),
            (1_500_000_000_000, "1.5 TB"),
        ] {
            assert_eq!(bytes(n), text, "{n}");
        }
        assert!(bytes(u64::MAX).ends_with(" TB"));
        assert_eq!(bytes_of(67_100_000, 72_300_000), "67.1 of 72.3 MB");
        assert_eq!(bytes_of(214_000, 72_300_000), "214 kB of 72.3 MB");
    }

    #[test]
    fn a_rate_needs_time_and_bytes() {
        assert_eq!(rate(6_800_000, 2_000).as_deref(), Some("3.4 MB/s"));
        assert_eq!(rate(1, 0), None);
        assert_eq!(rate(0, 5), None);
    }

    #[test]
    fn waits_and_times() {
        assert_eq!(seconds(140), "0.1 s");
        assert_eq!(seconds(12_400), "12 s");
        assert_eq!(seconds(184_000), "3 min 4 s");
        assert_eq!(duration(59_999), "59 s");
        assert_eq!(duration(8_040_000), "2 h 14 min");
        assert_eq!(duration(DAY_MS + 2 * HOUR_MS), "1 d 2 h");
    }

    #[test]
    fn dates_are_british_and_relative_when_near() {
        assert_eq!(when(NOON + 5_000, NOW), "just now");
        assert_eq!(when(NOON - 4 * MINUTE_MS, NOW), "4 min ago");
        assert_eq!(when(NOON - 3 * HOUR_MS, NOW), "Today 09:00");
        assert_eq!(when(NOON - 14 * HOUR_MS, NOW), "Yesterday 22:00");
        assert_eq!(when(NOON - 2 * DAY_MS, NOW), "17 Nov");
        assert_eq!(when(NOON - 400 * DAY_MS, NOW), "15 Oct 2025");
        assert_eq!(moment(NOON, Now { zone_min: 90, ..NOW }), "19 Nov 2026 13:30");
        assert_eq!(moment(0, NOW), "1 Jan 1970 00:00");
        assert_eq!(moment(951_782_400_000, NOW), "29 Feb 2000 00:00");
    }

    #[test]
    fn the_zone_moves_midnight() {
        let late = Now { time_ms: NOON, zone_min: -13 * 60 };
        assert_eq!(when(NOON - 3 * HOUR_MS, late), "Today 20:00");
        assert_eq!(when(NOON - 3 * HOUR_MS, Now { zone_min: 14 * 60, ..NOW }), "Yesterday 23:00");
    }

    #[test]
    fn ids_are_cut_by_characters() {
        assert_eq!(tail("12D3KooWabcdef", 4), "cdef");
        assert_eq!(tail("ab", 4), "ab");
        assert_eq!(tail("héé", 2), "éé");
        assert_eq!(lead("bafyr4igwd", 8), "bafyr4ig");
        assert_eq!(lead("é", 8), "é");
    }
}
