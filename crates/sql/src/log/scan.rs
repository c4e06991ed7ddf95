//! Opening a log: finding its file, going through its records, cutting what a crash left half done.

use std::{collections::HashMap, io, sync::Arc};

use craftec_core::{Cid, database::PAGE_BYTES, head::check_name};
use craftec_platform::{File, Folder};

use super::{
    Kept, Log, LogError, LogOptions, Place,
    commit::Pending,
    pins::Pins,
    record::{self, HEAD_BYTES, HEADER_BYTES, Head, Header, Kind, META_BYTES, RECORD_MAGIC, Sum},
};
use crate::{keys::Keyring, page::Digest, table::PageTable};

/// Read at one time while going through heads.
const WINDOW_BYTES: usize = 16 << 10;
/// The same where something is looked for.
const SEARCH_BYTES: usize = 256 << 10;

/// Name of the file of a database, up to the generation.
pub(super) fn stem(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("db-{}.", &hash.as_str()[..32])
}

/// Name of the file of a database of one generation.
pub fn file_name(name: &str, generation: u64) -> String {
    format!("{}{generation}.log", stem(name))
}

/// Names of all files of a database, the newest first.
async fn files(folder: &dyn Folder, name: &str) -> Result<Vec<u64>, LogError> {
    let stem = stem(name);
    let names = folder.list().await.map_err(LogError::io("listing databases"))?;
    let generation = |file: &String| file.strip_prefix(&stem)?.strip_suffix(".log")?.parse().ok();
    let mut generations: Vec<u64> = names.iter().filter_map(generation).collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    Ok(generations)
}

/// Removes a database and all its snapshots; nothing happens if there is none.
pub async fn remove(folder: &dyn Folder, name: &str) -> Result<(), LogError> {
    for generation in files(folder, name).await? {
        let file = file_name(name, generation);
        folder.remove(&file).await.map_err(LogError::io("removing a database"))?;
    }
    Ok(())
}

impl Log {
    /// Opens the log of `name` in `folder`, creating it if there is none.
    pub async fn open(
        folder: &dyn Folder,
        name: &str,
        options: LogOptions,
    ) -> Result<Self, LogError> {
        check_name(name).map_err(|_| LogError::Name(name.chars().take(80).collect()))?;
        let doing = "opening a database";
        let (mut found, mut broken) = (None, Vec::new());
        for generation in files(folder, name).await? {
            let file_name = file_name(name, generation);
            if found.is_some() {
                folder.remove(&file_name).await.map_err(LogError::io(doing))?;
                continue;
            }
            let file = folder.open(&file_name).await.map_err(LogError::io(doing))?;
            match header(&*file).map_err(LogError::io(doing))? {
                Some(bytes) => match Header::decode(&bytes)? {
                    Some((header, sum)) if header.name == name => {
                        found = Some((file, header, sum));
                    }
                    Some(_) => return Err(LogError::corrupt("it belongs to another database")),
                    None => broken.push((file_name, file.len().map_err(LogError::io(doing))?)),
                },
                None => broken.push((file_name, 0)),
            }
        }
        // A file whose header is written last, or first and alone: neither was ever acknowledged.
        if found.is_none() && broken.iter().any(|(_, bytes)| *bytes > HEADER_BYTES) {
            return Err(LogError::corrupt("its header is damaged"));
        }
        for (file_name, _) in broken {
            folder.remove(&file_name).await.map_err(LogError::io(doing))?;
        }
        let (file, header, sum) = match found {
            Some(found) => found,
            None => create(folder, name).await?,
        };
        let mut log = Self::empty(file, header, sum, options)?;
        log.go_through()?;
        Ok(log)
    }

    pub(super) fn empty(
        file: Arc<dyn File>,
        header: Header,
        sum: Sum,
        options: LogOptions,
    ) -> Result<Self, LogError> {
        let written = file.len().map_err(LogError::io("opening a database"))?;
        Ok(Self {
            file,
            name: header.name,
            generation: header.generation,
            options,
            table: PageTable::default(),
            offsets: Vec::new(),
            index: HashMap::new(),
            index_bytes: 0,
            reverse: HashMap::new(),
            kept: Vec::new(),
            kept_end: 0,
            last_root: None,
            base: HEADER_BYTES,
            tail: HEADER_BYTES,
            unit: header.base,
            sum,
            written,
            pending: Pending::default(),
            state: header.base,
            pins: Pins::default(),
            first: None,
            keys: Keyring::default(),
        })
    }

