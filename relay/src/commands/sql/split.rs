//! Where one statement of SQL ends: a semicolon that is in no text, name, comment or trigger.
//!
//! The states are those of SQLite's own `sqlite3_complete`.
//! Source: <https://www.sqlite.org/c3ref/complete.html>, `src/complete.c`.

#[derive(Clone, Copy)]
enum Token {
    Semi,
    Space,
    Other,
    Explain,
    Create,
    Temp,
    Trigger,
    End,
}

/// The state after each token: 0 nothing yet, 1 between statements, 2 in one, 3 after EXPLAIN, 4 after
/// CREATE, 5 in a trigger, 6 after a semicolon there, 7 after END there.
const NEXT: [[u8; 8]; 8] = [
    [1, 0, 2, 3, 4, 2, 2, 2],
    [1, 1, 2, 3, 4, 2, 2, 2],
    [1, 2, 2, 2, 2, 2, 2, 2],
    [1, 3, 3, 2, 4, 2, 2, 2],
    [1, 4, 2, 2, 2, 4, 5, 2],
    [6, 5, 5, 5, 5, 5, 5, 5],
    [6, 6, 5, 5, 5, 5, 5, 7],
    [1, 7, 5, 5, 5, 5, 5, 5],
];

/// The length of the first statement of `text` with its semicolon; none if it does not end there.
pub(super) fn first(text: &str) -> Option<usize> {
    let (mut state, mut at) = (0, 0);
    while let Some((token, length)) = token(&text[at..]) {
        let before = state;
        state = NEXT[usize::from(state)][token as usize];
        at += length;
        if matches!(token, Token::Semi) && state == 1 && before != 1 {
            return Some(at);
        }
    }
    None
}

/// Whether there is nothing but space and comments.
pub(super) fn is_empty(text: &str) -> bool {
    let mut at = 0;
    while let Some((token, length)) = token(&text[at..]) {
        if !matches!(token, Token::Space | Token::Semi) {
            return false;
        }
        at += length;
    }
    true
}

/// The first word of a statement, in capitals.
pub(super) fn verb(text: &str) -> String {
    let mut at = 0;
    while let Some((Token::Space | Token::Semi, length)) = token(&text[at..]) {
        at += length;
    }
    text[at..].chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_uppercase()
}

/// The token at the start of `text`, and its length; a text or a comment without an end takes all.
fn token(text: &str) -> Option<(Token, usize)> {
    let first = text.chars().next()?;
    let all = text.len();
    Some(match first {
        ';' => (Token::Semi, 1),
        '-' if text.starts_with("--") => (Token::Space, text.find('\n').map_or(all, |at| at + 1)),
        '/' if text.starts_with("/*") => {
            (Token::Space, text[2..].find("*/").map_or(all, |at| at + 4))
        }
        '\'' | '"' | '`' => (Token::Other, text[1..].find(first).map_or(all, |at| at + 2)),
        '[' => (Token::Other, text.find(']').map_or(all, |at| at + 1)),
        first if first.is_whitespace() => (Token::Space, first.len_utf8()),
        first if is_word(first) => {
            let length = text.find(|c| !is_word(c)).unwrap_or(all);
            let token = match text[..length].to_ascii_lowercase().as_str() {
                "explain" => Token::Explain,
                "create" => Token::Create,
                "temp" | "temporary" => Token::Temp,
                "trigger" => Token::Trigger,
                "end" => Token::End,
                _ => Token::Other,
            };
            (token, length)
        }
        first => (Token::Other, first.len_utf8()),
    })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        while let Some(length) = first(text) {
            found.push(text[..length].trim());
            text = &text[length..];
        }
        found.push(text.trim());
        found
    }

    #[test]
    fn statements_end_where_sqlite_ends_them() {
        assert_eq!(all("SELECT 1; SELECT 2;\n"), ["SELECT 1;", "SELECT 2;", ""]);
        assert_eq!(
            all("SELECT ';', \";\", [;], `;` -- ;\n /* ; */ ;x"),
            ["SELECT ';', \";\", [;], `;` -- ;\n /* ; */ ;", "x"]
        );
        let trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;";
        assert_eq!(all(&format!("{trigger} SELECT 3;")), [trigger, "SELECT 3;", ""]);
        assert_eq!(all("SELECT 'it''s';"), ["SELECT 'it''s';", ""]);
        assert_eq!(first("SELECT 'open;"), None);
        assert_eq!(first("SELECT 1 -- ;"), None);
        assert_eq!(first(""), None);
        assert!(is_empty(" ; -- x\n/* y */") && !is_empty("x"));
        assert_eq!(verb(" /* x */ Begin;"), "BEGIN");
        assert_eq!(all("größe;ß;"), ["größe;", "ß;", ""]);
    }
}
