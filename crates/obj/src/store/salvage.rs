//! Reading what can still be read of a damaged index, page by page, believing only pages whose
//! checksum is right. It never writes.
//!
//! redb gives a file up as a whole when one page of it is wrong. Its format is simple enough to walk
//! without it: a header with two commit slots, each with the root of a tree of tables, each table a
//! tree of pages that hold the checksums of their children. A page that is wrong costs what lies
//! below it, and no more.
//!
//! Where a branch rotted its leaves are still there, only unnamed: [`loose`] finds them, for entries
//! that prove themselves by a hash.
//!
//! Source: redb's `docs/design.md`, file format 3 (redb 4). All integers little endian.

use craftec_platform::File;
use xxhash_rust::xxh3::xxh3_128;

use super::StoreError;

const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
const PAGE: u64 = 4096;
/// Offset and length of each commit slot, and of the checksum at its end.
const SLOTS: [usize; 2] = [64, 192];
const SLOT_BYTES: usize = 128;
const HEADER_BYTES: usize = SLOTS[1] + SLOT_BYTES;
const CHECKSUM_BYTES: usize = 16;
/// A tree's root: page number (8), checksum (16), number of entries (8).
const ROOT_BYTES: usize = 32;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// A real tree is a few levels deep; one that names itself has no end.
const DEPTH: usize = 32;
/// Largest page taken: 2^12 pages, 16 MiB. The longest value is 1 MiB.
const ORDER: u64 = 12;

/// A table's name, a key and a value.
pub(super) type Row = (String, Vec<u8>, Vec<u8>);

/// What was readable.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    pub(super) rows: Vec<Row>,
    /// Pages that were not.
    pub(super) unreadable: u64,
    /// The tables to which they belonged; empty for the list of tables itself.
    pub(super) damaged: Vec<String>,
}

/// Reads what is readable in `file`: by the newer commit, or by the one before where that has lost
/// less.
pub(super) fn read(file: &dyn File) -> Result<Salvaged, StoreError> {
    let mut header = [0; HEADER_BYTES];
    file.read_at(0, &mut header).map_err(|e| StoreError::io("reading a damaged index", e))?;
    let word = |at: usize| number(&header, at, 4).unwrap_or_default();
    if header[..MAGIC.len()] != MAGIC || word(12) != PAGE {
        return Err(StoreError::damaged("its first page is not that of an index"));
    }
    let tree = Tree {
        file,
        region_header: word(16).checked_mul(PAGE).unwrap_or_default(),
        region_bytes: (word(16) + word(20)) * PAGE,
    };
    let mut slots: Vec<(u64, &[u8])> = Vec::new();
    for at in SLOTS {
        let slot = &header[at..at + SLOT_BYTES];
        let (content, checksum) = slot.split_at(SLOT_BYTES - CHECKSUM_BYTES);
        if xxh3_128(content).to_le_bytes() == checksum {
            // After the version, two flags and three roots.
            slots.push((number(slot, 8 + 3 * ROOT_BYTES, 8).unwrap_or_default(), slot));
        }
    }
    slots.sort_unstable_by_key(|(transaction, _)| std::cmp::Reverse(*transaction));
    let found = slots.into_iter().map(|(_, slot)| tree.commit(slot));
    let best = found.reduce(|best, other| match other.unreadable < best.unreadable {
        true => other,
        false => best,
    });
    best.filter(|found| !found.rows.is_empty())
        .ok_or_else(|| StoreError::damaged("nothing in it can be read"))
}

/// Pages of the file that look like a leaf of a table with keys of `key_bytes`, wherever they are and
/// whether they are in use or not: their entries prove nothing, and are for the caller to check.
pub(super) fn loose(
    file: &dyn File,
    key_bytes: usize,
    mut each: impl FnMut(&[u8], &[u8]),
) -> Result<(), StoreError> {
    let failed = |e| StoreError::io("reading a damaged index", e);
    let shape = Shape { key: Some(key_bytes), value: None };
    let mut content = [0; PAGE as usize];
    for page in 1..file.len().map_err(failed)? / PAGE {
        if file.read_at(page * PAGE, &mut content).is_ok() && content[0] == LEAF {
            entries(&content, shape, &mut each);
        }
    }
    Ok(())
}

struct Tree<'a> {
    file: &'a dyn File,
    region_header: u64,
    region_bytes: u64,
}

/// How the keys and values of a tree are laid out: fixed lengths, or none.
#[derive(Clone, Copy)]
struct Shape {
    key: Option<usize>,
    value: Option<usize>,
}

