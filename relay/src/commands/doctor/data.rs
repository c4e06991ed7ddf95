//! The data folder: whose it is, who else can look into it, whether there is room, and how long a
//! write takes that survives a power cut.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use super::{Check, Verdict, node::Running};
use crate::{
    cli::Group,
    config::Settings,
    folder::{self, Owner},
    units::bytes_text,
};

/// Below this the store can't even compact its index.
const FREE_LEAST_BYTES: u64 = 64 << 20;
/// Below this a busy node fills up within a day.
const FREE_LOW_BYTES: u64 = 1 << 30;
/// Files and folders that a file system must still allow.
const INODES_LOW: u64 = 1000;
/// A durable write that takes longer is felt by whoever waits for a `put`.
const SYNC_SLOW: Duration = Duration::from_millis(100);
/// Writes timed; the middle one counts.
const SYNCS: usize = 5;
/// Bytes of each: one page, as a commit of the index writes at least.
const SYNC_BYTES: usize = 4096;

fn check(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check::new(Group::Data, name, verdict, found)
}

/// Everything about the folder.
pub(super) fn checks(settings: &Settings, running: &Running) -> Vec<Check> {
    let data = &settings.data;
    let about = match fs::metadata(data) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => {
            let found = format!("{} is not a folder", data.display());
            return vec![
                check("folder", Verdict::Problem, found).advice("Name another with --data."),
            ];
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return missing(settings),
        Err(error) => {
            let found = format!("{} can't be looked at: {error}", data.display());
            let advice = "Give the account that runs craftec the right to enter it.";
            return vec![check("folder", Verdict::Problem, found).advice(advice)];
        }
    };
    let mut checks = vec![rights(data, &about), lock(data, running)];
    checks.extend(room(data, settings));
    checks.push(durable(data));
    checks
}

