//! The machine around the node: its clock, its open files, its network buffers.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::process::{Resource, getrlimit};

use super::{
    Check, Verdict,
    addr::{Place, Transport},
    node::Running,
};
use crate::{cli::Group, config::Settings};

/// How long wall time and steady time are watched side by side.
const CLOCK_WATCH: Duration = Duration::from_millis(200);
/// Watched again this often before they are said to differ.
const CLOCK_TRIES: usize = 3;
/// They may differ by this: a correction at the fastest rate that time services use, and a busy
/// machine.
const CLOCK_DRIFT: Duration = Duration::from_millis(50);
/// A file may seem to come from the future by this: file systems round times.
const CLOCK_FUTURE: Duration = Duration::from_secs(3);
/// 1 January 2025: no craftec is older.
const CLOCK_LEAST: Duration = Duration::from_secs(1_735_689_600);
/// Files looked at for the newest time.
const FILES: usize = 1000;
/// Open files beside HTTP's: peers (about 300), the store, local clients.
const OPEN_FILES_REST: u64 = 512;
/// Linux gives this to a UDP socket unless told otherwise; QUIC gets no more than the default.
const UDP_BUFFER_BYTES: u64 = 212_992;

/// The clock: steady, not before its own past, and whether anything here knows better.
pub(super) async fn clock(settings: &Settings, running: &Running) -> Vec<Check> {
    vec![steady().await, past(settings, running), reference()]
}

fn check(group: Group, name: &'static str, verdict: Verdict, found: impl Into<String>) -> Check {
    Check::new(group, name, verdict, found)
}

const TIME_ADVICE: &str = "Let a time service (systemd-timesyncd, chrony) keep the clock: names and \
                           leases expire by it.";

async fn steady() -> Check {
    let (mut steady, mut apart) = (Duration::ZERO, Duration::MAX);
    // A busy machine may pause between two looks at a clock; a clock that is set stays set.
    for _ in 0..CLOCK_TRIES {
        let (from, wall) = (Instant::now(), SystemTime::now());
        tokio::time::sleep(CLOCK_WATCH).await;
        steady = from.elapsed();
        apart = apart.min(steady.abs_diff(wall.elapsed().unwrap_or_default()));
        if apart <= CLOCK_DRIFT {
            break;
        }
    }
    let found = format!(
        "wall time and steady time differ by {} ms over {} ms",
        apart.as_millis(),
        steady.as_millis()
    );
    if apart > CLOCK_DRIFT {
        return check(Group::Clock, "steady", Verdict::Warning, found).advice(TIME_ADVICE);
    }
    check(Group::Clock, "steady", Verdict::Ok, found)
}

/// What was written here can't be younger than now.
fn past(settings: &Settings, running: &Running) -> Check {
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if since < CLOCK_LEAST {
        let found =
            format!("the clock says {} s after 1970, which is before 2025", since.as_secs());
        return check(Group::Clock, "date", Verdict::Problem, found).advice(TIME_ADVICE);
    }
    let file = newest(&settings.data);
    let site = match running {
        Running::Yes { sites, .. } => sites.iter().map(|site| site.time_ms).max(),
        Running::No | Running::Broken(_) => None,
    };
    let site = site.map(|ms| {
        (UNIX_EPOCH + Duration::from_millis(ms), "a site of this node was published".to_owned())
    });
    let file = file.map(|(time, path)| (time, format!("{} was written", path.display())));
    match file.into_iter().chain(site).max() {
        Some((time, what)) if time > now + CLOCK_FUTURE => {
            let ahead = time.duration_since(now).unwrap_or_default().as_secs();
            let found = format!("{what} {ahead} s after now: the clock was set back, or was ahead");
            check(Group::Clock, "date", Verdict::Problem, found).advice(TIME_ADVICE)
        }
        Some(_) => check(Group::Clock, "date", Verdict::Ok, "nothing here comes from the future"),
        None => check(Group::Clock, "date", Verdict::Unknown, "nothing here to compare with yet"),
    }
}

/// The newest file in the folder and in those right below it.
fn newest(data: &Path) -> Option<(SystemTime, PathBuf)> {
    let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().take(FILES);
    let below = files(data).filter(|entry| entry.path().is_dir()).flat_map(|e| files(&e.path()));
    let time = |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    files(data).chain(below.take(FILES)).filter_map(time).max()
}

/// Whether anything on this machine compares its clock with others. A node doesn't: peers don't
/// tell each other the time, since a liar could move it.
fn reference() -> Check {
    let services = [
        ("/run/systemd/timesync/synchronized", "systemd-timesyncd has set the clock"),
        ("/run/chrony/chronyd.pid", "chrony runs"),
        ("/run/chronyd.pid", "chrony runs"),
        ("/run/ntpd.pid", "ntpd runs"),
        ("/var/run/ntpd.pid", "ntpd runs"),
    ];
    match services.iter().find(|(path, _)| Path::new(path).exists()) {
        Some((_, found)) => check(Group::Clock, "reference", Verdict::Ok, *found),
        None => {
            let found =
                "no time service is seen here, so that nothing tells whether the time is right";
            check(Group::Clock, "reference", Verdict::Unknown, found).advice(
                "Compare `date -u` with another clock. In a container or a virtual machine the host \
                 may keep it.",
            )
        }
    }
}

