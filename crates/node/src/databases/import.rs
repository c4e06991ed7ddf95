//! An SQLite file that takes the place of all that is in a database, as one commit. Its pages go to the
//! log as they come, so that memory does not bound it. Whoever imports has the turn meanwhile; an import of
//! which nothing is heard for [`IDLE`] is dropped, and so is one whose client goes.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use craftec_api::{ApiError, ErrorCode};
use craftec_core::database::PAGE_BYTES;
use craftec_sql::page::{Page, PageNo};
use futures::lock::OwnedMutexGuard;

use super::{Own, watch::watch};
use crate::fault;

/// How long a client may take to send more: a slow disk may be behind it.
const IDLE: Duration = Duration::from_secs(30);
/// How an SQLite file begins, and where it says how long its pages are.
/// Source: <https://sqlite.org/fileformat2.html>, 1.3.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const PAGE_SIZE_AT: usize = 16;

/// The file, as far as it came.
pub(crate) struct Import {
    own: Rc<Own>,
    /// Nobody else's until it ends.
    turn: RefCell<Option<OwnedMutexGuard<()>>>,
    /// What is not a whole page yet.
    held: RefCell<Vec<u8>>,
    pages: Cell<u32>,
    /// When its client spoke last.
    spoke: Cell<Duration>,
}

impl Own {
    /// Begins to take a file in, once nobody writes any more.
    pub(crate) async fn import(self: &Rc<Self>) -> Result<Rc<Import>, ApiError> {
        self.no_writer().await?;
        let turn = RefCell::new(Some(self.turn().await?));
        let spoke = Cell::new(self.clock.monotonic());
        let (own, held, pages) = (self.clone(), RefCell::default(), Cell::default());
        let import = Rc::new(Import { own, turn, held, pages, spoke });
        watch(&self.clock, &import, Import::left);
        Ok(import)
    }
}

impl Import {
    /// How long it may still wait for more; none once it has ended, which it does here.
    fn left(&self) -> Option<Duration> {
        self.turn.borrow().as_ref()?;
        let left = (self.spoke.get() + IDLE).saturating_sub(self.own.clock.monotonic());
        if left.is_zero() {
            self.drop_all();
            return None;
        }
        Some(left)
    }

    /// Takes more of the file in. After an error it has ended.
    pub(crate) fn push(&self, bytes: &[u8]) -> Result<(), ApiError> {
        self.is_open()?;
        let pushed = self.take(bytes);
        self.spoke.set(self.own.clock.monotonic());
        if pushed.is_err() {
            self.drop_all();
        }
        pushed
    }

    fn take(&self, bytes: &[u8]) -> Result<(), ApiError> {
        let mut held = self.held.borrow_mut();
        held.extend_from_slice(bytes);
        let whole = held.len() / PAGE_BYTES * PAGE_BYTES;
        for bytes in held.drain(..whole).as_slice().chunks_exact(PAGE_BYTES) {
            let Ok(page) = <&Page>::try_from(bytes) else { continue };
            let number = self.pages.get().saturating_add(1);
            if number == 1 {
                check_header(page)?;
            }
            let number =
                PageNo::new(number).ok_or_else(|| fault::input("The file is too large."))?;
            self.own.database.import_page(number, page).map_err(fault::sql)?;
            self.pages.set(number.number());
        }
        Ok(())
    }

    /// Makes it the content of the database, durably.
    pub(crate) async fn finish(&self) -> Result<(), ApiError> {
        self.is_open()?;
        let imported = match (self.held.borrow().len(), self.pages.get()) {
            (0, 0) => Err(fault::input("The file is empty.")),
            (0, pages) => Ok(pages),
            _ => {
                let message = format!("The file ends within a page of {PAGE_BYTES} bytes.");
                let hint = "It is no SQLite file of such pages, or was cut off.";
                Err(fault::input(message).hint(hint))
            }
        };
        let imported = match imported {
            Ok(pages) => self.own.database.import_end(pages).await.map_err(fault::sql),
            Err(error) => Err(error),
        };
        self.drop_all();
        self.own.ring();
        imported
    }

    /// Ends it: nothing of it happened that was not committed.
    fn drop_all(&self) {
        if let Some(turn) = self.turn.take() {
            self.own.database.import_drop();
            drop(turn);
        }
    }

    fn is_open(&self) -> Result<(), ApiError> {
        if self.turn.borrow().is_some() {
            return Ok(());
        }
        let message = format!("The import into `{}` has ended.", self.own.name);
        let hint = format!("Nothing was changed. It waits {} seconds for more.", IDLE.as_secs());
        Err(ApiError::new(ErrorCode::Aborted, message).hint(hint))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.drop_all();
    }
}

fn check_header(first: &Page) -> Result<(), ApiError> {
    if !first.starts_with(MAGIC) {
        let hint = "It may be encrypted, or the text of a dump: run that as a script.";
        return Err(fault::input("This is not an SQLite file.").hint(hint));
    }
    let size = match u16::from_be_bytes([first[PAGE_SIZE_AT], first[PAGE_SIZE_AT + 1]]) {
        1 => 65_536,
        size => usize::from(size),
    };
    if size != PAGE_BYTES {
        let message = format!("Its pages have {size} bytes, not {PAGE_BYTES}.");
        return Err(fault::input(message)
            .hint("In sqlite3: PRAGMA journal_mode = DELETE; PRAGMA page_size = 4096; VACUUM;"));
    }
    Ok(())
}
