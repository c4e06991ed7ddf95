//! What tests of databases ask a session for.

use std::rc::Rc;

use craftec_api::{ApiError, Command, OpenedDatabase, Reply, Role, Snapshot, SqlRows, SqlValue};
use craftec_node::{Config, Node, Session};
use craftec_obj::{Store, store::Meta};
use craftec_platform::sim::SimDisk;

use super::World;

pub(crate) fn config(disk: &SimDisk) -> Config {
    let mut config = Config::new(Role::Relay);
    config.folder = Some(Rc::new(disk.clone()));
    config
}

/// Another device of the same owner as `first`.
pub(crate) async fn device_of(
    world: &World,
    first: &Rc<Node>,
    seed: u64,
    disk: &SimDisk,
) -> Rc<Node> {
    let wallet = first.store().meta_get(Meta::Node, "wallet").expect("reads").expect("a wallet");
    let store = Store::open(disk).await.expect("the store opens");
    store.meta_put(Meta::Node, "wallet", wallet).expect("writes");
    drop(store);
    world.node_on(seed, disk, config(disk)).await
}

pub(crate) async fn open(session: &Session, database: &str) -> Result<OpenedDatabase, ApiError> {
    match session.call(Command::SqlOpen { database: database.to_owned(), encrypt: false }).await? {
        Reply::Database(opened) => Ok(opened),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn own(session: &Session, name: &str) -> u64 {
    let opened = open(session, name).await.expect("it opens");
    assert!(opened.writable && opened.cid.is_none());
    opened.handle
}

pub(crate) async fn query(
    session: &Session,
    handle: u64,
    sql: &str,
    params: &[SqlValue],
) -> Result<SqlRows, ApiError> {
    let query = Command::SqlQuery { handle, sql: sql.to_owned(), params: params.to_vec() };
    match session.call(query).await? {
        Reply::Rows(rows) => Ok(rows),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn script(
    session: &Session,
    handle: u64,
    sql: &str,
) -> Result<(u64, i64), ApiError> {
    match session.call(Command::SqlScript { handle, sql: sql.to_owned() }).await? {
        Reply::Executed { changes, last_rowid } => Ok((changes.iter().sum(), last_rowid)),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn snapshot(
    session: &Session,
    handle: u64,
    name: Option<&str>,
    replicas: u16,
) -> Snapshot {
    let name = name.map(str::to_owned);
    match session.call(Command::SqlSnapshot { handle, name, replicas: Some(replicas) }).await {
        Ok(Reply::Snapshot(snapshot)) => snapshot,
        other => panic!("{other:?}"),
    }
}
