//! What one client that has an SQLite of its own holds of a database: a state that it reads, the turn to
//! write, and changed pages that wait for their commit. All of it goes when the client does.
//!
//! The turn is a courtesy that keeps writers from working in vain: it ends by itself, and whoever has it
//! still commits only on the state that it read.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use craftec_api::{ApiError, ErrorCode, FRAME_PAGES, SqlState, SqlTurn};
use craftec_core::database::PAGE_BYTES;
use craftec_sql::page::{Page, PageNo};

use super::{Own, Tally, turn::WAITED};
use crate::fault;

/// How long a client that means to write keeps others from it: what a transaction takes, and a person
/// who left one open does not.
const TURN: Duration = Duration::from_secs(30);
/// Pages that wait for the commit of one client: 128 MiB.
const STAGED: usize = 32 << 10;
/// The same of all clients together: 256 MiB.
const STAGED_TOGETHER: usize = 64 << 10;
/// Pages of one answer.
const ASKED: u32 = 128;
/// Pause between two looks whether a client has done writing.
const PAUSE: Duration = Duration::from_millis(5);

/// The client that means to write a database.
#[derive(Clone, Copy)]
pub(super) struct Writer {
    desk: u64,
    /// When others may (of the monotonic clock).
    until: Duration,
}

impl Own {
    /// The client that means to write, if that is another than `desk`.
    pub(super) fn other_writer(&self, desk: u64) -> bool {
        let now = self.clock.monotonic();
        self.writer.get().is_some_and(|writer| writer.desk != desk && writer.until > now)
    }

    /// Waits until no client is about to write.
    pub(super) async fn no_writer(&self) -> Result<(), ApiError> {
        let end = self.clock.monotonic() + WAITED;
        while self.other_writer(0) {
            if self.clock.monotonic() > end {
                return Err(self.is_busy("Another program is writing"));
            }
            self.clock.sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// A client's.
pub(crate) struct Desk {
    pub(crate) own: Rc<Own>,
    id: u64,
    state: Cell<Option<u64>>,
    /// The state of which the client knows that it is there.
    pub(crate) known: Cell<u64>,
    staged: RefCell<BTreeMap<u32, Box<Page>>>,
    together: Rc<Tally>,
}

impl Desk {
    pub(super) fn new(own: Rc<Own>, id: u64, together: Rc<Tally>) -> Self {
        let known = Cell::new(own.database.state().number);
        Self { own, id, state: Cell::default(), known, staged: RefCell::default(), together }
    }

    /// The current state, which is read from now on.
    pub(crate) fn begin(&self) -> SqlState {
        self.leave();
        let state = self.own.database.pin();
        self.state.set(Some(state.number));
        self.told(state)
    }

    fn told(&self, state: craftec_sql::State) -> SqlState {
        SqlState { number: state.number, length: state.pages, made_ms: self.own.made_ms }
    }

    /// Pages of the state that is read.
    pub(crate) fn pages(&self, state: u64, first: u32, count: u32) -> Result<Vec<u8>, ApiError> {
        let first = check_range(first, count)?;
        let pages = self.own.database.pages_at(state, first, count).map_err(fault::sql)?;
        pages.filter(|_| self.state.get() == Some(state)).ok_or_else(|| {
            let message = format!("State {state} of `{}` can't be read any more.", self.own.name);
            ApiError::new(ErrorCode::Aborted, message)
                .hint("A transaction reads for so long only while little is written. Begin anew.")
        })
    }

    /// Asks for the turn to write.
    pub(crate) fn reserve(&self, state: u64) -> SqlTurn {
        // A transaction of a session that is open has the turn too.
        if self.own.other_writer(self.id) || self.own.turn.try_lock().is_none() {
            return SqlTurn::Taken;
        }
        if self.own.database.state().number != state {
            return SqlTurn::Stale;
        }
        let until = self.own.clock.monotonic() + TURN;
        self.own.writer.set(Some(Writer { desk: self.id, until }));
        SqlTurn::Granted
    }

    /// Takes changed pages in. A later one takes the place of an earlier one.
    pub(crate) fn stage(&self, numbers: &[u32], bytes: &[u8]) -> Result<(), ApiError> {
        if numbers.len() > FRAME_PAGES || bytes.len() != numbers.len() * PAGE_BYTES {
            let message = format!("{} bytes are not {} pages.", bytes.len(), numbers.len());
            return Err(fault::input(message));
        }
        let mut staged = self.staged.borrow_mut();
        for (number, bytes) in numbers.iter().zip(bytes.chunks_exact(PAGE_BYTES)) {
            let (Some(_), Ok(page)) = (PageNo::new(*number), <&Page>::try_from(bytes)) else {
                return Err(fault::input(format!("{number} is no page's number.")));
            };
            if staged.insert(*number, Box::new(*page)).is_some() {
                continue;
            }
            self.together.add(1);
            if staged.len() > STAGED || self.together.count() > STAGED_TOGETHER {
                let message = format!(
                    "A transaction may change {STAGED} pages of {PAGE_BYTES} bytes, those of all \
                     programs {STAGED_TOGETHER} together."
                );
                let hint = "Nothing was changed. Change less at a time.";
                return Err(ApiError::new(ErrorCode::Full, message).hint(hint));
            }
        }
        Ok(())
    }

    /// Commits what waits and these, if `state` is the current one: the new state, which is read from now
    /// on.
    pub(crate) async fn commit(
        &self,
        state: u64,
        length: u32,
        numbers: &[u32],
        bytes: &[u8],
    ) -> Result<Option<SqlState>, ApiError> {
        let last = self.stage(numbers, bytes);
        let staged = self.staged.take();
        self.together.sub(staged.len());
        last?;
        let _turn = self.own.turn().await?;
        let pages = staged.iter();
        let pages = pages.filter_map(|(number, page)| Some((PageNo::new(*number)?, &**page)));
        let committed = self.own.database.commit_pages(state, length, pages).await;
        self.own.ring();
        self.yield_turn();
        Ok(committed.map_err(fault::sql)?.map(|_| self.begin()))
    }

    /// Ends what was begun with `state`; nothing, where that ended already.
    pub(crate) fn end(&self, state: u64) {
        if self.state.get() == Some(state) {
            self.leave();
        }
    }

    fn yield_turn(&self) {
        if self.own.writer.get().is_some_and(|writer| writer.desk == self.id) {
            self.own.writer.set(None);
        }
    }

    fn leave(&self) {
        self.yield_turn();
        self.together.sub(self.staged.take().len());
        if let Some(state) = self.state.take() {
            self.own.database.unpin(state);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The first of pages that are asked for.
pub(crate) fn check_range(first: u32, count: u32) -> Result<PageNo, ApiError> {
    match PageNo::new(first) {
        Some(first) if count <= ASKED => Ok(first),
        _ => {
            Err(fault::input(format!("Pages are asked for from 1 on, at most {ASKED} at a time.")))
        }
    }
}
