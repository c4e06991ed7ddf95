//! What may differ from stock SQLite, and why: `tests/sqlite/excluded.txt`.

use std::{cell::Cell, collections::BTreeMap, fs};

use anyhow::{Context, bail};

use crate::paths;

/// The list.
pub(super) struct Excluded {
    /// Reasons by their words.
    reasons: BTreeMap<String, String>,
    rules: Vec<Rule>,
}

struct Rule {
    line: usize,
    reason: String,
    file: String,
    /// Cases; none if the file is not run at all.
    case: Option<String>,
    used: Cell<bool>,
}

impl Excluded {
    /// Reads it; a line is `= WORD REASON`, or `WORD FILE CASE…` with globs, or `WORD FILE -`.
    pub(super) fn read() -> anyhow::Result<Self> {
        let path = paths::root().join("tests/sqlite/excluded.txt");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut list = Self { reasons: BTreeMap::new(), rules: Vec::new() };
        for (number, line) in (1..).zip(text.lines()) {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (None, _) => {}
                (Some(first), _) if first.starts_with('#') => {}
                (Some("="), Some(word)) => {
                    let reason: Vec<_> = words.collect();
                    list.reasons.insert(word.to_owned(), reason.join(" "));
                }
                (Some(reason), Some(file)) if list.reasons.contains_key(reason) => {
                    for case in words {
                        list.rules.push(Rule {
                            line: number,
                            reason: reason.to_owned(),
                            file: file.to_owned(),
                            case: (case != "-").then(|| case.to_owned()),
                            used: Cell::new(false),
                        });
                    }
                }
                _ => bail!("tests/sqlite/excluded.txt:{number}: no reason of that word above"),
            }
        }
        Ok(list)
    }

    /// Why `file` is not run at all.
    pub(super) fn not_run(&self, file: &str) -> Option<&str> {
        let rule = self.rules.iter().find(|r| r.case.is_none() && matches(&r.file, file))?;
        rule.used.set(true);
        Some(&rule.reason)
    }

    /// Why `case` of `file` may fail.
    pub(super) fn may_fail(&self, file: &str, case: &str) -> Option<&str> {
        let allows = |rule: &&Rule| {
            matches(&rule.file, file) && rule.case.as_ref().is_some_and(|own| matches(own, case))
        };
        let mut rules = self.rules.iter().filter(allows).peekable();
        let reason = rules.peek().map(|rule| rule.reason.as_str());
        rules.for_each(|rule| rule.used.set(true));
        reason
    }

    /// Lines that excluded nothing, though a file that they name was run.
    pub(super) fn unused(&self, ran: &[String]) -> Vec<String> {
        let idle = |rule: &&Rule| {
            let ran = ran.iter().any(|file| matches(&rule.file, file));
            !rule.used.get() && rule.case.is_some() && ran
        };
        let told = |rule: &Rule| {
            let case = rule.case.as_deref().unwrap_or("-");
            format!("excluded.txt:{}: {} {case} passes", rule.line, rule.file)
        };
        self.rules.iter().filter(idle).map(told).collect()
    }

    /// What a word stands for.
    pub(super) fn reason(&self, word: &str) -> &str {
        self.reasons.get(word).map_or("", String::as_str)
    }
}

/// Whether `text` is what `glob` says, where `*` stands for anything.
pub(super) fn matches(glob: &str, text: &str) -> bool {
    let Some((before, after)) = glob.split_once('*') else { return glob == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    (0..=rest.len())
        .filter(|at| rest.is_char_boundary(*at))
        .any(|at| rest.get(at..).is_some_and(|rest| matches(after, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_excludes_what_it_names_and_one_that_excludes_nothing_is_told() {
        let list = Excluded::parse(
            "# c\n= wal no WAL\n\nwal wal*.test -\nwal a.test a-1.* a-2\nwal b.test *\n",
        );
        let list = list.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(list.not_run("wal2.test"), Some("wal"));
        assert_eq!(list.not_run("a.test"), None);
        assert_eq!(list.may_fail("a.test", "a-1.3.x"), Some("wal"));
        assert_eq!(list.may_fail("a.test", "a-3"), None);
        let ran = ["a.test".to_owned()];
        assert_eq!(list.unused(&ran), ["excluded.txt:5: a.test a-2 passes"]);
        assert_eq!(list.reason("wal"), "no WAL");
        assert!(Excluded::parse("nothing a.test *").is_err());
        assert!(matches("*b*", "abc") && !matches("a*d", "abc") && matches("*", ""));
    }
}