    /// Applies every unit that was acknowledged, and the one in flight if it is whole.
    pub(super) fn go_through(&mut self) -> Result<(), LogError> {
        let doing = "reading a log";
        let file = self.file.clone();
        let mut window = Window::new(&*file, self.written);
        let (mut at, mut sum) = (self.tail, self.sum);
        let mut unit = Vec::new();
        // A whole unit counts as acknowledged only when another follows it.
        let mut last: Option<Unit> = None;
        let compacted = (self.generation > 0).then_some(self.unit + 1);
        let mut number = self.unit + 1;
        while let Some((head, meta)) = window.record(at).map_err(LogError::io(doing))? {
            if head.prev != sum || head.unit != number || at + head.record_bytes() > self.written {
                break;
            }
            sum = head.sum;
            let begin = at;
            at += head.record_bytes();
            let ends = head.last;
            unit.push(Record { head, meta, begin });
            if ends {
                let whole = Unit { records: std::mem::take(&mut unit), end: at };
                if let Some(before) = last.replace(whole) {
                    self.apply(before)?;
                }
                number += 1;
            }
        }
        if let Some(last) = last {
            let acknowledged = compacted == last.records.first().map(|record| record.head.unit);
            if acknowledged || last.is_whole(&*file).map_err(LogError::io(doing))? {
                self.apply(last)?;
            }
        }
        if window.later_unit(self.tail, self.unit + 2).map_err(LogError::io(doing))? {
            return Err(LogError::corrupt(format!("what follows unit {} is not whole", self.unit)));
        }
        Ok(())
    }

    fn apply(&mut self, unit: Unit) -> Result<(), LogError> {
        let malformed = || LogError::corrupt("a record is malformed");
        for Record { head, meta, begin } in unit.records {
            let mut offset = begin + (HEAD_BYTES + head.meta_bytes) as u64;
            match head.kind {
                Kind::Pages => {
                    for (page, digest) in record::pages(&meta).ok_or_else(malformed)? {
                        self.place(page, digest, offset);
                        offset += PAGE_BYTES as u64;
                    }
                }
                Kind::Blocks => {
                    for (bytes, cid) in record::blocks(&meta).ok_or_else(malformed)? {
                        self.index_block(Digest::from(&cid), Place { offset, bytes });
                        offset += u64::from(bytes);
                    }
                }
                Kind::Keep => self.note_kept(Kept::decode(&meta).ok_or_else(malformed)?, unit.end),
                Kind::Drop => {
                    let kept = Kept::decode(&meta).ok_or_else(malformed)?;
                    self.kept.retain(|other| *other != kept);
                }
            }
            if head.last {
                self.resize(head.pages);
                (self.tail, self.unit, self.sum) = (unit.end, head.unit, head.sum);
                self.state = self.unit;
            }
        }
        // The first unit of a later generation is what the compaction copied.
        if self.generation > 0 && self.base == HEADER_BYTES {
            self.base = unit.end;
        }
        Ok(())
    }

    /// A root is kept from here on.
    pub(super) fn note_kept(&mut self, kept: Kept, end: u64) {
        self.kept_end = end;
        // Snapshots come in order; what a name keeps was one before.
        if kept.name.is_empty() {
            self.last_root = Some(kept.root);
        }
        self.kept.push(kept);
    }
}

