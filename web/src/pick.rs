//! Reading what a person dropped or chose: names and sizes now, the bytes only when published.
//!
//! Never reads a file's content. A folder of more than [`FILES`] files is refused with a sentence.

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DataTransfer, File, FileList, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry,
};

use crate::{
    node::types::{Failure, LeftOut},
    order, plan, say,
};

/// Most files of one folder: each costs the page about 1 kB while it is listed.
const FILES: usize = 100_000;

/// A file that goes.
#[derive(Clone, Debug)]
pub(crate) struct PickedFile {
    /// Path in the folder, `/` between names.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Where the browser reads it from.
    pub(crate) file: File,
}

/// A folder, or loose files, ready for review.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    /// The folder's name, or the only file's.
    pub(crate) name: String,
    /// What goes, sorted by path.
    pub(crate) files: Vec<PickedFile>,
    /// What stays, sorted by path.
    pub(crate) left_out: Vec<LeftOut>,
}

impl Picked {
    fn of(mut files: Vec<PickedFile>, mut left_out: Vec<LeftOut>) -> Result<Self, Failure> {
        let folder = plan::shared_folder(files.iter().map(|f| f.path.as_str())).map(str::to_owned);
        if let Some(folder) = &folder {
            for file in &mut files {
                file.path.drain(..=folder.len());
            }
            for file in &mut left_out {
                let below = file.path.strip_prefix(folder.as_str());
                if let Some(below) = below.and_then(|path| path.strip_prefix('/')) {
                    file.path = below.to_owned();
                }
            }
        }
        files.retain(|file| match plan::reason_to_leave_out(&file.path) {
            Some(reason) => {
                left_out.push(LeftOut { path: file.path.clone(), reason: reason.into() });
                false
            }
            None => true,
        });
        order::sort(&mut files, |a, b| a.path.cmp(&b.path));
        order::sort(&mut left_out, |a, b| a.path.cmp(&b.path));
        let name = match (folder, files.as_slice()) {
            (Some(folder), _) => folder,
            (None, [only]) => only.path.clone(),
            (None, []) => return Err(nothing_to_publish(&left_out)),
            (None, all) => say::counted(all.len() as u64, "file"),
        };
        if files.is_empty() {
            return Err(nothing_to_publish(&left_out));
        }
        Ok(Self { name, files, left_out })
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// What the link will open.
    pub(crate) fn entry(&self) -> plan::Entry {
        plan::entry(self.files.iter().map(|f| f.path.as_str()))
    }

    /// The only file, where the link has to end in its name.
    pub(crate) fn only_file(&self) -> Option<String> {
        match self.entry() {
            plan::Entry::OnlyFile(path) => Some(path),
            _ => None,
        }
    }
}

fn nothing_to_publish(left_out: &[LeftOut]) -> Failure {
    let message = match left_out {
        [] => "That folder is empty.".to_owned(),
        [one] => format!("The only file, {}, was left out: {}.", one.path, one.reason),
        all => format!("All {} were left out.", say::counted(all.len() as u64, "file")),
    };
    Failure { hint: Some("Choose another folder.".into()), ..Failure::here("bad_input", message) }
}

fn too_many() -> Failure {
    let most = say::count(FILES as u64);
    Failure {
        hint: Some("Publish it in parts, or from the command line.".into()),
        ..Failure::here("bad_input", format!("That folder holds more than {most} files."))
    }
}

/// Files of an `<input type="file">`, with their folder where one was chosen.
pub(crate) fn chosen(list: &FileList) -> Result<Picked, Failure> {
    if list.length() as usize > FILES {
        return Err(too_many());
    }
    let files = (0..list.length()).filter_map(|i| list.get(i)).map(|file| {
        let path = Reflect::get(&file, &"webkitRelativePath".into())
            .ok()
            .and_then(|path| path.as_string())
            .filter(|path| !path.is_empty());
        listed(path.unwrap_or_else(|| file.name()), file)
    });
    Picked::of(files.collect(), Vec::new())
}

fn listed(path: String, file: File) -> PickedFile {
    PickedFile { path, bytes: file_bytes(&file), file }
}

/// A file's length.
pub(crate) fn file_bytes(file: &File) -> u64 {
    // A whole number below 2⁵³.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes = file.size().max(0.0) as u64;
    bytes
}

/// What was dropped. Call it inside the event: the browser empties the list afterwards.
pub(crate) fn dropped(data: &DataTransfer) -> Vec<FileSystemEntry> {
    let items = data.items();
    (0..items.length())
        .filter_map(|i| items.get(i))
        .filter_map(|item| item.webkit_get_as_entry().ok().flatten())
        .collect()
}

/// Lists everything below what was dropped; `found` hears how many files there are so far.
pub(crate) async fn walk(
    dropped: Vec<FileSystemEntry>,
    found: impl Fn(u64),
) -> Result<Picked, Failure> {
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    let mut waiting: Vec<(String, FileSystemEntry)> =
        dropped.into_iter().map(|entry| (entry.name(), entry)).collect();
    while let Some((path, entry)) = waiting.pop() {
        // A folder that can't go at all is named once, not file by file.
        if entry.is_directory() && plan::reason_to_leave_out(&path).is_some() {
            let reason = plan::reason_to_leave_out(&path).unwrap_or_default().into();
            left_out.push(LeftOut { path, reason });
            continue;
        }
        let read = if entry.is_directory() {
            folder(entry.unchecked_into()).await.map(|inside| {
                let below = |entry: FileSystemEntry| (format!("{path}/{}", entry.name()), entry);
                waiting.extend(inside.into_iter().map(below));
            })
        } else {
            file(entry.unchecked_into()).await.map(|file| files.push(listed(path.clone(), file)))
        };
        if let Err(thrown) = read {
            left_out.push(LeftOut { path, reason: unreadable(&thrown) });
        }
        if files.len() + waiting.len() > FILES {
            return Err(too_many());
        }
        found(files.len() as u64);
    }
    Picked::of(files, left_out)
}

fn unreadable(thrown: &JsValue) -> String {
    let name = Reflect::get(thrown, &"name".into()).ok().and_then(|name| name.as_string());
    format!("the browser could not read it ({})", name.as_deref().unwrap_or("no reason given"))
}

/// The entries of a folder; the browser hands out 100 at a time.
async fn folder(folder: FileSystemDirectoryEntry) -> Result<Vec<FileSystemEntry>, JsValue> {
    let reader = folder.create_reader();
    let mut entries = Vec::new();
    loop {
        let batch =
            settled(|done, failed| reader.read_entries_with_callback_and_callback(done, failed))
                .await?;
        let batch: Array = batch.dyn_into()?;
        if batch.length() == 0 || entries.len() > FILES {
            return Ok(entries);
        }
        entries.extend(batch.iter().map(JsCast::unchecked_into::<FileSystemEntry>));
    }
}

async fn file(entry: FileSystemFileEntry) -> Result<File, JsValue> {
    let file = settled(|done, failed| {
        entry.file_with_callback_and_callback(done, failed);
        Ok(())
    })
    .await?;
    file.dyn_into()
}

/// A pair of callbacks as a future.
async fn settled(
    start: impl Fn(&js_sys::Function, &js_sys::Function) -> Result<(), JsValue>,
) -> Result<JsValue, JsValue> {
    let promise = Promise::new(&mut |done, failed| {
        if let Err(thrown) = start(&done, &failed) {
            drop(failed.call1(&JsValue::UNDEFINED, &thrown));
        }
    });
    JsFuture::from(promise).await
}
