//! Notices that files changed, by looking at their times and sizes every two seconds. That works on
//! every filesystem, over mounts and for files that are replaced by renaming; three looks cost less
//! than one request.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(2);

type Stamp = Option<(SystemTime, u64)>;

/// Some files.
#[derive(Debug)]
pub(super) struct Watch(Vec<(PathBuf, Stamp)>);

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

impl Watch {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (stamp(&file), file)).map(|(at, f)| (f, at)).collect())
    }

    /// What changed since the last call; `None` once stopped.
    pub(super) async fn changed(&mut self, stop: &CancellationToken) -> Option<Vec<PathBuf>> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(LOOK) => {}
            }
            let changed = self.look();
            if !changed.is_empty() {
                return Some(changed);
            }
        }
    }

    fn look(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (file, before) in &mut self.0 {
            let now = stamp(file);
            // One that is away for a moment is being replaced.
            if now.is_some() && now != *before {
                *before = now;
                changed.push(file.clone());
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_noticed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "1").unwrap();
        let mut watch = Watch::new(vec![path.clone()]);
        assert!(watch.look().is_empty());
        fs::remove_file(&path).unwrap();
        assert!(watch.look().is_empty(), "away for a moment");
        fs::write(&path, "22").unwrap();
        assert_eq!(watch.look(), std::slice::from_ref(&path));
        assert!(watch.look().is_empty());
    }
}
