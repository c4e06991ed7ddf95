//! Seeds that once failed, kept for ever in `seeds.txt` and replayed by the tests.
//!
//! One a line: scenario, seed, and why it is kept. A seed is a world only together with the code
//! that draws from it, so an old seed may meet another storm after a change of the simulator; it is
//! kept because it costs nothing and the reason stays true.

use crate::scenario::Scenario;

/// The list.
const SEEDS: &str = include_str!("../seeds.txt");

/// One seed of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// In which scenario.
    pub scenario: Scenario,
    /// Which world.
    pub seed: u64,
    /// What went wrong there once.
    pub why: String,
}

/// All kept seeds, or what is wrong with the list.
pub fn kept() -> Result<Vec<Kept>, String> {
    parse(SEEDS)
}

fn parse(text: &str) -> Result<Vec<Kept>, String> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let wrong = || format!("`{line}` is not `scenario seed why`");
            let (scenario, rest) = line.split_once(' ').ok_or_else(wrong)?;
            let (seed, why) = rest.trim().split_once(' ').ok_or_else(wrong)?;
            let seed = seed.parse().map_err(|_| wrong())?;
            Ok(Kept { scenario: scenario.parse()?, seed, why: why.trim().to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_scenario_seed_and_why() {
        let kept = parse("# a comment\n\nstorm 17 a name went back\n").unwrap();
        let why = "a name went back".to_owned();
        assert_eq!(kept, [Kept { scenario: Scenario::Storm, seed: 17, why }]);
        for bad in ["storm", "storm 17", "storm x why", "calm 1 why"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
