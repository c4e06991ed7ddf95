//! Databases as their screen needs them: typed calls, and an open database that closes by itself.

use leptos::prelude::*;
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};

use super::{
    NodeState, listener, sdk,
    types::{
        Branch, DatabaseRow, Failure, Merged, OpenedDatabase, Retention, Snapshot, SnapshotRow,
        Table,
    },
};
use crate::browser;

impl NodeState {
    /// Asks for the databases anew. The first time, a node that has them is loaded.
    pub(crate) async fn refresh_databases(self) -> Result<Vec<DatabaseRow>, Failure> {
        let rows = self.node().await?.sql().list_databases().await.map_err(sdk::failure)?;
        let rows: Vec<DatabaseRow> = sdk::read(rows)?;
        self.databases.set(Some(rows.clone()));
        Ok(rows)
    }

    /// Opens a database by its name, or somebody's by its address.
    pub(crate) async fn open_database(self, name: &str) -> Result<Database, Failure> {
        self.open_with(name, &sdk::options(&[])).await
    }

    /// Makes an encrypted database.
    pub(crate) async fn make_encrypted(self, name: &str) -> Result<(), Failure> {
        let is_plain = |row: &DatabaseRow| row.name == name && !row.encrypted;
        if self.refresh_databases().await?.iter().any(is_plain) {
            let message = format!("The database {name} is there already and is not encrypted.");
            let hint =
                "Nothing was changed. Open it without this mark: its own screen can encrypt it.";
            return Err(Failure { hint: Some(hint.into()), ..Failure::here("refused", message) });
        }
        let options = sdk::options(&[("encrypt", true.into())]);
        self.open_with(name, &options).await.map(drop)
    }

    async fn open_with(self, name: &str, options: &JsValue) -> Result<Database, Failure> {
        let sql = self.node().await?.sql();
        let open = sql.open_database(name, options).await.map_err(sdk::failure)?;
        let facts = ArcRwSignal::new(sdk::read::<OpenedDatabase>(open.clone())?);
        let open: sdk::Database = open.unchecked_into();
        let (told, known) = (open.clone(), facts.clone());
        // The database itself says what it is after a change.
        let changed = Closure::new(move |_: JsValue| {
            if let Ok(now) = sdk::read(told.clone().into()) {
                known.set(now);
            }
        });
        open.on_change("change", changed.as_ref().unchecked_ref());
        Ok(Database { open, facts, _changed: changed })
    }

    /// The snapshots of a database of this node, newest first.
    pub(crate) async fn snapshots(self, name: &str) -> Result<Vec<SnapshotRow>, Failure> {
        let rows = self.node().await?.sql().history(name).await.map_err(sdk::failure)?;
        sdk::read(rows)
    }

    /// Removes a database of this node.
    pub(crate) async fn remove_database(self, name: &str) -> Result<(), Failure> {
        let removed = self.node().await?.sql().remove_database(name).await;
        removed.map(drop).map_err(sdk::failure)?;
        self.refresh_databases().await.map(drop)
    }

    /// Takes an SQLite file in as a database that is not there yet, encrypted if wanted; told how
    /// many bytes are.
    pub(crate) async fn import_database(
        self,
        name: &str,
        file: &web_sys::File,
        encrypt: bool,
        progress: impl Fn(u64) + 'static,
    ) -> Result<(), Failure> {
        if self.refresh_databases().await?.iter().any(|row| row.name == name) {
            let message = format!("There is a database {name} already. Nothing was changed.");
            let hint = "Remove it first, or give the file another name.";
            return Err(Failure { hint: Some(hint.into()), ..Failure::here("refused", message) });
        }
        let made = self.open_database(name).await?;
        let on_progress = listener(progress);
        let options = sdk::options(&[("onProgress", on_progress.as_ref().clone())]);
        let imported = async {
            made.open.import_file(file, &options).await.map_err(sdk::failure)?;
            // After it: the pages of a file have no room for what encryption adds.
            if encrypt { made.readers(Ask::Encrypt(Vec::new())).await.map(drop) } else { Ok(()) }
        };
        let imported = imported.await;
        drop((on_progress, made));
        if let Err(failure) = imported {
            // What was made for it holds nothing but the file.
            drop(self.remove_database(name).await);
            return Err(failure);
        }
        self.refresh_databases().await.map(drop)
    }
}

