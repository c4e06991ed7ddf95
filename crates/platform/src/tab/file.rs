//! Files of the origin private file system, through sync access handles.
//!
//! Those exist in dedicated workers only and open exclusively: a tab that is closing may hold one
//! for a moment longer, so opening waits a little before it says `ResourceBusy`.

use std::{io, sync::Arc, time::Duration};

use futures::future::LocalBoxFuture;
use gloo_timers::future::TimeoutFuture;
use js_sys::{AsyncIterator, Reflect};
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemSyncAccessHandle,
    StorageEstimate, StorageManager, WorkerGlobalScope,
};

use crate::{File, Folder, file::check_name};

/// How long a file that somebody else has open is waited for: a closing tab lets go within this.
const BUSY_WAIT: Duration = Duration::from_secs(4);
/// How often it is tried meanwhile.
const BUSY_RETRY_MS: u32 = 100;

/// A folder of the origin private file system.
#[derive(Clone, Debug)]
pub struct OpfsFolder {
    handle: FileSystemDirectoryHandle,
    storage: StorageManager,
}

impl OpfsFolder {
    /// Opens the folder `name` of this origin, creating it if there is none.
    pub async fn open(name: &str) -> io::Result<Self> {
        check_name(name)?;
        let storage = storage()?;
        let root = settled(storage.get_directory(), "opening this site's storage").await?;
        let root: FileSystemDirectoryHandle = cast(root, "a directory handle")?;
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        let handle = root.get_directory_handle_with_options(name, &options);
        let handle = cast(settled(handle, name).await?, "a directory handle")?;
        Ok(Self { handle, storage })
    }

    async fn open_file(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        let file = settled(self.handle.get_file_handle_with_options(name, &options), name).await?;
        let file: FileSystemFileHandle = cast(file, "a file handle")?;
        if !has(&file, "createSyncAccessHandle") {
            let reason = "this browser or thread has no sync access handles: a dedicated worker of \
                          a current browser is needed";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        let mut tries = BUSY_WAIT.as_millis() as u32 / BUSY_RETRY_MS;
        loop {
            match settled(file.create_sync_access_handle(), name).await {
                Ok(handle) => {
                    let handle = cast(handle, "a sync access handle")?;
                    let name = name.to_owned();
                    return Ok(Arc::new(OpfsFile { name, handle: SendWrapper::new(handle) }));
                }
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries > 0 => {
                    tries -= 1;
                    TimeoutFuture::new(BUSY_RETRY_MS).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn names(&self) -> io::Result<Vec<String>> {
        let keys: AsyncIterator = self.handle.keys();
        let mut names = Vec::new();
        loop {
            let step = keys.next().map_err(|e| failure("listing files", &e))?;
            let step = settled(step, "listing files").await?;
            if property(&step, "done").is_truthy() {
                names.sort();
                return Ok(names);
            }
            names.extend(property(&step, "value").as_string());
        }
    }

    async fn space(&self) -> io::Result<Option<u64>> {
        let estimate = self.storage.estimate().map_err(|e| failure("asking for the quota", &e))?;
        let estimate = settled(estimate, "asking for the quota").await?;
        let estimate: StorageEstimate = estimate.unchecked_into();
        let left = estimate.get_quota().zip(estimate.get_usage());
        // Whole bytes below 2^53: browsers report quotas as doubles.
        Ok(left.map(|(quota, usage)| (quota - usage).max(0.0) as u64))
    }
}

impl Folder for OpfsFolder {
    fn open(&self, name: &str) -> LocalBoxFuture<'_, io::Result<Arc<dyn File>>> {
        let name = name.to_owned();
        Box::pin(async move { self.open_file(&name).await })
    }

    fn remove(&self, name: &str) -> LocalBoxFuture<'_, io::Result<()>> {
        let name = name.to_owned();
        Box::pin(async move {
            check_name(&name)?;
            match settled(self.handle.remove_entry(&name), &name).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        })
    }

    fn list(&self) -> LocalBoxFuture<'_, io::Result<Vec<String>>> {
        Box::pin(self.names())
    }

    fn free_bytes(&self) -> LocalBoxFuture<'_, io::Result<Option<u64>>> {
        Box::pin(self.space())
    }
}

/// An open file. It is used on the worker's thread only; the wrapper asserts that.
struct OpfsFile {
    name: String,
    handle: SendWrapper<FileSystemSyncAccessHandle>,
}

impl std::fmt::Debug for OpfsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpfsFile({})", self.name)
    }
}

impl Drop for OpfsFile {
    fn drop(&mut self) {
        self.handle.close();
    }
}

impl File for OpfsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.handle.get_size().map_err(|e| failure(&self.name, &e))? as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = position(offset + done as u64);
            let read = self.handle.read_with_u8_array_and_options(&mut buf[done..], &at);
            match read.map_err(|e| failure(&self.name, &e))? as usize {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let at = position(offset + done as u64);
            let written = self.handle.write_with_u8_array_and_options(&bytes[done..], &at);
            match written.map_err(|e| failure(&self.name, &e))? as usize {
                // Some browsers write less instead of throwing when the quota is reached.
                0 => return Err(io::ErrorKind::StorageFull.into()),
                written => done += written,
            }
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.handle.truncate_with_f64(bytes as f64).map_err(|e| failure(&self.name, &e))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.flush().map_err(|e| failure(&self.name, &e))
    }
}

fn position(offset: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at(offset as f64);
    options
}

fn storage() -> io::Result<StorageManager> {
    let navigator = property(&js_sys::global(), "navigator");
    if property(&navigator, "storage").is_undefined() {
        let reason = "this page has no storage: open it over https or on localhost";
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    Ok(js_sys::global().unchecked_into::<WorkerGlobalScope>().navigator().storage())
}

async fn settled(promise: js_sys::Promise, doing: &str) -> io::Result<JsValue> {
    JsFuture::from(promise).await.map_err(|e| failure(doing, &e))
}

fn cast<T: JsCast>(value: JsValue, what: &str) -> io::Result<T> {
    value.dyn_into().map_err(|_| io::Error::other(format!("the browser gave no {what}")))
}

fn has(object: &JsValue, method: &str) -> bool {
    property(object, method).is_function()
}

fn property(object: &JsValue, name: &str) -> JsValue {
    // Fails on values that are no objects, which have no properties.
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

/// What a thrown DOMException means as an I/O error.
fn failure(doing: &str, error: &JsValue) -> io::Error {
    let name = property(error, "name").as_string().unwrap_or_default();
    let message = property(error, "message").as_string().unwrap_or_else(|| format!("{error:?}"));
    let kind = match name.as_str() {
        "QuotaExceededError" => io::ErrorKind::StorageFull,
        // The second is what Firefox throws for a handle that is open elsewhere.
        "NoModificationAllowedError" | "InvalidModificationError" => io::ErrorKind::ResourceBusy,
        "NotFoundError" => io::ErrorKind::NotFound,
        "SecurityError" | "NotAllowedError" => io::ErrorKind::PermissionDenied,
        "TypeError" | "TypeMismatchError" => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{doing}: {name}: {message}"))
}
