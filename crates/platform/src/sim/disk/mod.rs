//! A disk in memory that behaves as badly as real ones: what was not flushed may be lost, torn or
//! kept after a crash, flushes may be lost, bits rot and space runs out.
//!
//! Every file has two images: the live one, which its users see, and the durable one, which a crash
//! falls back to. Between them lies the ordered list of writes since the last flush.
//!
//! What is assumed of a real disk, and what not: a flush covers the file it was asked for and nothing
//! else; before it, any part of any write may be durable, in any order, also across files. Whether a
//! sector is written whole or not at all is the difference between [`Damage::Torn`] (a block device
//! below a filesystem) and [`Damage::Shredded`] (what the browsers' file system promises: nothing;
//! its `flush` is the only thing that is specified).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::LocalBoxFuture;

use self::{image::Image, replay::Step};
use crate::{File, Folder, file::check_name};

mod image;
mod replay;

use image::Change;
pub use image::{Damage, SECTOR_BYTES};
pub use replay::Replay;

/// A simulated disk: one flat folder. Cloning shares it; it survives the crash of its users.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<String, Image>,
    open: BTreeSet<String>,
    /// Counts crashes: handles from before one are dead.
    power: u64,
    capacity_bytes: Option<u64>,
    /// Writes, resizes and flushes so far.
    changes: u64,
    /// The change at which power fails.
    power_off_at: Option<u64>,
    lost_flushes: u64,
    fault: Option<Fault>,
    /// Bytes that cannot be read, by file.
    unreadable: BTreeMap<String, Range<u64>>,
    /// Every change, if they are kept for a replay.
    recorded: Option<Vec<Step>>,
}

/// Changes that fail.
struct Fault {
    changes: Range<u64>,
    kind: io::ErrorKind,
    /// A flush that fails takes what it should have flushed with it.
    forgets: bool,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "SimDisk({} files, {} bytes)", state.files.len(), state.used_bytes())
    }
}

impl SimDisk {
    /// An empty disk without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the sum of file lengths; none lifts the limit. What is stored already stays.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// The sum of file lengths.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Writes, resizes and flushes so far: the points at which power may fail.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Lets power fail at the change with this number: it and everything after it fails until
    /// [`SimDisk::crash`].
    pub fn power_off_at(&self, change: u64) {
        self.state().power_off_at = Some(change);
    }

    /// Makes the next `flushes` flushes claim success without doing anything.
    pub fn lose_flushes(&self, flushes: u64) {
        self.state().lost_flushes = flushes;
    }

    /// Lets the changes with these numbers fail with `kind`: a write after half of it, a flush
    /// without an effect. Cutting a file short never fails. With `forgets`, a flush that fails takes
    /// what it should have flushed with it, though it stays readable until the next crash: so does
    /// Linux, which marks pages clean that it could not write.
    pub fn fail(&self, changes: Range<u64>, kind: io::ErrorKind, forgets: bool) {
        self.state().fault = Some(Fault { changes, kind, forgets });
    }

    /// Lets every read of these bytes of a file fail, as a bad sector does; no bytes end that.
    pub fn fail_reads(&self, name: &str, bytes: Range<u64>) {
        self.state().unreadable.insert(name.to_owned(), bytes);
    }

    /// Lets nothing fail any more.
    pub fn mend(&self) {
        self.state().fault = None;
    }

    /// Keeps every change from now on, for [`SimDisk::replay`].
    pub fn record(&self) {
        self.state().recorded = Some(Vec::new());
    }

    /// What was recorded, to be gone through again change by change, from an empty disk.
    pub fn replay(&self) -> Replay {
        Replay::new(self.state().recorded.take().unwrap_or_default())
    }

    /// The machine lost power and is up again: unflushed writes meet `damage`, open files are gone.
    pub fn crash(&self, damage: Damage) {
        let mut state = self.state();
        state.power += 1;
        state.power_off_at = None;
        state.lost_flushes = 0;
        state.fault = None;
        state.open.clear();
        for (index, image) in state.files.values_mut().enumerate() {
            image.crash(damage, index as u64);
        }
    }

    /// Flips the bits of `mask` in one stored byte of `name`; false if there is no such byte.
    pub fn rot(&self, name: &str, offset: u64, mask: u8) -> bool {
        let mut state = self.state();
        let Some(image) = state.files.get_mut(name) else { return false };
        let Ok(offset) = usize::try_from(offset) else { return false };
        let Some(byte) = image.live.get_mut(offset) else { return false };
        *byte ^= mask;
        if let Some(byte) = image.durable.get_mut(offset) {
            *byte ^= mask;
        }
        true
    }

    /// The live length of `name`, if it exists.
    pub fn len_of(&self, name: &str) -> Option<u64> {
        self.state().files.get(name).map(|image| image.live.len() as u64)
    }

