//! Media types by the ending of a name. Never by content: what a browser is told must not depend on
//! what a stranger wrote into a file.

/// The media type of a path; text says that it is UTF-8.
pub(crate) fn media_type(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let guess = match ending.to_ascii_lowercase().as_str() {
        // Where the table is wrong for the web, or undecided.
        "js" | "mjs" | "cjs" => "text/javascript",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "map" => "application/json",
        "woff2" => "font/woff2",
        "ts" => "text/plain",
        _ => mime_guess::from_ext(ending).first_raw().unwrap_or("application/octet-stream"),
    };
    let text = guess.starts_with("text/")
        || matches!(guess, "application/json" | "application/xml" | "image/svg+xml")
        || guess == "application/manifest+json";
    if text { format!("{guess}; charset=utf-8") } else { guess.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_decide() {
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b/APP.JS", "text/javascript; charset=utf-8"),
            ("x.wasm", "application/wasm"),
            ("x.css", "text/css; charset=utf-8"),
            ("x.svg", "image/svg+xml; charset=utf-8"),
            ("x.png", "image/png"),
            ("x.json", "application/json; charset=utf-8"),
            ("README", "application/octet-stream"),
            ("html", "application/octet-stream"),
            ("", "application/octet-stream"),
            (".html", "text/html; charset=utf-8"),
        ] {
            assert_eq!(media_type(path), expected, "{path}");
        }
    }
}
