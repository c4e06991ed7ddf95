//! One file of a simulated disk: what its users see, what a crash leaves, and what lies between.

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{RngCore, SeedableRng},
};

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// Most parts into which a write is torn where no sector is whole.
const SHREDS: usize = 4;

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
    /// The seed tears every write at any byte: nothing is written whole.
    Shredded(
        /// That seed.
        u64,
    ),
}

#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    unflushed: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Image {
    pub(super) fn apply(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unflushed.push(change);
    }

    /// Notes a change that only a crash will show.
    pub(super) fn note(&mut self, change: Change) {
        self.unflushed.push(change);
    }

    pub(super) fn flush(&mut self) {
        for change in self.unflushed.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What was not flushed never will be, and can be read until the next crash.
    pub(super) fn forget(&mut self) {
        self.unflushed.clear();
    }

    pub(super) fn crash(&mut self, damage: Damage, file: u64) {
        let dice = |seed| {
            let mut rng = ChaCha12Rng::seed_from_u64(seed);
            rng.set_stream(file);
            rng
        };
        match damage {
            Damage::Lost => self.unflushed.clear(),
            Damage::Kept => self.flush(),
            Damage::Torn(seed) => {
                let mut rng = dice(seed);
                for change in std::mem::take(&mut self.unflushed) {
                    change.tear(&mut self.durable, &mut rng);
                }
            }
            Damage::Shredded(seed) => {
                let mut rng = dice(seed);
                for change in std::mem::take(&mut self.unflushed) {
                    change.shred(&mut self.durable, &mut rng);
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
            Self::Write(offset, bytes) => write(image, *offset, bytes),
        }
    }

    /// Whether it cuts a file of `length`.
    pub(super) fn shortens(&self, length: usize) -> bool {
        matches!(self, Self::Length(wanted) if *wanted <= length)
    }

    /// Its first half, if it has one.
    pub(super) fn half(&self) -> Option<Self> {
        match self {
            Self::Write(offset, bytes) if bytes.len() > 1 => {
                Some(Self::Write(*offset, bytes[..bytes.len() / 2].to_vec()))
            }
            Self::Write(..) | Self::Length(_) => None,
        }
    }

    /// Applies what the dice let through, sector by sector.
    fn tear(&self, image: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
        let Self::Write(offset, bytes) = self else { return self.perhaps(image, rng) };
        // A third is lost whole and a third kept whole; the rest is torn.
        let fate = rng.next_u32() % 3;
        let mut at = 0;
        while at < bytes.len() {
            let step = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
            let end = bytes.len().min(at + step);
            if fate == 0 || (fate == 1 && rng.next_u32().is_multiple_of(2)) {
                write(image, offset + at, &bytes[at..end]);
            }
            at = end;
        }
    }

    /// The same, cut at any byte.
    fn shred(&self, image: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
        let Self::Write(offset, bytes) = self else { return self.perhaps(image, rng) };
        let mut cuts = vec![0, bytes.len()];
        for _ in 1..SHREDS {
            cuts.push(rng.next_u32() as usize % (bytes.len() + 1));
        }
        cuts.sort_unstable();
        for part in cuts.windows(2) {
            if rng.next_u32().is_multiple_of(2) {
                write(image, offset + part[0], &bytes[part[0]..part[1]]);
            }
        }
    }

    fn perhaps(&self, image: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
        if rng.next_u32().is_multiple_of(2) {
            self.apply(image);
        }
    }
}

fn write(image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(bytes);
}