impl Tree<'_> {
    fn commit(&self, slot: &[u8]) -> Salvaged {
        let mut salvaged = Salvaged::default();
        let root = slot.get(8..8 + ROOT_BYTES).filter(|_| slot[1] != 0);
        let Some(root) = root else { return salvaged };
        let (mut tables, mut lost) = (Vec::new(), 0);
        let shape = Shape { key: None, value: None };
        self.walk(
            root,
            shape,
            DEPTH,
            &mut |name, value| {
                tables.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
            },
            &mut lost,
        );
        if lost > 0 {
            salvaged.unreadable += lost;
            salvaged.damaged.push(String::new());
        }
        for (name, definition) in tables {
            // Kind (1), entries (8), whether there is a root (1), the root, and whether keys and
            // values have a fixed length, each with that length (1 + 4).
            let root = definition.get(10..10 + ROOT_BYTES).filter(|_| definition[9] != 0);
            let fixed = |at: usize| match definition.get(at) {
                Some(0) | None => None,
                Some(_) => number(&definition, at + 1, 4).map(|length| length as usize),
            };
            let shape = Shape { key: fixed(10 + ROOT_BYTES), value: fixed(15 + ROOT_BYTES) };
            let (Some(root), mut lost) = (root, 0) else { continue };
            let rows = &mut salvaged.rows;
            self.walk(
                root,
                shape,
                DEPTH,
                &mut |key, value| {
                    rows.push((name.clone(), key.to_vec(), value.to_vec()));
                },
                &mut lost,
            );
            if lost > 0 {
                salvaged.unreadable += lost;
                salvaged.damaged.push(name);
            }
        }
        salvaged
    }

    /// Every entry below a page (its number and checksum), and how many pages were unreadable.
    fn walk(
        &self,
        page: &[u8],
        shape: Shape,
        depth: usize,
        each: &mut dyn FnMut(&[u8], &[u8]),
        lost: &mut u64,
    ) {
        let good = self.page(page, shape).filter(|_| depth > 0);
        let Some(content) = good else {
            *lost += 1;
            return;
        };
        if content[0] == LEAF {
            entries(&content, shape, each);
            return;
        }
        let children = number(&content, 2, 2).unwrap_or_default() as usize + 1;
        for child in 0..children {
            let checksum = content.get(8 + CHECKSUM_BYTES * child..).map(|rest| &rest[..16]);
            let at = 8 + CHECKSUM_BYTES * children + 8 * child;
            if let (Some(number), Some(checksum)) = (content.get(at..at + 8), checksum) {
                self.walk(&[number, checksum].concat(), shape, depth - 1, each, lost);
            }
        }
    }

    /// The bytes of a page in use, if they are what its checksum says.
    fn page(&self, page: &[u8], shape: Shape) -> Option<Vec<u8>> {
        let place = number(page, 0, 8)?;
        let order = place >> 59;
        if order > ORDER {
            return None;
        }
        let index = place & (0xf_ffff >> order);
        let region = place >> 20 & 0xf_ffff;
        let bytes = PAGE << order;
        let start = region.checked_mul(self.region_bytes)?;
        let start = start.checked_add(PAGE + self.region_header + index * bytes)?;
        if start.checked_add(bytes)? > self.file.len().ok()? {
            return None;
        }
        let mut content = vec![0; bytes as usize];
        self.file.read_at(start, &mut content).ok()?;
        let entries = number(&content, 2, 2)? as usize;
        let last = entries.checked_sub(1)?;
        let end = match content[0] {
            LEAF => ends(&content, shape, entries, last)?.1,
            BRANCH => {
                let fixed = 8 + (8 + CHECKSUM_BYTES) * (entries + 1);
                match shape.key {
                    Some(length) => fixed.checked_add(length.checked_mul(entries)?)?,
                    None => number(&content, fixed + 4 * last, 4)? as usize,
                }
            }
            _ => return None,
        };
        let used = content.get(..end)?;
        (xxh3_128(used).to_le_bytes() == page.get(8..8 + CHECKSUM_BYTES)?).then_some(content)
    }
}

/// Where the key and the value of entry `n` of a leaf end.
fn ends(leaf: &[u8], shape: Shape, entries: usize, n: usize) -> Option<(usize, usize)> {
    let listed = |fixed: Option<usize>| if fixed.is_none() { 4 * entries } else { 0 };
    let first = 4 + listed(shape.key) + listed(shape.value);
    let key_end = |n: usize| match shape.key {
        Some(length) => first.checked_add(length.checked_mul(n + 1)?),
        None => Some(number(leaf, 4 + 4 * n, 4)? as usize),
    };
    let keys = key_end(entries.checked_sub(1)?)?;
    let value = match shape.value {
        Some(length) => keys.checked_add(length.checked_mul(n + 1)?)?,
        None => number(leaf, 4 + listed(shape.key) + 4 * n, 4)? as usize,
    };
    Some((key_end(n)?, value))
}

fn entries(leaf: &[u8], shape: Shape, each: &mut dyn FnMut(&[u8], &[u8])) {
    let entries = number(leaf, 2, 2).unwrap_or_default() as usize;
    let listed = |fixed: Option<usize>| if fixed.is_none() { 4 * entries } else { 0 };
    let mut key_start = 4 + listed(shape.key) + listed(shape.value);
    let Some(mut value_start) = entries
        .checked_sub(1)
        .and_then(|last| ends(leaf, shape, entries, last).map(|(keys, _)| keys))
    else {
        return;
    };
    for n in 0..entries {
        let Some((key_end, value_end)) = ends(leaf, shape, entries, n) else { return };
        let (key, value) = (leaf.get(key_start..key_end), leaf.get(value_start..value_end));
        let (Some(key), Some(value)) = (key, value) else { return };
        each(key, value);
        (key_start, value_start) = (key_end, value_end);
    }
}

/// An integer of `bytes` (at most 8) bytes.
fn number(from: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide[..bytes].copy_from_slice(from.get(at..at.checked_add(bytes)?)?);
    Some(u64::from_le_bytes(wide))
}
