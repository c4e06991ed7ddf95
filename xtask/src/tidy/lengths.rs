//! Lengths: files that fit in the head, functions that fit on a screen.

use super::Source;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const LINE_CHARS: usize = 100;
/// Prose is not reflowed by rustfmt.
const COMMENT_CHARS: usize = 110;

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut wrong = Vec::new();
    // Tests below the code don't count towards the file's length.
    let code = lines.iter().position(|l| *l == "mod tests {").unwrap_or(lines.len());
    if code > FILE_LINES {
        wrong.push(format!("{}: {code} lines, more than {FILE_LINES}", source.path));
    }
    for (number, line) in lines.iter().enumerate() {
        let chars = line.chars().count();
        let comment = line.trim_start().starts_with("//");
        let limit = if comment { COMMENT_CHARS } else { LINE_CHARS };
        if chars > limit && !line.contains("http") && !line.contains('"') {
            wrong.push(format!("{}:{}: {chars} characters", source.path, number + 1));
        }
    }
    if source.path.ends_with(".rs") {
        wrong.extend(long_functions(&source.path, &lines));
    }
    wrong
}

/// Functions of formatted Rust: from the line with `fn` to the closing brace of the same indent.
fn long_functions(path: &str, lines: &[&str]) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut wrong = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        if !is_function(line.trim_start()) {
            continue;
        }
        let opens = lines[start..].iter().find(|l| l.ends_with('{') || l.ends_with(';'));
        if !opens.is_some_and(|l| l.ends_with('{')) {
            continue;
        }
        let depth = indent(line);
        let end =
            lines[start..].iter().position(|l| indent(l) == depth && l.trim_end().ends_with('}'));
        let length = end.map_or(0, |end| end + 1);
        if length > FUNCTION_LINES {
            wrong.push(format!("{path}:{}: a function of {length} lines", start + 1));
        }
    }
    wrong
}

fn is_function(line: &str) -> bool {
    let words = ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "];
    let mut rest = line;
    while let Some(word) = words.iter().find(|w| rest.starts_with(**w)) {
        rest = &rest[word.len()..];
    }
    rest.starts_with("fn ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_found_and_a_short_one_is_not() {
        let body = "    x();\n".repeat(FUNCTION_LINES);
        let text = format!("//! Doc.\nfn long() {{\n{body}}}\nfn short() {{\n    y();\n}}\n");
        let wrong = check(&[Source { path: "a.rs".to_owned(), text }]);
        assert_eq!(wrong, [format!("a.rs:2: a function of {} lines", FUNCTION_LINES + 2)]);
    }
}