/// What is asked about the readers of a database.
pub(crate) enum Ask {
    /// Who they are.
    Who,
    /// One more, whom a card or the address of something of theirs names.
    Share(String),
    /// That it is encrypted; or anew, for those of them who are named.
    Encrypt(Vec<String>),
}

/// An open database.
pub(crate) struct Database {
    open: sdk::Database,
    /// What is known of it now.
    pub(crate) facts: ArcRwSignal<OpenedDatabase>,
    _changed: Closure<dyn Fn(JsValue)>,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.open.close();
    }
}

impl Database {
    /// Runs one statement.
    pub(crate) async fn table(&self, sql: &str) -> Result<Table, Failure> {
        sdk::read(self.open.table(sql).await.map_err(sdk::failure)?)
    }

    /// Runs several statements; what they give is dropped.
    pub(crate) async fn exec(&self, sql: &str) -> Result<(), Failure> {
        self.open.exec(sql).await.map(drop).map_err(sdk::failure)
    }

    /// Takes a snapshot, under a name where one is given.
    pub(crate) async fn snapshot(&self, name: Option<&str>) -> Result<Snapshot, Failure> {
        let options = sdk::options(&[("name", name.into())]);
        sdk::read(self.open.snapshot(&options).await.map_err(sdk::failure)?)
    }

    /// Goes back to a snapshot.
    pub(crate) async fn restore(&self, cid: &str) -> Result<(), Failure> {
        self.open.restore_to(cid).await.map(drop).map_err(sdk::failure)
    }

    /// What can be merged into it.
    pub(crate) async fn branches(&self) -> Result<Vec<Branch>, Failure> {
        sdk::read(self.open.branches().await.map_err(sdk::failure)?)
    }

    /// Merges a branch, or an address of this identity's.
    pub(crate) async fn merge(&self, branch: &str, strategy: &str) -> Result<Merged, Failure> {
        sdk::read(self.open.merge(branch, strategy).await.map_err(sdk::failure)?)
    }

    /// With whom it is shared, after what is asked was done.
    pub(crate) async fn readers(&self, what: Ask) -> Result<Vec<String>, Failure> {
        let now = match what {
            Ask::Who => self.open.readers().await,
            Ask::Share(card) => self.open.share(&card).await,
            Ask::Encrypt(kept) => {
                let kept: js_sys::Array = kept.into_iter().map(JsValue::from).collect();
                let now = self.open.encrypt(&kept).await;
                self.facts.set(sdk::read(self.open.clone().into())?);
                now
            }
        };
        sdk::read(now.map_err(sdk::failure)?)
    }

    /// Which of its snapshots stay; none: all.
    pub(crate) async fn retention(&self) -> Result<Option<Retention>, Failure> {
        sdk::read(self.open.retention().await.map_err(sdk::failure)?)
    }

    /// Sets that. How many went at once.
    pub(crate) async fn retain(&self, rule: Option<Retention>) -> Result<u64, Failure> {
        let rule = rule.map_or(JsValue::NULL, |Retention { last, days }| {
            sdk::options(&[("last", (last as f64).into()), ("days", (days as f64).into())])
        });
        sdk::read(self.open.retain(&rule).await.map_err(sdk::failure)?)
    }

    /// Keeps a branch no longer.
    pub(crate) async fn drop_branch(&self, branch: &str) -> Result<(), Failure> {
        self.open.drop_branch(branch).await.map(drop).map_err(sdk::failure)
    }

    /// Hands the browser an SQLite file of it.
    pub(crate) async fn export(&self, name: &str) -> Result<(), Failure> {
        let file = format!("{name}.sqlite");
        // The file picker needs the click that led here, so it comes before anything slow.
        let bytes = self.facts.get_untracked().bytes;
        let target = if bytes > super::GATHERED_BYTES {
            browser::pick_save_target(&file).await.map_err(sdk::failure)?
        } else {
            None
        };
        let body = self.open.export_file().map_err(sdk::failure)?;
        let opened = sdk::options(&[("body", body)]);
        browser::save_stream(&opened, &file, target).await.map_err(sdk::failure)
    }
}
