//! One publication: from a picked folder to a link that others can open.
//!
//! The job lives beside the node, not in a screen, so leaving the screen doesn't end it.

use js_sys::Map;
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;

use super::{
    NodeState, listener, sdk,
    types::{Failure, LeftOut, PublishPhase, PublishProgress, Published},
};
use crate::{browser, pick::Picked};

/// How far a publication is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Files are read, hashed and stored in this browser.
    Reading,
    /// Everything is durable here; holders take their copies.
    Stored(Published),
    /// It ended early.
    Failed(Failure),
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// What the reader called it, or the folder's name.
    pub(crate) title: String,
    /// Files to publish.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// What was left out before the node saw it.
    pub(crate) left_out: Vec<LeftOut>,
    /// The file that the link opens, where it is not `index.html`.
    pub(crate) entry: Option<String>,
    /// The last figures.
    pub(crate) progress: Option<PublishProgress>,
    /// How far it is.
    pub(crate) step: Step,
    /// Age of the page when it began, when all was read, and when all was stored here.
    pub(crate) began_ms: u64,
    /// See `began_ms`.
    pub(crate) read_ms: Option<u64>,
    /// See `began_ms`.
    pub(crate) stored_ms: Option<u64>,
}

impl NodeState {
    /// Publishes a picked folder as a site, under `name` where it is not empty.
    pub(crate) fn publish(self, picked: &Picked, name: String) {
        let files = Map::new();
        for file in &picked.files {
            files.set(&file.path.as_str().into(), &file.file);
        }
        self.job.set(Some(Job {
            title: if name.is_empty() { picked.name.clone() } else { name.clone() },
            files: picked.files.len() as u64,
            bytes: picked.bytes(),
            left_out: picked.left_out.clone(),
            entry: picked.only_file(),
            progress: None,
            step: Step::Reading,
            began_ms: browser::page_age_ms(),
            read_ms: None,
            stored_ms: None,
        }));
        let abort = browser::abort_controller();
        self.abort.set_value(abort.clone());
        spawn_local(async move {
            let outcome = self.run(&files, &name, abort.as_ref()).await;
            let stored = outcome.is_ok();
            self.job.update(|job| {
                let Some(job) = job else { return };
                job.stored_ms = stored.then(browser::page_age_ms);
                job.read_ms = job.read_ms.or(job.stored_ms);
                job.step = match outcome {
                    Ok(published) => Step::Stored(published),
                    Err(failure) => Step::Failed(failure),
                };
            });
            if stored {
                self.ask_to_keep();
                self.refresh_lists().await;
            }
        });
    }

    async fn run(
        self,
        files: &Map,
        name: &str,
        abort: Option<&web_sys::AbortController>,
    ) -> Result<Published, Failure> {
        let node = self.node().await?;
        let on_progress = listener(move |progress: PublishProgress| {
            self.job.update(|job| {
                let Some(job) = job else { return };
                if progress.phase > PublishPhase::Reading && progress.bytes >= job.bytes {
                    job.read_ms = job.read_ms.or_else(|| Some(browser::page_age_ms()));
                }
                job.progress = Some(progress);
            });
        });
        let name = if name.is_empty() { JsValue::UNDEFINED } else { name.into() };
        let signal = abort.map_or(JsValue::UNDEFINED, |abort| abort.signal().into());
        let options = sdk::options(&[
            ("name", name),
            ("signal", signal),
            ("onProgress", on_progress.as_ref().clone()),
        ]);
        let published = node.sites().publish(files, &options).await.map_err(sdk::failure);
        drop(on_progress);
        sdk::read(published?)
    }

    /// Ends the publication under way. What was stored so far is let go of.
    pub(crate) fn stop_publishing(self) {
        if let Some(abort) = self.abort.get_value() {
            abort.abort();
        }
    }
}
