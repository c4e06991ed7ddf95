//! The life of a database under random statements, on ours and on stock SQLite side by side: the same
//! answers, the same pages. On simulated disks natively, on OPFS in a tab.
#![allow(clippy::unwrap_used, reason = "tests")]

mod statements;

use std::collections::HashMap;

use craftec_core::database::PAGE_BYTES;
use craftec_sql::{Database, DatabaseOptions, Rows, Sql, SqlError, log::LogOptions, page::PageNo};
use rusqlite::Connection;

use self::statements::statement;
use crate::common::{Dice, text};

/// Small enough that large transactions outgrow it.
const CACHE_KIB: usize = 96;

/// Where both databases live.
pub(crate) trait Place {
    /// Opens ours; where it was open before and the disk can crash, after a crash.
    async fn ours(&mut self, options: DatabaseOptions) -> Database;

    /// Opens stock SQLite's.
    fn stock(&mut self) -> Connection;

    /// The file that stock SQLite wrote.
    fn file(&self, stock: &mut Connection) -> Vec<u8>;
}

fn options() -> DatabaseOptions {
    let log = LogOptions { slack_bytes: 256 << 10, ..LogOptions::default() };
    DatabaseOptions { log, cache_bytes: CACHE_KIB << 10, ..DatabaseOptions::default() }
}

/// Stock SQLite on an ordinary file.
fn open_stock(place: &mut impl Place) -> Connection {
    let stock = place.stock();
    // As many as ours keeps: a kept statement that no longer fits the schema fails after it has begun, and
    // FTS5 then writes what it held back.
    stock.set_prepared_statement_cache_capacity(64);
    let set_up = format!(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = OFF;
         PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON; PRAGMA cache_size = -{CACHE_KIB};"
    );
    stock.execute_batch(&set_up).unwrap();
    stock
}

fn outcome(result: Result<Rows, SqlError>) -> Result<Vec<Vec<craftec_sql::Value>>, String> {
    result.map(|rows| rows.rows).map_err(|error| error.to_string())
}

/// Pages of the list of free ones, and how many bytes of each mean something: what a page held before it
/// was free is written or not as memory allows (SQLite file format, section 1.5).
fn free_pages(file: &[u8]) -> HashMap<u32, usize> {
    let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    let (mut free, mut trunk) = (HashMap::new(), word(32));
    while trunk > 0 {
        let at = (trunk as usize - 1) * PAGE_BYTES;
        let leaves = word(at + 4) as usize;
        free.extend((0..leaves).map(|leaf| (word(at + 8 + leaf * 4), 0)));
        free.insert(trunk, 8 + leaves * 4);
        trunk = word(at);
    }
    free
}

/// Pages are the same, but for what counts writers and what nobody reads.
fn same_pages(ours: &Database, stock: &[u8], case: &str) {
    assert_eq!(stock.len(), ours.pages() as usize * PAGE_BYTES, "{case}");
    let free = free_pages(stock);
    let mut page = [0; PAGE_BYTES];
    for (number, stock) in (1..).zip(stock.chunks_exact(PAGE_BYTES)) {
        let means = free.get(&number).copied().unwrap_or(PAGE_BYTES);
        let number = PageNo::new(number).unwrap();
        ours.page(number, &mut page).unwrap();
        if number == PageNo::FIRST {
            page[24..28].copy_from_slice(&stock[24..28]);
            page[92..96].copy_from_slice(&stock[92..96]);
        }
        let (page, stock) = (&page[..means], &stock[..means]);
        let places = page.iter().zip(stock).enumerate().filter(|(_, (ours, stock))| ours != stock);
        let places: Vec<_> = places.take(20).collect();
        assert!(page == stock, "{case}: page {number:?} of kind {:?}: {places:?}", stock.first());
    }
}

/// Runs `statements` of them and says how many succeeded.
pub(crate) async fn life(place: &mut impl Place, seed: u64, statements: usize) -> usize {
    let mut stock = open_stock(place);
    let mut ours = place.ours(options()).await;
    let words = "CREATE VIRTUAL TABLE words USING fts5(text)";
    ours.execute(words, &[]).await.unwrap();
    stock.execute_batch(words).unwrap();
    let (mut dice, mut succeeded) = (Dice(seed), 0);
    for number in 0..statements {
        let sql = statement(&mut dice);
        let case = format!("seed {seed}, statement {number}: {sql}");
        let (a, b) = (ours.query(&sql, &[]).await, Sql::query(&stock, &sql, &[]).await);
        let (a, b) = (outcome(a), outcome(b));
        assert_eq!(a, b, "{case}");
        succeeded += usize::from(a.is_ok());
        if number % 100 == 99 {
            for end in ["ROLLBACK", "PRAGMA integrity_check"] {
                let a = outcome(ours.query(end, &[]).await);
                assert_eq!(a, outcome(Sql::query(&stock, end, &[]).await), "{case}");
                assert!(end == "ROLLBACK" || a == Ok(vec![vec![text("ok")]]), "{case}: {a:?}");
            }
            same_pages(&ours, &place.file(&mut stock), &case);
        }
        // Halfway both are closed and opened again.
        if number == statements / 2 {
            drop(ours);
            ours = place.ours(options()).await;
            drop(stock);
            stock = open_stock(place);
        }
    }
    succeeded
}
