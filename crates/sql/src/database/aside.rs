//! A second connection, to what was committed last: for who only reads while a long statement or a
//! transaction has the first one. It sees one state, whatever is committed meanwhile.

use std::{cell::RefCell, rc::Rc, time::Duration};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
    types::Value,
};

use super::{
    Ran, Slices,
    bounds::Watch,
    connection::{self, Guarded},
};
use crate::{
    error::SqlError,
    vfs::{LocalPages, Mount, Pinned},
};

/// Memory for its page cache, filled as far as pages are read.
const CACHE_BYTES: usize = 4 << 20;
/// Questions that change nothing of a connection, some of which SQLite's own modules ask.
const QUESTIONS: [&str; 8] = [
    "data_version",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// A state of a database that is read while others go on.
pub struct Aside {
    // Closed before what it reads from.
    connection: Rc<Connection>,
    watch: Watch,
    pages: Rc<RefCell<Pinned>>,
    _mount: Mount,
    result_bytes: usize,
}

/// Only what gives rows and does nothing else. What it refuses is for the first connection, which has
/// temporary tables, settings and a last row of its own.
fn authorize(action: AuthAction<'_>) -> Authorization {
    let asks = |name: &str| QUESTIONS.iter().any(|known| known.eq_ignore_ascii_case(name));
    match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        AuthAction::Function { function_name } => match function_name {
            "changes" | "total_changes" | "last_insert_rowid" => Authorization::Deny,
            _ => Authorization::Allow,
        },
        AuthAction::Pragma { pragma_name, .. } if asks(pragma_name) => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

impl Aside {
    pub(super) fn open(
        log: Rc<RefCell<LocalPages>>,
        slices: Option<Slices>,
        result_bytes: usize,
    ) -> Result<Self, SqlError> {
        let pages = Rc::new(RefCell::new(Pinned::new(log)));
        let mount = Mount::new(pages.clone());
        let (mut connection, _) = connection::open(&mount)?;
        let watch = Watch::new(slices);
        watch.over(&mut connection)?;
        connection::set_up(&connection, CACHE_BYTES)?;
        connection.authorizer(Some(|context: AuthContext<'_>| authorize(context.action)))?;
        Ok(Self { connection: Rc::new(connection), watch, pages, _mount: mount, result_bytes })
    }

    /// Whether `sql` is a statement that can run here.
    pub fn reads(&self, sql: &str) -> bool {
        self.connection.prepare_cached(sql).is_ok_and(|statement| statement.readonly())
    }

    /// Runs one statement within `limit` of computing. `None` where it turns out to be none for here.
    ///
    /// # Errors
    /// Those of the statement; and where so much was written meanwhile that its state is gone.
    pub async fn run(
        &self,
        sql: &str,
        params: &[Value],
        limit: Option<Duration>,
    ) -> Result<Option<Ran>, SqlError> {
        let guarded = Guarded { limit: self.result_bytes, read_only: true };
        let (connection, sql, params) = (self.connection.clone(), sql.to_owned(), params.to_vec());
        let work = move || connection::run(&connection, &sql, &params, guarded);
        let (ran, _) = self.watch.run(limit, work).await;
        match ran {
            Ok(ran) => Ok(Some(ran)),
            Err(_) if self.pages.borrow().is_gone() => Err(SqlError::StateGone),
            Err(SqlError::Sqlite { code, .. }) if code & 0xff == rusqlite::ffi::SQLITE_AUTH => {
                Ok(None)
            }
            Err(error) => Err(self.watch.told(error, limit)),
        }
    }
}
