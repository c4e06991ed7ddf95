//! A database of the node as one connection has it open: SQLite's locks, reads and commits as commands.
//!
//! A reader's lock is a state that the node keeps for it; a writer's is the turn that the node gives to one
//! client. What keeps writes from being lost is neither, but the commit: it counts only on the state on
//! which it was made.

use std::{io, path::PathBuf};

use craftec_api::{
    ApiError, Command, DatabaseRow, ErrorCode, FRAME_PAGES, OpenedDatabase, Reply, SqlState,
    SqlTurn,
};
use craftec_core::database::PAGE_BYTES;
use craftec_pager::{Fault, Level, Main, Page, PageNo, Request};
use serde_bytes::ByteBuf;

use crate::{
    address::{Address, data_folder, encrypts},
    client::{Client, Trouble},
    pages::{Changed, Known},
    said::say,
    start,
};

/// Pages that a first look asks for: of a database of the node itself, and of one from far.
const NEAR: u32 = 4;
const FAR: u32 = 1;
/// SQLite's numbers for its log. Source: <https://sqlite.org/rescode.html>.
const BUSY: i32 = 5;
const IOERR: i32 = 10;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;

/// A session in which the database is open.
struct Link {
    client: Client,
    handle: u64,
}

/// An open database.
struct Remote {
    data: PathBuf,
    /// As the node reads it.
    name: String,
    writable: bool,
    link: Option<Link>,
    /// When the database was made: another of its name is not this one.
    made_ms: Option<u64>,
    /// What is read, while there is a lock.
    state: Option<SqlState>,
    level: Level,
    known: Known,
    /// Of which state.
    known_state: Option<u64>,
    changed: Changed,
    /// A commit failed. Until it lets go of the lock SQLite tries it again, or writes back what was there:
    /// neither is to be sent.
    failed: bool,
}

/// What SQLite calls to open one.
pub(crate) fn open(request: &Request<'_>) -> Result<Box<dyn Main>, Fault> {
    let opened = Address::of(request).and_then(|address| {
        let data = data_folder()?;
        let opened = Remote::open(data, &address, request.may_create, encrypts(request));
        opened.map_err(|trouble| trouble.to_string())
    });
    match opened {
        Ok(remote) => Ok(Box::new(remote)),
        Err(reason) => {
            let name = request.name.unwrap_or_default();
            say(CANTOPEN, &format!("{name}: {reason}"));
            Err(Fault::CantOpen)
        }
    }
}

impl Remote {
    fn open(
        data: PathBuf,
        address: &Address,
        may_create: bool,
        encrypt: bool,
    ) -> Result<Self, Trouble> {
        let mut client = start::reach(&data)?;
        let mut name = address.for_node();
        if let Address::Named(did, own) = address
            && let Reply::Status(status) = client.call(Command::Status)?
            && status.did == *did
        {
            name.clone_from(own);
        }
        if !may_create && !name.starts_with("craftobj://") {
            is_there(&mut client, &name)?;
        }
        let opened = opened(client.call(Command::SqlOpen { database: name.clone(), encrypt })?)?;
        // A name may lead elsewhere later; what is open does not.
        if let Some(root) = opened.cid {
            name = format!("craftobj://{root}");
        }
        Ok(Self {
            data,
            name,
            writable: opened.writable,
            link: Some(Link { client, handle: opened.handle }),
            made_ms: None,
            state: None,
            level: Level::None,
            known: Known::default(),
            known_state: None,
            changed: Changed::default(),
            failed: false,
        })
    }

    /// Connects anew after the node was gone.
    fn link(&mut self) -> Result<&mut Link, Trouble> {
        let link = match self.link.take() {
            Some(link) => link,
            None => {
                let mut client = start::reach(&self.data)?;
                let open = Command::SqlOpen { database: self.name.clone(), encrypt: false };
                let handle = opened(client.call(open)?)?.handle;
                Link { client, handle }
            }
        };
        Ok(self.link.insert(link))
    }

    /// Asks the node about the database. After a failure of the connection the next transaction has a new
    /// one; the one that runs has ended with it.
    fn ask(&mut self, command: impl FnOnce(u64) -> Command) -> Result<Reply, Trouble> {
        if self.link.is_none() && self.state.is_some() && self.writable {
            return Err(io::Error::other("it ended while a transaction was running").into());
        }
        let link = self.link()?;
        let answer = link.client.call(command(link.handle));
        if matches!(answer, Err(Trouble::Gone(_) | Trouble::Foreign)) {
            self.link = None;
        }
        answer
    }

