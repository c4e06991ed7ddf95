//! An open file: what each of SQLite's calls does, without anything of C.

use craftec_core::database::PAGE_BYTES;

use crate::{Fault, Level, Main, Page, PageNo};

/// Longest file in memory: SQLite's temporary files.
const FLAT_BYTES: u64 = 1 << 30;

/// A file that SQLite has open.
pub(crate) enum OpenFile {
    /// A main database.
    Main(Box<dyn Main>),
    /// Temporary: gone when closed.
    Flat(Vec<u8>),
}

/// What a `PRAGMA` that a file is asked about first comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// SQLite goes on with it.
    Pass,
    /// It is done, with this result.
    Said(&'static str),
}

impl OpenFile {
    pub(crate) fn is_immutable(&self) -> bool {
        match self {
            Self::Main(main) => main.is_immutable(),
            Self::Flat(_) => false,
        }
    }

    pub(crate) fn is_main(&self) -> bool {
        matches!(self, Self::Main(_))
    }

    /// Fills as much of `out` as there is from `offset` on; how much.
    pub(crate) fn read(&mut self, out: &mut [u8], offset: u64) -> Result<usize, Fault> {
        match self {
            Self::Main(main) => read(&mut **main, out, offset),
            Self::Flat(bytes) => {
                let from = usize::try_from(offset).map_err(|_| Fault::Io)?.min(bytes.len());
                let found = &bytes[from..bytes.len().min(from.saturating_add(out.len()))];
                out[..found.len()].copy_from_slice(found);
                Ok(found.len())
            }
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<(), Fault> {
        match self {
            Self::Main(main) => write(&mut **main, bytes, offset),
            Self::Flat(held) => {
                let end = offset.checked_add(bytes.len() as u64).ok_or(Fault::Full)?;
                if end > FLAT_BYTES {
                    return Err(Fault::Full);
                }
                let (from, end) = (offset as usize, end as usize);
                held.resize(held.len().max(end), 0);
                held[from..end].copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub(crate) fn truncate(&mut self, bytes: u64) -> Result<(), Fault> {
        match self {
            Self::Main(main) => {
                let pages = bytes.div_ceil(PAGE_BYTES as u64);
                let pages = u32::try_from(pages).map_err(|_| Fault::Full)?;
                main.set_pages(pages)
            }
            Self::Flat(held) => {
                held.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
                Ok(())
            }
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<u64, Fault> {
        match self {
            Self::Main(main) => Ok(u64::from(main.pages()?) * PAGE_BYTES as u64),
            Self::Flat(held) => Ok(held.len() as u64),
        }
    }

    /// Makes durable what was written. A commit that SQLite hands over in one piece comes here too.
    pub(crate) fn commit(&mut self) -> Result<(), Fault> {
        match self {
            Self::Main(main) => main.commit(),
            Self::Flat(_) => Ok(()),
        }
    }

    pub(crate) fn lock(&mut self, level: i32) -> Result<(), Fault> {
        match self {
            Self::Main(main) => main.lock(Level::of(level)),
            Self::Flat(_) => Ok(()),
        }
    }

    pub(crate) fn unlock(&mut self, level: i32) -> Result<(), Fault> {
        match self {
            Self::Main(main) => main.unlock(Level::of(level)),
            Self::Flat(_) => Ok(()),
        }
    }

    pub(crate) fn is_reserved(&self) -> bool {
        match self {
            Self::Main(main) => main.is_reserved(),
            Self::Flat(_) => false,
        }
    }

    /// Answers a `PRAGMA` of what is pinned here as SQLite does for what can't be changed: with the
    /// value that stays.
    pub(crate) fn pragma(&self, name: &str, value: Option<&str>) -> Answer {
        let (Self::Main(_), Some(value)) = (self, value) else { return Answer::Pass };
        let value = value.to_ascii_lowercase();
        let pinned: [(&str, &[&str], &'static str); 4] = [
            ("journal_mode", &["memory"], "memory"),
            ("page_size", &["4096"], ""),
            ("locking_mode", &["normal"], "normal"),
            ("synchronous", &["full", "2"], ""),
        ];
        for (pragma, passes, stays) in pinned {
            if name.eq_ignore_ascii_case(pragma) && !passes.contains(&value.as_str()) {
                return Answer::Said(stays);
            }
        }
        Answer::Pass
    }
}

fn read(main: &mut dyn Main, out: &mut [u8], offset: u64) -> Result<usize, Fault> {
    let end = u64::from(main.pages()?) * PAGE_BYTES as u64;
    let wanted = end.saturating_sub(offset).min(out.len() as u64) as usize;
    let mut done = 0;
    while done < wanted {
        let at = offset + done as u64;
        let page = PageNo::at(at).ok_or(Fault::Io)?;
        let within = (at % PAGE_BYTES as u64) as usize;
        let part = (PAGE_BYTES - within).min(wanted - done);
        let out = &mut out[done..done + part];
        match <&mut Page>::try_from(&mut *out) {
            Ok(whole) => main.read(page, whole)?,
            Err(_) => {
                let mut whole = [0; PAGE_BYTES];
                main.read(page, &mut whole)?;
                out.copy_from_slice(&whole[within..within + part]);
            }
        }
        done += part;
    }
    Ok(done)
}

fn write(main: &mut dyn Main, bytes: &[u8], offset: u64) -> Result<(), Fault> {
    // Pages of another size, which a hostile header may claim, are nothing that can be stored.
    let (Ok(bytes), true) = (<&Page>::try_from(bytes), offset.is_multiple_of(PAGE_BYTES as u64))
    else {
        return Err(Fault::ReadOnly);
    };
    main.write(PageNo::at(offset).ok_or(Fault::Full)?, bytes)
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // Unlocking fails only where nobody is left to be told.
        let _ = self.unlock(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Pages in memory.
    #[derive(Default)]
    struct Memory(Vec<Page>);

    impl Main for Memory {
        fn pages(&mut self) -> Result<u32, Fault> {
            Ok(self.0.len() as u32)
        }

        fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault> {
            *out = *self.0.get(page.index()).ok_or(Fault::Io)?;
            Ok(())
        }

        fn write(&mut self, page: PageNo, bytes: &Page) -> Result<(), Fault> {
            self.0.resize(self.0.len().max(page.index() + 1), [0; PAGE_BYTES]);
            self.0[page.index()] = *bytes;
            Ok(())
        }

        fn set_pages(&mut self, pages: u32) -> Result<(), Fault> {
            self.0.resize(pages as usize, [0; PAGE_BYTES]);
            Ok(())
        }

        fn commit(&mut self) -> Result<(), Fault> {
            Ok(())
        }

        fn is_immutable(&self) -> bool {
            false
        }

        fn lock(&mut self, _: Level) -> Result<(), Fault> {
            Ok(())
        }

        fn unlock(&mut self, _: Level) -> Result<(), Fault> {
            Ok(())
        }

        fn is_reserved(&self) -> bool {
            false
        }
    }

    fn file() -> OpenFile {
        OpenFile::Main(Box::new(Memory::default()))
    }

    #[test]
    fn any_part_is_read_and_whole_pages_are_written() {
        let mut file = file();
        assert_eq!(file.write(&[0; 512], 0), Err(Fault::ReadOnly));
        assert_eq!(file.write(&[0; PAGE_BYTES], 1), Err(Fault::ReadOnly));
        let end = u64::from(u32::MAX) * PAGE_BYTES as u64;
        assert_eq!(file.write(&[0; PAGE_BYTES], end), Err(Fault::Full));
        file.write(&[7; PAGE_BYTES], 0).unwrap();
        file.write(&[8; PAGE_BYTES], PAGE_BYTES as u64).unwrap();
        assert_eq!(file.bytes(), Ok(2 * PAGE_BYTES as u64));
        let mut some = [0; 20];
        assert_eq!(file.read(&mut some, PAGE_BYTES as u64 - 10), Ok(20));
        assert_eq!(some, [[7; 10], [8; 10]].concat()[..]);
        assert_eq!(file.read(&mut some, 2 * PAGE_BYTES as u64 - 5), Ok(5));
        assert_eq!(file.read(&mut some, u64::MAX - 4), Ok(0));
        file.truncate(PAGE_BYTES as u64).unwrap();
        assert_eq!(file.bytes(), Ok(PAGE_BYTES as u64));
        assert_eq!(file.truncate(u64::MAX), Err(Fault::Full));
    }

    #[test]
    fn what_is_pinned_answers_with_what_stays() {
        let file = file();
        assert_eq!(file.pragma("journal_mode", Some("WAL")), Answer::Said("memory"));
        assert_eq!(file.pragma("Journal_Mode", Some("memory")), Answer::Pass);
        assert_eq!(file.pragma("journal_mode", None), Answer::Pass);
        assert_eq!(file.pragma("page_size", Some("8192")), Answer::Said(""));
        assert_eq!(file.pragma("synchronous", Some("off")), Answer::Said(""));
        assert_eq!(file.pragma("user_version", Some("3")), Answer::Pass);
    }

    #[test]
    fn temporary_files_are_memory() {
        let mut file = OpenFile::Flat(Vec::new());
        file.write(b"abc", 5).unwrap();
        let mut some = [9; 8];
        assert_eq!(file.read(&mut some, 0), Ok(8));
        assert_eq!(&some, b"\0\0\0\0\0abc");
        file.truncate(6).unwrap();
        assert_eq!(file.bytes(), Ok(6));
        assert_eq!(file.write(b"x", 1 << 40), Err(Fault::Full));
    }
}
