//! SQL as text: how many statements there are, how a name is quoted.
//!
//! Pure text.

/// Whether there is more than one statement: something besides comments after a semicolon that is in no
/// text, name or comment. The body of a trigger counts as several, which may run as a script too.
pub(crate) fn several(sql: &str) -> bool {
    let (mut rest, mut ended) = (sql, false);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '-' if rest.starts_with("--") => rest.find('\n').map(|at| at + 1),
            '/' if rest.starts_with("/*") => rest[2..].find("*/").map(|at| at + 4),
            ';' => {
                ended = true;
                Some(1)
            }
            first if first.is_whitespace() => Some(first.len_utf8()),
            _ if ended => return true,
            '\'' | '"' | '`' => rest[1..].find(first).map(|at| at + 2),
            first => Some(first.len_utf8()),
        };
        rest = length.map_or("", |length| &rest[length..]);
    }
    false
}

/// A name as SQL has it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_is_one_wherever_semicolons_stand() {
        for one in [
            "",
            "SELECT 1",
            "SELECT 1; -- that is all; really\n  ",
            "SELECT ';' ; /* a; b */",
            "SELECT \"a;b\", `;`;;",
            "SELECT 'it''s; one'",
            "SELECT 'no end; SELECT",
            "/* no end; SELECT",
        ] {
            assert!(!several(one), "{one}");
        }
        for more in ["SELECT 1; SELECT 2", "A;B", ";SELECT 1", "SELECT 'ü';\n--x\nSELECT 2;"] {
            assert!(several(more), "{more}");
        }
    }

    #[test]
    fn a_name_is_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