    /// Keeps what happened, and says what SQLite makes of it.
    fn fault(&self, doing: &str, trouble: &Trouble) -> Fault {
        let (code, fault) = match trouble {
            Trouble::Api(error) if error.code == ErrorCode::Full => (FULL, Fault::Full),
            Trouble::Api(error) if error.code == ErrorCode::Refused && error.retryable => {
                (BUSY, Fault::Busy)
            }
            _ => (IOERR, Fault::Io),
        };
        say(code, &format!("{}: {doing}: {trouble}", self.name));
        fault
    }

    /// The state that is read; begins with the current one where there is none.
    fn state(&mut self) -> Result<SqlState, Fault> {
        match self.state {
            Some(state) => Ok(state),
            None => self.begin(),
        }
    }

    fn begin(&mut self) -> Result<SqlState, Fault> {
        self.state = None;
        let had_link = self.link.is_some();
        let mut answer = self.ask(|handle| Command::SqlBegin { handle });
        // It was gone since the last transaction: this one has not begun yet.
        if had_link && matches!(answer, Err(Trouble::Gone(_))) {
            answer = self.ask(|handle| Command::SqlBegin { handle });
        }
        let state = match answer {
            Ok(Reply::State(state)) => state,
            Ok(_) => return Err(self.fault("beginning to read", &Trouble::Foreign)),
            Err(trouble) => return Err(self.fault("beginning to read", &trouble)),
        };
        if *self.made_ms.get_or_insert(state.made_ms) != state.made_ms {
            let gone = ApiError::new(ErrorCode::NotFound, "It was removed, and another made.");
            return Err(self.fault("beginning to read", &gone.hint("Close and open it.").into()));
        }
        if self.known_state != Some(state.number) {
            self.known.clear();
            self.known_state = Some(state.number);
        }
        self.state = Some(state);
        Ok(state)
    }

    fn fetch(&mut self, page: PageNo, state: SqlState) -> Result<(), Fault> {
        let state = state.number;
        let count = self.known.wanted(page, if self.writable { NEAR } else { FAR });
        let first = page.number();
        let answer = self.ask(|handle| Command::SqlPages { handle, state, first, count });
        let bytes = match answer {
            Ok(Reply::Bytes { bytes }) => bytes,
            Ok(_) => return Err(self.fault("reading a page", &Trouble::Foreign)),
            Err(trouble) => return Err(self.fault("reading a page", &trouble)),
        };
        for (number, bytes) in (first..).zip(bytes.chunks_exact(PAGE_BYTES)).take(count as usize) {
            if let Ok(page) = <Page>::try_from(bytes) {
                self.known.put(number, Box::new(page));
            }
        }
        Ok(())
    }

    /// Sends what was changed. The new state, or none if the old one is not the current one any more.
    fn send(&mut self, state: SqlState) -> Result<Option<SqlState>, Trouble> {
        let (length, pages) = self.changed.take(state.length);
        let numbers: Vec<u32> = pages.keys().copied().collect();
        let mut parts = numbers.chunks(FRAME_PAGES).peekable();
        let state = state.number;
        let mut last: &[u32] = &[];
        let gather = |part: &[u32]| {
            let mut bytes = Vec::with_capacity(part.len() * PAGE_BYTES);
            part.iter().filter_map(|number| pages.get(number)).for_each(|p| bytes.extend(&p[..]));
            ByteBuf::from(bytes)
        };
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                last = part;
                break;
            }
            let (pages, bytes) = (part.to_vec(), gather(part));
            self.ask(|handle| Command::SqlStage { handle, pages, bytes })?;
        }
        let (numbers, bytes) = (last.to_vec(), gather(last));
        let commit = |handle| Command::SqlCommit { handle, state, length, pages: numbers, bytes };
        let new = match self.ask(commit)? {
            Reply::State(new) => new,
            Reply::Turn { turn: SqlTurn::Stale } => return Ok(None),
            _ => return Err(Trouble::Foreign),
        };
        for (number, page) in pages {
            self.known.put(number, page);
        }
        self.known.cut(length);
        self.known_state = Some(new.number);
        Ok(Some(new))
    }

    fn reserve(&mut self) -> Result<(), Fault> {
        let state = self.state()?.number;
        let answer = self.ask(|handle| Command::SqlReserve { handle, state });
        match answer {
            Ok(Reply::Turn { turn: SqlTurn::Granted }) => Ok(()),
            Ok(Reply::Turn { turn: SqlTurn::Taken }) => Err(Fault::Busy),
            Ok(Reply::Turn { turn: SqlTurn::Stale }) => Err(Fault::Stale),
            Ok(_) => Err(self.fault("beginning to write", &Trouble::Foreign)),
            Err(trouble) => Err(self.fault("beginning to write", &trouble)),
        }
    }

    /// Ends a look without a lock, as SQLite takes when it opens a file.
    fn end_glance(&mut self) {
        if self.level == Level::None && self.writable {
            self.end();
        }
    }

    /// Lets go of the state. Nobody waits for the answer; if the connection is broken, the node has let
    /// go of everything.
    fn end(&mut self) {
        if let (Some(state), Some(link)) = (self.state.take(), &mut self.link) {
            let end = Command::SqlEnd { handle: link.handle, state: state.number };
            if link.client.tell(end).is_err() {
                self.link = None;
            }
        }
    }
}