/// Reads the header; none if the file is shorter.
fn header(file: &dyn File) -> io::Result<Option<Vec<u8>>> {
    if file.len()? < HEADER_BYTES {
        return Ok(None);
    }
    let mut bytes = vec![0; HEADER_BYTES as usize];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

async fn create(folder: &dyn Folder, name: &str) -> Result<(Arc<dyn File>, Header, Sum), LogError> {
    let doing = "creating a database";
    let file = folder.open(&file_name(name, 0)).await.map_err(LogError::io(doing))?;
    let header = Header { name: name.to_owned(), generation: 0, base: 0 };
    let (bytes, sum) = header.encode();
    file.write_at(0, &bytes).map_err(LogError::io(doing))?;
    file.sync().map_err(LogError::io(doing))?;
    Ok((file, header, sum))
}

struct Record {
    head: Head,
    meta: Vec<u8>,
    begin: u64,
}

struct Unit {
    records: Vec<Record>,
    end: u64,
}

impl Unit {
    /// Whether the bodies are what the metas say.
    fn is_whole(&self, file: &dyn File) -> io::Result<bool> {
        for Record { head, meta, begin } in &self.records {
            let mut body = vec![0; head.body_bytes as usize];
            file.read_at(begin + (HEAD_BYTES + head.meta_bytes) as u64, &mut body)?;
            let pages = |(_, digest)| (PAGE_BYTES, digest);
            let blocks = |(bytes, cid): (u32, Cid)| (bytes as usize, Digest::from(&cid));
            let parts: Option<Vec<(usize, Digest)>> = match head.kind {
                Kind::Pages => record::pages(meta).map(|all| all.into_iter().map(pages).collect()),
                Kind::Blocks => {
                    record::blocks(meta).map(|all| all.into_iter().map(blocks).collect())
                }
                Kind::Keep | Kind::Drop => Some(Vec::new()),
            };
            let mut rest = body.as_slice();
            for (bytes, digest) in parts.unwrap_or_default() {
                match rest.split_at_checked(bytes) {
                    Some((part, more)) if Digest::of(part) == digest => rest = more,
                    _ => return Ok(false),
                }
            }
            if !rest.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A part of the file in memory, moved along while heads are read.
struct Window<'f> {
    file: &'f dyn File,
    length: u64,
    begin: u64,
    bytes: Vec<u8>,
}

impl<'f> Window<'f> {
    fn new(file: &'f dyn File, length: u64) -> Self {
        Self { file, length, begin: 0, bytes: Vec::new() }
    }

    /// The bytes at `at`; none where the file ends before.
    fn bytes(&mut self, at: u64, count: usize) -> io::Result<Option<&[u8]>> {
        if at.checked_add(count as u64).is_none_or(|end| end > self.length) {
            return Ok(None);
        }
        let have = self.begin + self.bytes.len() as u64;
        if at < self.begin || at + count as u64 > have {
            let wanted = (count.max(WINDOW_BYTES) as u64).min(self.length - at);
            self.bytes.resize(wanted as usize, 0);
            self.begin = at;
            self.file.read_at(at, &mut self.bytes)?;
        }
        let from = (at - self.begin) as usize;
        Ok(self.bytes.get(from..from + count))
    }

    /// Head and meta of the record at `at`, if there is one and they are as they were written.
    fn record(&mut self, at: u64) -> io::Result<Option<(Head, Vec<u8>)>> {
        let Some(Ok(bytes)) = self.bytes(at, HEAD_BYTES)?.map(<[u8; HEAD_BYTES]>::try_from) else {
            return Ok(None);
        };
        let Some(head) = Head::decode(&bytes) else { return Ok(None) };
        let Some(meta) = self.bytes(at + HEAD_BYTES as u64, head.meta_bytes)? else {
            return Ok(None);
        };
        let meta = meta.to_vec();
        Ok(head.matches(&bytes, &meta).then_some((head, meta)))
    }

    /// Whether any record behind `from` belongs to a unit from number `unit` on.
    fn later_unit(&mut self, from: u64, unit: u64) -> io::Result<bool> {
        let mut at = from;
        while at < self.length {
            let count = (SEARCH_BYTES as u64).min(self.length - at) as usize;
            let Some(bytes) = self.bytes(at, count)? else { return Ok(false) };
            let hits: Vec<u64> = bytes
                .windows(RECORD_MAGIC.len())
                .enumerate()
                .filter(|(_, four)| *four == RECORD_MAGIC)
                .map(|(place, _)| at + place as u64)
                .collect();
            for hit in hits {
                if self.record(hit)?.is_some_and(|(head, _)| head.unit >= unit) {
                    return Ok(true);
                }
            }
            // Magic numbers may lie across two parts.
            at += count.saturating_sub(RECORD_MAGIC.len() - 1).max(1) as u64;
        }
        Ok(false)
    }
}

const _: () = assert!(META_BYTES + HEAD_BYTES <= WINDOW_BYTES);
