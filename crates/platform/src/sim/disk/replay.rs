//! A recorded life of a disk, gone through again change by change, so that a crash can be tried at
//! every one of them without living that life anew each time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::{
    Damage, SimDisk, State,
    image::{Change, Image},
};

/// One change of one file: a write, a new length, or (none) a flush.
pub(super) struct Step {
    pub(super) file: String,
    pub(super) change: Option<Change>,
}

/// Where power fails in a recorded life. Made by [`SimDisk::replay`].
pub struct Replay {
    steps: std::vec::IntoIter<Step>,
    /// Only what is durable and what waits for it: nobody reads a running replay.
    files: BTreeMap<String, Image>,
}

impl Replay {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self { steps: steps.into_iter(), files: BTreeMap::new() }
    }

    /// How many changes are still to come.
    pub fn remaining(&self) -> usize {
        self.steps.len()
    }

    /// Whether the next change is a flush.
    pub fn flushes_next(&self) -> bool {
        self.steps.as_slice().first().is_some_and(|step| step.change.is_none())
    }

    /// Makes the next change; `false` at the end.
    pub fn advance(&mut self) -> bool {
        let Some(step) = self.steps.next() else { return false };
        let image = self.files.entry(step.file).or_default();
        match step.change {
            Some(change) => image.note(change),
            None => image.flush(),
        }
        true
    }

    /// The disk after power failed here: before the next change, or with `torn` when half of it was
    /// written.
    pub fn crashed(&self, damage: Damage, torn: bool) -> SimDisk {
        let mut files = self.files.clone();
        if let Some(step) = self.steps.as_slice().first()
            && let Some(half) = step.change.as_ref().and_then(Change::half)
            && torn
        {
            files.entry(step.file.clone()).or_default().note(half);
        }
        for (index, image) in files.values_mut().enumerate() {
            image.crash(damage, index as u64);
        }
        SimDisk(Arc::new(Mutex::new(State { files, ..State::default() })))
    }
}