impl Main for Remote {
    fn pages(&mut self) -> Result<u32, Fault> {
        let pages = match self.changed.length() {
            Some(length) => length,
            None => self.state()?.length,
        };
        self.end_glance();
        Ok(pages)
    }

    fn read(&mut self, page: PageNo, out: &mut Page) -> Result<(), Fault> {
        if self.changed.read(page, out) {
            return Ok(());
        }
        let state = self.state()?;
        // What grew and was not written yet.
        if page.number() > state.length {
            *out = [0; PAGE_BYTES];
            return Ok(());
        }
        if self.known.get(page).is_none() {
            self.fetch(page, state)?;
        }
        let Some(bytes) = self.known.get(page) else {
            return Err(self.fault("reading a page", &Trouble::Foreign));
        };
        out.copy_from_slice(bytes);
        self.end_glance();
        Ok(())
    }

    fn write(&mut self, page: PageNo, bytes: &Page) -> Result<(), Fault> {
        if !self.writable || self.level < Level::Reserved {
            return Err(Fault::ReadOnly);
        }
        if self.failed {
            return Ok(());
        }
        let length = self.state()?.length;
        self.changed.write(page, bytes, length)
    }

    fn set_pages(&mut self, pages: u32) -> Result<(), Fault> {
        if !self.failed {
            self.changed.set_length(pages);
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        if self.failed {
            // It then forgets what it remembers of the pages, whichever it was.
            return Err(Fault::Io);
        }
        if self.changed.is_empty() {
            return Ok(());
        }
        let state = self.state()?;
        let sent = self.send(state);
        let fault = match sent {
            Ok(Some(new)) => {
                self.state = Some(new);
                return Ok(());
            }
            Ok(None) => Fault::Stale,
            Err(trouble @ Trouble::Gone(_)) => {
                self.fault("committing, which may or may not have been done", &trouble)
            }
            Err(trouble) => self.fault("committing", &trouble),
        };
        self.failed = true;
        Err(fault)
    }

    fn is_immutable(&self) -> bool {
        !self.writable
    }

    fn lock(&mut self, level: Level) -> Result<(), Fault> {
        if self.level == Level::None && level > Level::None {
            self.end();
            self.begin()?;
            self.level = Level::Shared;
        }
        if self.level == Level::Shared && level > Level::Shared {
            self.reserve()?;
            self.level = Level::Reserved;
        }
        // Readers read a state of their own: nobody has to go.
        self.level = self.level.max(level);
        Ok(())
    }

    fn unlock(&mut self, level: Level) -> Result<(), Fault> {
        if level <= Level::Shared && self.level > Level::Shared {
            self.changed = Changed::default();
            self.failed = false;
        }
        if level == Level::None {
            self.end();
        }
        self.level = self.level.min(level);
        Ok(())
    }

    fn is_reserved(&self) -> bool {
        self.level >= Level::Reserved
    }
}

/// Says that there is no such database, where it must not be made.
fn is_there(client: &mut Client, name: &str) -> Result<(), Trouble> {
    let Reply::Databases { databases } = client.call(Command::SqlDatabases)? else {
        return Err(Trouble::Foreign);
    };
    if databases.iter().any(|row: &DatabaseRow| row.name == name) {
        return Ok(());
    }
    let none = ApiError::new(ErrorCode::NotFound, "There is no such database on this node.");
    Err(none.hint("Open it without `mode=ro` or `mode=rw` to make it.").into())
}

fn opened(reply: Reply) -> Result<OpenedDatabase, Trouble> {
    match reply {
        Reply::Database(opened) => Ok(opened),
        _ => Err(Trouble::Foreign),
    }
}
