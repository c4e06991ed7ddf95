//! Links: what a person pastes, and what the app hands out.
//!
//! Pure text. The node has the last word on every CID and name; this module only tells kinds apart
//! early enough to say something helpful.

/// Text length of a CID of ours (36 bytes in base32 after the `b`).
const CID_CHARS: usize = 59;
/// How the text of each codec with a BLAKE3-256 hash begins: raw, dag-pb, dag-cbor.
const OURS: [&str; 3] = ["bafkr4i", "bafyb4i", "bafyr4i"];
/// Longest text that is looked at; a longer paste is something else.
const INPUT_CHARS: usize = 8_192;

/// What a pasted text points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Content by its address, and a path below it.
    Content {
        /// The CID.
        cid: String,
        /// Without a leading slash; may be empty.
        path: String,
    },
    /// A name whose owner says which content it shows now, and a path below that.
    Name {
        /// `n…` or `did:craftec:…/name`.
        name: String,
        /// Without a leading slash; may be empty.
        path: String,
    },
}

/// Why a text is neither, in words for the field's help line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddressError {
    /// Nothing was typed.
    Empty,
    /// Part of a CID.
    CutCid {
        /// Characters that are missing.
        missing: usize,
    },
    /// A CID of another system.
    ForeignCid,
    /// Anything else.
    Unknown,
}

impl AddressError {
    /// The sentence beside the field.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Empty => "Paste a link, a CID or a name first.".into(),
            Self::CutCid { missing } => {
                let s = if *missing == 1 { " is" } else { "s are" };
                format!("{missing} character{s} missing at the end. Copy the whole address.")
            }
            Self::ForeignCid => "This CID uses another hash than BLAKE3. Your node can’t check \
                                 such content, so it doesn’t open it."
                .into(),
            Self::Unknown => "That is not a Craftec link, a CID (bafy… or bafk…) or a name. \
                              Copy the whole link."
                .into(),
        }
    }
}

/// Reads a pasted link, CID or name.
pub(crate) fn parse(text: &str) -> Result<Target, AddressError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.len() > INPUT_CHARS {
        return Err(AddressError::Unknown);
    }
    if let Some(rest) = text.strip_prefix("did:craftec:") {
        return did_name(rest);
    }
    match text.split_once("://") {
        Some(("ipfs", rest)) => from_root(rest),
        Some(("http" | "https", rest)) => from_url(rest),
        Some(_) => Err(AddressError::Unknown),
        None => from_root(text.strip_prefix("/ipfs/").unwrap_or(text)),
    }
}

/// `<did>/<name>[/path]`.
fn did_name(rest: &str) -> Result<Target, AddressError> {
    let mut parts = rest.splitn(3, '/');
    let (did, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    if did.is_empty() || name.is_empty() {
        return Err(AddressError::Unknown);
    }
    let path = clean_path(parts.next().unwrap_or(""));
    Ok(Target::Name { name: format!("did:craftec:{did}/{name}"), path })
}

/// `host[:port]/path`: the root is the host's first label, or follows `/ipfs/`.
fn from_url(rest: &str) -> Result<Target, AddressError> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if let Some(inner) = path.strip_prefix("ipfs/") {
        return from_root(inner);
    }
    let label = host.split('.').next().unwrap_or("");
    if !host.contains('.') {
        return Err(AddressError::Unknown);
    }
    from_root(&format!("{label}/{path}"))
}

/// `<cid or label>[/path]`.
fn from_root(text: &str) -> Result<Target, AddressError> {
    let (root, path) = text.split_once('/').unwrap_or((text, ""));
    let root = root.split(['?', '#']).next().unwrap_or("");
    let path = clean_path(path);
    if is_cid(root) {
        return Ok(Target::Content { cid: root.to_owned(), path });
    }
    if is_label(root) {
        return Ok(Target::Name { name: root.to_owned(), path });
    }
    if root.starts_with("Qm") || (root.starts_with("baf") && root.len() >= 20) {
        let ours = OURS.iter().any(|prefix| root.starts_with(prefix));
        return Err(match CID_CHARS.checked_sub(root.len()) {
            Some(missing @ 1..) if ours => AddressError::CutCid { missing },
            _ if ours => AddressError::Unknown,
            _ => AddressError::ForeignCid,
        });
    }
    Err(AddressError::Unknown)
}

/// Drops query and fragment and decodes percent signs, so that a path is plain text everywhere.
fn clean_path(path: &str) -> String {
    decode(path.split(['?', '#']).next().unwrap_or("").trim_matches('/'))
}

/// Decodes `%20` and the like; text that is no such code, or no UTF-8 afterwards, stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

