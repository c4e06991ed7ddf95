//! A disk in memory that behaves as badly as real ones: what was not flushed may be lost, torn or
//! kept after a crash, flushes may be lost, bits rot and space runs out.
//!
//! Every file has two images: the live one, which its users see, and the durable one, which a crash
//! falls back to. Between them lies the ordered list of writes since the last flush.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::LocalBoxFuture;
use rand_chacha::{
    ChaCha12Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::{File, Folder, file::check_name};

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// What a crash does to writes that were not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// None of them is there.
    Lost,
    /// All of them are there.
    Kept,
    /// The seed decides for every sector of every write.
    Torn(
        /// That seed.
        u64,
    ),
}

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
}

#[derive(Default)]
struct Image {
    live: Vec<u8>,
    durable: Vec<u8>,
    unflushed: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
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

    /// The machine lost power and is up again: unflushed writes meet `damage`, open files are gone.
    pub fn crash(&self, damage: Damage) {
        let mut state = self.state();
        state.power += 1;
        state.power_off_at = None;
        state.lost_flushes = 0;
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
        let files = state.files.iter().map(|(name, image)| {
            let copy = Image {
                live: image.live.clone(),
                durable: image.durable.clone(),
                unflushed: image.unflushed.iter().map(Change::duplicate).collect(),
            };
            (name.clone(), copy)
        });
        let files = files.collect();
        let capacity_bytes = state.capacity_bytes;
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

    /// Counts a change; fails where power is off.
    fn change(&mut self) -> io::Result<()> {
        if self.power_off_at.is_some_and(|at| self.changes >= at) {
            return Err(io::Error::other("the simulated disk has no power"));
        }
        self.changes += 1;
        Ok(())
    }

    /// How far a file may grow from `length` towards `wanted`.
    fn room(&self, length: usize, wanted: usize) -> usize {
        let Some(capacity) = self.capacity_bytes else { return wanted };
        let free = capacity.saturating_sub(self.used_bytes());
        wanted.min(length.saturating_add(usize::try_from(free).unwrap_or(usize::MAX)))
    }
}

impl Image {
    fn apply(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unflushed.push(change);
    }

    fn flush(&mut self) {
        for change in self.unflushed.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn crash(&mut self, damage: Damage, file: u64) {
        match damage {
            Damage::Lost => self.unflushed.clear(),
            Damage::Kept => self.flush(),
            Damage::Torn(seed) => {
                let mut rng = ChaCha12Rng::seed_from_u64(seed);
                rng.set_stream(file);
                for change in std::mem::take(&mut self.unflushed) {
                    change.tear(&mut self.durable, &mut rng);
                }
            }
        }
        self.live.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(length) => image.resize(*length, 0),
            Self::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
        }
    }

    /// Applies what the dice let through, sector by sector.
    fn tear(&self, image: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
        match self {
            Self::Length(_) => {
                if rng.next_u32().is_multiple_of(2) {
                    self.apply(image);
                }
            }
            Self::Write(offset, bytes) => {
                // A third is lost whole and a third kept whole; the rest is torn.
                let fate = rng.next_u32() % 3;
                let mut at = 0;
                while at < bytes.len() {
                    let step = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                    let end = bytes.len().min(at + step);
                    if fate == 0 || (fate == 1 && rng.next_u32().is_multiple_of(2)) {
                        Self::Write(offset + at, bytes[at..end].to_vec()).apply(image);
                    }
                    at = end;
                }
            }
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Self::Write(offset, bytes) => Self::Write(*offset, bytes.clone()),
            Self::Length(length) => Self::Length(*length),
        }
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
        state.change()?;
        let length = state.files.get(&self.name).map_or(0, |image| image.live.len());
        let (change, whole) = to(&state, length)?;
        if let Some(image) = state.files.get_mut(&self.name) {
            image.apply(change);
        }
        if whole { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
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
        state.change()?;
        if state.lost_flushes > 0 {
            state.lost_flushes -= 1;
            return Ok(());
        }
        if let Some(image) = state.files.get_mut(&self.name) {
            image.flush();
        }
        Ok(())
    }
}
