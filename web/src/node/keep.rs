//! What keeps a reader's data: the browser's promise, backups, and the limits of what others take.

use leptos::prelude::*;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;

use super::{
    GATHERED_BYTES, NodeState, listener, sdk,
    types::{ByteProgress, Failure, Restored},
};
use crate::browser;

/// A limit of what is sent to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The node's own.
    Usual,
    /// None.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

impl Limit {
    fn value(self) -> JsValue {
        match self {
            Self::Usual => "default".into(),
            Self::Unlimited => "unlimited".into(),
            // Whole bytes below 2⁵³ are exact as a JavaScript number.
            #[allow(clippy::cast_precision_loss)]
            Self::Bytes(bytes) => JsValue::from_f64(bytes as f64),
        }
    }
}

impl NodeState {
    /// Asks the browser to keep the data, once there is something to keep. Most browsers decide
    /// without a word; the settings show what they said.
    pub(super) fn ask_to_keep(self) {
        spawn_local(async move {
            let kept = match browser::storage_is_kept().await {
                Some(false) => browser::keep_storage().await,
                known => known,
            };
            self.kept.set(kept);
        });
    }

    /// Limits what is sent to others.
    pub(crate) async fn serve_limits(self, rate: Limit, monthly: Limit) -> Result<(), Failure> {
        let limits = sdk::options(&[("rate", rate.value()), ("monthly", monthly.value())]);
        self.node().await?.serve_limits(&limits).await.map(drop).map_err(sdk::failure)?;
        self.refresh().await;
        Ok(())
    }

    /// Writes a backup to a file of the reader's.
    pub(crate) async fn backup(
        self,
        passphrase: String,
        progress: impl Fn(ByteProgress) + 'static,
    ) -> Result<(), Failure> {
        let used = self.status.with_untracked(|s| s.as_ref().map_or(0, |s| s.storage.used));
        let name = browser::backup_name();
        // The file picker needs the click that led here, so it comes before anything slow.
        let target = if used > GATHERED_BYTES {
            browser::pick_save_target(&name).await.map_err(sdk::failure)?
        } else {
            None
        };
        let node = self.node().await?;
        let on_progress = listener(progress);
        let options = sdk::options(&[
            ("passphrase", passphrase.into()),
            ("onProgress", on_progress.as_ref().clone()),
        ]);
        let body = node.backup(&options).map_err(sdk::failure)?;
        let file = sdk::options(&[("body", body)]);
        let done = browser::save_stream(&file, &name, target).await.map_err(sdk::failure);
        drop(on_progress);
        done
    }

    /// Takes a backup in.
    pub(crate) async fn restore(
        self,
        file: JsValue,
        passphrase: String,
        replace: bool,
        progress: impl Fn(ByteProgress) + 'static,
    ) -> Result<Restored, Failure> {
        let node = self.node().await?;
        let on_progress = listener(progress);
        let options = sdk::options(&[
            ("passphrase", passphrase.into()),
            ("replaceIdentity", replace.into()),
            ("onProgress", on_progress.as_ref().clone()),
        ]);
        let restored = node.restore(&file, &options).await.map_err(sdk::failure);
        drop(on_progress);
        let restored = sdk::read(restored?)?;
        self.refresh_lists().await;
        Ok(restored)
    }
}