    /// An independent copy: the same files and images, nothing open.
    pub fn duplicate(&self) -> Self {
        let state = self.state();
        let (files, capacity_bytes) = (state.files.clone(), state.capacity_bytes);
        Self(Arc::new(Mutex::new(State { files, capacity_bytes, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is made whole before the lock is let go.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_file(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let mut state = self.state();
        if !state.open.insert(name.to_owned()) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{name} is open")));
        }
        state.files.entry(name.to_owned()).or_default();
        let (disk, power) = (self.clone(), state.power);
        Ok(Arc::new(SimFile { disk, name: name.to_owned(), power }))
    }
}

impl Folder for SimDisk {
    fn open(&self, name: &str) -> LocalBoxFuture<'_, io::Result<Arc<dyn File>>> {
        let file = self.open_file(name);
        Box::pin(async move { file })
    }

    fn remove(&self, name: &str) -> LocalBoxFuture<'_, io::Result<()>> {
        let removed = check_name(name).map(|()| {
            self.state().files.remove(name);
        });
        Box::pin(async move { removed })
    }

    fn list(&self) -> LocalBoxFuture<'_, io::Result<Vec<String>>> {
        let names = self.state().files.keys().cloned().collect();
        Box::pin(async move { Ok(names) })
    }

    fn free_bytes(&self) -> LocalBoxFuture<'_, io::Result<Option<u64>>> {
        let state = self.state();
        let used = state.used_bytes();
        let free = state.capacity_bytes.map(|capacity| capacity.saturating_sub(used));
        Box::pin(async move { Ok(free) })
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.files.values().map(|image| image.live.len() as u64).sum()
    }

    /// Counts a change; fails where power is off, and says whether it is to fail otherwise.
    fn change(&mut self) -> io::Result<Option<io::ErrorKind>> {
        if self.power_off_at.is_some_and(|at| self.changes >= at) {
            return Err(io::Error::other("the simulated disk has no power"));
        }
        self.changes += 1;
        let number = self.changes - 1;
        let fault = self.fault.as_ref().filter(|fault| fault.changes.contains(&number));
        Ok(fault.map(|fault| fault.kind))
    }

    fn forgets(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.forgets)
    }

    fn apply(&mut self, name: &str, change: Change) {
        if let Some(steps) = &mut self.recorded {
            steps.push(Step { file: name.to_owned(), change: Some(change.clone()) });
        }
        if let Some(image) = self.files.get_mut(name) {
            image.apply(change);
        }
    }

    /// How far a file may grow from `length` towards `wanted`.
    fn room(&self, length: usize, wanted: usize) -> usize {
        let Some(capacity) = self.capacity_bytes else { return wanted };
        let free = capacity.saturating_sub(self.used_bytes());
        wanted.min(length.saturating_add(usize::try_from(free).unwrap_or(usize::MAX)))
    }
}

struct SimFile {
    disk: SimDisk,
    name: String,
    power: u64,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.name)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.power == self.power {
            state.open.remove(&self.name);
        }
    }
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.power != self.power {
            return Err(io::Error::other(format!("{} was open when power failed", self.name)));
        }
        if !state.files.contains_key(&self.name) {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is gone", self.name)));
        }
        Ok(state)
    }

    fn change(
        &self,
        to: impl FnOnce(&State, usize) -> io::Result<(Change, bool)>,
    ) -> io::Result<()> {
        let mut state = self.state()?;
        let fails = state.change()?;
        let length = state.files.get(&self.name).map_or(0, |image| image.live.len());
        let (change, whole) = to(&state, length)?;
        let Some(kind) = fails.filter(|_| !change.shortens(length)) else {
            state.apply(&self.name, change);
            return if whole { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) };
        };
        if let Some(half) = change.half() {
            state.apply(&self.name, half);
        }
        Err(kind.into())
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.state()?;
        Ok(state.files.get(&self.name).map_or(0, |image| image.live.len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let state = self.state()?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = offset.saturating_add(buf.len() as u64);
        if state.unreadable.get(&self.name).is_some_and(|bad| bad.start < end && offset < bad.end) {
            return Err(io::Error::other("a bad sector of the simulated disk"));
        }
        let image = state.files.get(&self.name);
        let bytes = image.and_then(|image| image.live.get(start..)?.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(|state, length| {
            // As real disks do, what still fits is written.
            let end = state.room(length, start + bytes.len());
            let fits = end.saturating_sub(start).min(bytes.len());
            // Nothing written grows nothing, however far past the end it was to go.
            let change = if fits == 0 {
                Change::Length(length)
            } else {
                Change::Write(start, bytes[..fits].to_vec())
            };
            Ok((change, fits == bytes.len()))
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let wanted = usize::try_from(bytes).map_err(io::Error::other)?;
        self.change(|state, length| {
            let fits = wanted <= length || state.room(length, wanted) == wanted;
            Ok((Change::Length(if fits { wanted } else { length }), fits))
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        if let Some(kind) = state.change()? {
            let forgets = state.forgets();
            if let Some(image) = state.files.get_mut(&self.name).filter(|_| forgets) {
                image.forget();
            }
            return Err(kind.into());
        }
        if state.lost_flushes > 0 {
            state.lost_flushes -= 1;
            return Ok(());
        }
        if let Some(image) = state.files.get_mut(&self.name) {
            image.flush();
        }
        if let Some(steps) = &mut state.recorded {
            steps.push(Step { file: self.name.clone(), change: None });
        }
        Ok(())
    }
}
