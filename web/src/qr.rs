//! A link as a QR code: one SVG path of black runs.

use qrcode::{Color, EcLevel, QrCode};

/// A code's path and its side in modules; `None` for a text that no code holds.
pub(crate) fn path(text: &str) -> Option<(String, usize)> {
    use std::fmt::Write as _;
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let side = code.width();
    let modules = code.into_colors();
    let mut path = String::new();
    for (y, row) in modules.chunks(side).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                let wide = run.len();
                // Writing to a String can't fail.
                let _ = write!(path, "M{x} {y}h{wide}v1h-{wide}z");
            }
            x += run.len();
        }
    }
    Some((path, side))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_exactly_the_dark_modules() {
        let text = "http://bafyb4icpkhlcuj22s3d2cpbwmiobgv74j3s4ml7y4b26kl6usxlh7gklqq.a.b:4080/";
        let (path, side) = path(text).unwrap();
        let dark: usize = path
            .split('M')
            .skip(1)
            .map(|run| {
                let wide = run.split_once('h').unwrap().1.split_once('v').unwrap().0;
                wide.parse::<usize>().unwrap()
            })
            .sum();
        let code = QrCode::with_error_correction_level(text, EcLevel::M).unwrap();
        assert_eq!(dark, code.into_colors().iter().filter(|c| **c == Color::Dark).count());
        assert!(path.starts_with("M0 0h7v1h-7z"), "{path}");
        assert!(side > 21);
    }

    #[test]
    fn an_impossible_text_has_no_code() {
        assert_eq!(path(&"x".repeat(10_000)), None);
    }
}