/// Open files and network buffers.
pub(super) fn limits(settings: &Settings, running: &Running) -> Vec<Check> {
    let mut checks = vec![open_files(settings, running)];
    checks.extend(udp(running));
    checks
}

fn open_files(settings: &Settings, running: &Running) -> Check {
    let wanted = settings.http_connections as u64 + OPEN_FILES_REST;
    let pid = match running {
        Running::Yes { pid, .. } => *pid,
        Running::No | Running::Broken(_) => None,
    };
    // The node's own limit, where it can be read: this process may have another.
    let node = pid.and_then(|pid| Some((limit_of(pid)?, open_now(pid))));
    let (limit, found) = match node {
        Some((limit, Some(open))) => (limit, format!("the node has {open} open of {limit}")),
        Some((limit, None)) => (limit, format!("the node may have {limit} open")),
        None => {
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
            (limit, format!("{limit} may be open"))
        }
    };
    if limit < wanted {
        let found = format!("{found}; {wanted} are wanted for HTTP, peers and the store");
        return check(Group::Limits, "open files", Verdict::Warning, found).advice(format!(
            "LimitNOFILE={} in the systemd unit, `ulimit -n` in a shell; or lower \
             `http_connections`.",
            wanted.next_power_of_two()
        ));
    }
    check(Group::Limits, "open files", Verdict::Ok, found)
}

/// The soft limit of another process, as Linux shows it.
fn limit_of(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    soft_limit(&text)
}

fn soft_limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn open_now(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// UDP, which carries QUIC: how much may wait for the node, and whether any was dropped.
fn udp(running: &Running) -> Vec<Check> {
    let mut checks = Vec::new();
    let read = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?.trim().parse().ok()
    };
    let found = match read("rmem_default") {
        Some(bytes) => {
            let text = format!("{bytes} bytes may wait at a UDP socket (net.core.rmem_default)");
            (if bytes < UDP_BUFFER_BYTES { Verdict::Warning } else { Verdict::Ok }, text)
        }
        None => (Verdict::Unknown, "this system does not show its UDP buffers".to_owned()),
    };
    let mut buffer = check(Group::Limits, "udp buffer", found.0, found.1);
    if found.0 == Verdict::Warning {
        buffer = buffer.advice(format!("sysctl -w net.core.rmem_default={UDP_BUFFER_BYTES}"));
    }
    checks.push(buffer);
    let Some(status) = running.status() else { return checks };
    let is_udp = |place: &Place| place.transport == Transport::Udp;
    let places = status.addresses.iter().filter_map(|addr| Place::of(addr));
    let ports: Vec<_> = places.filter(is_udp).map(|place| place.port).collect();
    if let Some(dropped) = dropped(&ports) {
        let found = format!("{dropped} QUIC packets were dropped because the buffer was full");
        checks.push(match dropped {
            0 => check(Group::Limits, "udp drops", Verdict::Ok, found),
            _ => check(Group::Limits, "udp drops", Verdict::Warning, found)
                .advice("sysctl -w net.core.rmem_default=2500000, then restart the node."),
        });
    }
    checks
}

/// Packets that the kernel dropped at these ports, as Linux shows it.
fn dropped(ports: &[u16]) -> Option<u64> {
    let texts = ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).ok());
    let texts: Vec<_> = texts.into_iter().flatten().collect();
    if ports.is_empty() || texts.is_empty() {
        return None;
    }
    Some(texts.iter().map(|text| drops_in(text, ports)).sum())
}

fn drops_in(text: &str, ports: &[u16]) -> u64 {
    let row = |line: &str| {
        let mut columns = line.split_whitespace();
        let port = columns.nth(1)?.rsplit(':').next()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        ports.contains(&port).then(|| columns.last()?.parse::<u64>().ok()).flatten()
    };
    text.lines().skip(1).filter_map(row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_shows_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 1048576              files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit("Max open files  unlimited  unlimited  files"), Some(u64::MAX));
        assert_eq!(soft_limit(""), None);
        let udp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid \
                   timeout inode ref pointer drops\n  \
                   21: 0100007F:0FA1 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 \
                   11 2 0 17\n  \
                   22: 0100007F:0FA2 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 \
                   12 2 0 5\n";
        assert_eq!(drops_in(udp, &[0x0fa1]), 17);
        assert_eq!(drops_in(udp, &[1]), 0);
    }
}