fn is_base32(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

/// Whether the text has the shape of a CID of ours.
pub(crate) fn is_cid(text: &str) -> bool {
    text.len() == CID_CHARS
        && OURS.iter().any(|prefix| text.starts_with(prefix))
        && is_base32(&text[1..])
}

/// Whether the text has the shape of a name's host label: `n` and a hash of 32 bytes in base32.
fn is_label(text: &str) -> bool {
    text.len() == 53 && text.starts_with('n') && is_base32(&text[1..])
}

/// Where the app is served, and so where sites are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    /// `http:` or `https:`.
    pub(crate) protocol: String,
    /// Host and port of the app: `app.craftec.localhost:4080`.
    pub(crate) host: String,
}

impl Home {
    /// The origin of a site: the app's own with the CID in place of `app`.
    pub(crate) fn site_url(&self, root: &str, path: &str) -> String {
        let domain = self.host.strip_prefix("app.").unwrap_or(&self.host);
        format!("{}//{root}.{domain}/{path}", self.protocol)
    }
}

/// One name of a path as a URL carries it.
pub(crate) fn encode_path(path: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            // Writing to a String can't fail.
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &str = "bafkr4icpkhlcuj22s3d2cpbwmiobgv74j3s4ml7y4b26kl6usxlh7gklqq";
    const FOLDER: &str = "bafyb4icpkhlcuj22s3d2cpbwmiobgv74j3s4ml7y4b26kl6usxlh7gklqq";

    fn content(cid: &str, path: &str) -> Result<Target, AddressError> {
        Ok(Target::Content { cid: cid.into(), path: path.into() })
    }

    #[test]
    fn a_cid_is_found_in_every_form_of_link() {
        assert_eq!(parse(RAW), content(RAW, ""));
        assert_eq!(parse(&format!("  {FOLDER}\n")), content(FOLDER, ""));
        assert_eq!(parse(&format!("ipfs://{FOLDER}/a/b.html")), content(FOLDER, "a/b.html"));
        assert_eq!(parse(&format!("/ipfs/{FOLDER}/a/")), content(FOLDER, "a"));
        let site = format!("http://{FOLDER}.craftec.localhost:4080/a/b.html?q=1#top");
        assert_eq!(parse(&site), content(FOLDER, "a/b.html"));
        let gateway = format!("https://example.org/ipfs/{RAW}?format=raw");
        assert_eq!(parse(&gateway), content(RAW, ""));
    }

    #[test]
    fn names_are_told_apart() {
        let label = format!("n{}", "a".repeat(52));
        let name =
            |name: &str, path: &str| Ok(Target::Name { name: name.into(), path: path.into() });
        assert_eq!(parse(&label), name(&label, ""));
        assert_eq!(parse(&format!("https://{label}.craftec.example/x")), name(&label, "x"));
        assert_eq!(parse("did:craftec:abc/notes"), name("did:craftec:abc/notes", ""));
        assert_eq!(parse("did:craftec:abc/notes/a/b"), name("did:craftec:abc/notes", "a/b"));
        assert_eq!(parse("did:craftec:abc"), Err(AddressError::Unknown));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("  "), Err(AddressError::Empty));
        assert_eq!(parse(&RAW[..57]), Err(AddressError::CutCid { missing: 2 }));
        assert_eq!(parse(&format!("{RAW}a")), Err(AddressError::Unknown));
        let sha = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        assert_eq!(parse(sha), Err(AddressError::ForeignCid));
        let v0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG";
        assert_eq!(parse(v0), Err(AddressError::ForeignCid));
        for text in ["hello", "http://", "http://localhost/", "ftp://x.y/z", "..", "//", "bàf"] {
            assert_eq!(parse(text), Err(AddressError::Unknown), "{text}");
        }
        assert_eq!(parse(&"a".repeat(INPUT_CHARS + 1)), Err(AddressError::Unknown));
        assert!(AddressError::CutCid { missing: 1 }.sentence().starts_with("1 character is"));
    }

    #[test]
    fn sites_are_siblings_of_the_app() {
        let home = Home { protocol: "http:".into(), host: "app.craftec.localhost:4080".into() };
        assert_eq!(
            home.site_url(FOLDER, "a.html"),
            format!("http://{FOLDER}.craftec.localhost:4080/a.html")
        );
    }

    #[test]
    fn pasted_paths_are_plain_text() {
        let path = |text: &str| match parse(&format!("ipfs://{FOLDER}/{text}")) {
            Ok(Target::Content { path, .. }) => path,
            other => format!("{other:?}"),
        };
        assert_eq!(path("a%20b/%C3%BC%23.html?x#y"), "a b/ü#.html");
        assert_eq!(path("100%.txt"), "100%.txt");
        assert_eq!(path("%ff"), "%ff");
        assert_eq!(path("%"), "%");
    }

    #[test]
    fn paths_are_percent_encoded() {
        assert_eq!(encode_path("a b/ü?.html"), "a%20b/%C3%BC%3F.html");
    }
}