/// There is none yet: then what counts is the place where it will be.
fn missing(settings: &Settings) -> Vec<Check> {
    let data = &settings.data;
    let above = data.ancestors().skip(1).find(|path| path.is_dir());
    let above = above.unwrap_or(Path::new("/"));
    let may = rustix::fs::access(above, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    let mut checks = vec![match may {
        Ok(()) => {
            let found =
                format!("{} is not there yet; the first command creates it", data.display());
            check("folder", Verdict::Ok, found)
        }
        Err(error) => {
            let found = format!(
                "{} is not there, and can't be created in {}: {error}",
                data.display(),
                above.display()
            );
            check("folder", Verdict::Problem, found)
                .advice("Create it for the account that runs craftec, or name another with --data.")
        }
    }];
    checks.extend(room(above, settings));
    checks
}

fn rights(data: &Path, about: &fs::Metadata) -> Check {
    let (mode, me) = (about.mode() & 0o777, rustix::process::geteuid().as_raw());
    let path = data.display();
    if about.uid() != me && me != 0 {
        let found = format!("{path} belongs to user {}, and this is user {me}", about.uid());
        return check("folder", Verdict::Problem, found)
            .advice("Run craftec as its owner, or name another folder with --data.");
    }
    if mode & 0o077 != 0 {
        let found = format!("{path} (mode {mode:o}) can be entered by others; the keys are in it");
        return check("folder", Verdict::Problem, found).advice(format!("chmod 700 {path}"));
    }
    check("folder", Verdict::Ok, format!("{path} is its owner's alone (mode {mode:o})"))
}

fn lock(data: &Path, running: &Running) -> Check {
    match (folder::owner(data), running) {
        (Ok(Owner::Nobody), _) => check("lock", Verdict::Ok, "no process uses the folder"),
        (Ok(Owner::Process(pid)), Running::Yes { .. }) => {
            let pid = pid.map_or("of unknown id".to_owned(), |pid| pid.to_string());
            check("lock", Verdict::Ok, format!("the running node has it (process {pid})"))
        }
        (Ok(Owner::Process(pid)), _) => {
            let (who, end) = match pid {
                Some(pid) => (format!("process {pid}"), format!("`kill {pid}`")),
                None => ("another process".to_owned(), "ending it".to_owned()),
            };
            let found = format!("{who} has the folder and does not answer on its socket");
            check("lock", Verdict::Warning, found).advice(format!(
                "A node that starts or stops, or a command at work, needs a moment; try again. If \
                 it stays, {end} frees the folder."
            ))
        }
        (Err(error), _) => {
            check("lock", Verdict::Problem, format!("the lock file can't be read: {error}"))
                .advice("Give the account that runs craftec the right to read and write it.")
        }
    }
}

fn room(data: &Path, settings: &Settings) -> Vec<Check> {
    let disk = match rustix::fs::statvfs(data) {
        Ok(disk) => disk,
        Err(error) => {
            let found = format!("the file system does not say how much room it has: {error}");
            return vec![check("space", Verdict::Unknown, found)];
        }
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let lend = settings.lend.unwrap_or(0);
    let found = format!("{} free of {}", bytes_text(free), {
        bytes_text(disk.f_blocks.saturating_mul(disk.f_frsize))
    });
    let space = if free < FREE_LEAST_BYTES {
        check("space", Verdict::Problem, found)
            .advice("Make room, or move the folder to a larger disk; nothing more can be stored.")
    } else if free < FREE_LOW_BYTES {
        check("space", Verdict::Warning, found).advice("Make room before the disk is full.")
    } else if free < lend {
        let found = format!("{found}, and {} are to be lent", bytes_text(lend));
        check("space", Verdict::Warning, found).advice("Lend less, or give it a larger disk.")
    } else {
        check("space", Verdict::Ok, found)
    };
    let mut checks = vec![space];
    // A file system without a fixed number of files says zero.
    if disk.f_files > 0 && disk.f_favail < INODES_LOW {
        let found = format!("the file system allows {} more files", disk.f_favail);
        checks.push(
            check("files", Verdict::Warning, found).advice("Remove files that nobody needs."),
        );
    }
    checks.extend(kind(data));
    checks
}

/// File systems that forget, or whose locks don't hold between machines.
#[cfg(target_os = "linux")]
fn kind(data: &Path) -> Option<Check> {
    // Of linux/magic.h; the type of the field differs from platform to platform.
    let kind = rustix::fs::statfs(data).ok()?.f_type;
    let (is_memory, is_nfs) = (kind == 0x0102_1994, kind == 0x6969);
    if is_memory {
        let found = "the folder is in memory (tmpfs): all of it is lost at a restart";
        return Some(check("kind", Verdict::Warning, found).advice("Name a folder on a disk."));
    }
    is_nfs.then(|| {
        let found = "the folder is on another machine (NFS): two nodes could open it at once";
        check("kind", Verdict::Warning, found).advice("Name a folder on a disk of this machine.")
    })
}

#[cfg(not(target_os = "linux"))]
fn kind(_: &Path) -> Option<Check> {
    None
}

/// Times writes that are made durable, as `put` makes its own.
fn durable(data: &Path) -> Check {
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        match write_once(data) {
            Ok(time) => times.push(time),
            Err(error) => {
                let found = format!("a file can't be written durably: {error}");
                let advice = match error.kind() {
                    io::ErrorKind::StorageFull => "Make room on the disk.",
                    io::ErrorKind::ReadOnlyFilesystem => {
                        "The disk is read-only: mount it writable, or look into the system's log \
                         for why it was made so."
                    }
                    io::ErrorKind::PermissionDenied => {
                        "Give the account that runs craftec the right to write into the folder."
                    }
                    _ => "Look into the system's log for errors of the disk.",
                };
                return check("durable write", Verdict::Problem, found).advice(advice);
            }
        }
    }
    times.sort();
    let middle = times[SYNCS / 2];
    let slowest = times[SYNCS - 1];
    let found = format!(
        "4 KiB written and flushed in {:.1} ms (slowest of {SYNCS}: {:.1} ms)",
        middle.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3
    );
    if middle > SYNC_SLOW {
        return check("durable write", Verdict::Warning, found)
            .advice("Every `put` waits for such a write: give the folder a faster disk.");
    }
    check("durable write", Verdict::Ok, found)
}

fn write_once(data: &Path) -> io::Result<Duration> {
    use std::io::Write;
    // Unnamed, so that nothing is left behind however this ends.
    let mut file = tempfile::tempfile_in(data)?;
    let start = Instant::now();
    file.write_all(&[0x5a; SYNC_BYTES])?;
    file.sync_all()?;
    Ok(start.elapsed())
}
