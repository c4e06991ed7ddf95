//! Files on their way into the node. The list lives beside the node, not in a screen, so leaving
//! the screen doesn't end it.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::{
    NodeState, listener, sdk,
    types::{ByteProgress, Failure, Stored},
};
use crate::pick;

/// Ended puts that stay listed.
const ENDED: usize = 20;

/// A file on its way into the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Putting {
    id: u64,
    /// Its name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Of these, taken by the node.
    pub(crate) read: u64,
    /// What came of it, once it ended.
    pub(crate) done: Option<Result<Stored, Failure>>,
}

impl NodeState {
    /// Puts files one after the other; the node takes each as a stream.
    pub(crate) fn put_files(self, files: Vec<web_sys::File>) {
        let fresh: Vec<(u64, web_sys::File)> = files.into_iter().map(|f| self.list(f)).collect();
        spawn_local(async move {
            for (id, file) in fresh {
                let outcome = self.put(id, &file).await;
                self.change(id, |one| one.done = Some(outcome));
            }
            self.refresh_lists().await;
        });
    }

    fn list(self, file: web_sys::File) -> (u64, web_sys::File) {
        let mut id = 0;
        self.puts.update(|all| {
            let ended = all.iter().filter(|one| one.done.is_some()).count();
            if let Some(oldest) = all.iter().position(|one| one.done.is_some())
                && ended >= ENDED
            {
                all.remove(oldest);
            }
            id = all.last().map_or(0, |last| last.id + 1);
            let (name, bytes) = (file.name(), pick::file_bytes(&file));
            all.push(Putting { id, name, bytes, read: 0, done: None });
        });
        (id, file)
    }

    fn change(self, id: u64, change: impl FnOnce(&mut Putting)) {
        self.puts.update(|all| {
            if let Some(one) = all.iter_mut().find(|one| one.id == id) {
                change(one);
            }
        });
    }

    async fn put(self, id: u64, file: &web_sys::File) -> Result<Stored, Failure> {
        let node = self.node().await?;
        let on_progress = listener(move |progress: ByteProgress| {
            self.change(id, |one| one.read = progress.bytes);
        });
        let options = sdk::options(&[
            ("name", file.name().into()),
            ("onProgress", on_progress.as_ref().clone()),
        ]);
        let stored = node.obj().put(file, &options).await.map_err(sdk::failure);
        drop(on_progress);
        sdk::read(stored?)
    }
}
