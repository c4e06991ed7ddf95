//! Byte counts and ranges between people and programs.

/// Reads `1048576`, `500MB` (decimal) or `10GiB` (binary).
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A count of bytes with three digits, in binary units.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A number of files in words: `1 file`, `7 files`.
pub(crate) fn files_text(files: u64) -> String {
    format!("{files} file{}", if files == 1 { "" } else { "s" })
}

/// Reads `first-last` (both included, as in HTTP) or `first-` into a half-open range.
pub(crate) fn parse_range(text: &str) -> Option<craftec_api::Range> {
    let (first, last) = text.split_once('-')?;
    let number = |text: &str| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u64>().ok())
            .flatten()
    };
    let start = number(first)?;
    let end = match last {
        "" => None,
        last => Some(number(last).filter(|last| *last >= start)?.checked_add(1)?),
    };
    Some(craftec_api::Range { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_api::Range;

    #[test]
    fn bytes_are_read_and_written() {
        assert_eq!(parse_bytes("10GiB"), Some(10 << 30));
        assert_eq!(parse_bytes("500 MB"), Some(500_000_000));
        assert_eq!(parse_bytes("7"), Some(7));
        for bad in ["", "GiB", "-1", "1.5G", "99999999999999999999", "20000000TiB", "1 x"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
        assert_eq!(bytes_text(1023), "1023 B");
        assert_eq!(bytes_text(1536), "1.50 KiB");
        assert_eq!(bytes_text(u64::MAX), "16384 PiB");
    }

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!(parse_range("0-99"), Some(Range { start: 0, end: Some(100) }));
        assert_eq!(parse_range("5-"), Some(Range { start: 5, end: None }));
        for bad in ["", "-", "-5", "5", "9-3", "a-b", "0-18446744073709551615", "+1-2"] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
