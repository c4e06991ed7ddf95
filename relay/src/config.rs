//! What holds for this run: flags before environment variables before the TOML file before
//! defaults. It reads and checks; it never opens a listener or a store.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    cli::{Cli, Command},
    edge::{EdgeFile, EdgeSettings, LimitValue},
    error::{RelayError, Result},
    units,
};

/// Where HTTP listens unless told otherwise: this machine only.
const DEFAULT_HTTP: &str = "127.0.0.1:4080";
/// The domain of app and sites: browsers resolve every name below `localhost` to this machine.
const DEFAULT_DOMAIN: &str = "craftec.localhost";
/// Where peers connect: TCP and QUIC 4001, WebSocket (for tabs) 4002, IPv6 first.
const DEFAULT_LISTEN: [&str; 6] = [
    "/ip6/::/tcp/4001",
    "/ip6/::/udp/4001/quic-v1",
    "/ip6/::/tcp/4002/ws",
    "/ip4/0.0.0.0/tcp/4001",
    "/ip4/0.0.0.0/udp/4001/quic-v1",
    "/ip4/0.0.0.0/tcp/4002/ws",
];
/// Beside these, where there is a certificate: WebSocket in TLS 4003.
const DEFAULT_LISTEN_TLS: [&str; 2] = ["/ip6/::/tcp/4003/tls/ws", "/ip4/0.0.0.0/tcp/4003/tls/ws"];
/// Longest domain: a site's label (63) and a dot must still fit a DNS name (253).
const DOMAIN_BYTES: usize = 253 - 64;
/// HTTP connections at one time unless told otherwise: each costs a file descriptor, and 1,024 is
/// the usual soft limit of a process; the rest is for peers and files.
const DEFAULT_HTTP_CONNECTIONS: usize = 512;
/// What is logged unless told otherwise. A first node of a network has no peers to ask, which its
/// DHT takes for a reason to warn, as AutoNAT does of an address that does not answer; and libp2p's
/// relay warns of every stream over its limit, so that a flood of them would be one of the log.
const DEFAULT_LOG: &str = "warn,libp2p_kad=error,libp2p_autonat=error,libp2p_relay=error";
/// Turns of looking after coded objects: shorter ones would only ask more, longer ones find what is
/// lost too late.
const MEND_SECONDS: std::ops::RangeInclusive<u64> = 2..=86_400;
/// A configuration file is a page of text; more is a mistaken path.
const CONFIG_BYTES: u64 = 1 << 20;

/// The TOML file, all fields optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    http: Option<String>,
    http_connections: Option<usize>,
    domain: Option<String>,
    listen: Option<Vec<String>>,
    announce: Option<Vec<String>>,
    relay: Option<Vec<String>>,
    relay_for_others: Option<bool>,
    lend: Option<Amount>,
    serve_rate: Option<Amount>,
    serve_monthly: Option<Amount>,
    mend_seconds: Option<u64>,
    log: Option<String>,
    log_format: Option<LogFormat>,
    otlp: Option<String>,
    https: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_trust: Option<PathBuf>,
    stun: Option<String>,
    denylist: Option<PathBuf>,
    #[serde(default)]
    limits: BTreeMap<String, LimitValue>,
}

/// Bytes, as a number or with a unit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Amount {
    Bytes(u64),
    Text(String),
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The configuration file of a run, whether or not it makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Where it is looked for.
    pub(crate) path: PathBuf,
    /// The keys that it sets; `None` where there is no file.
    pub(crate) keys: Option<Vec<String>>,
}

/// What holds for this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Settings {
    /// Folder of keys and blocks.
    pub(crate) data: PathBuf,
    /// Where HTTP listens.
    pub(crate) http: SocketAddr,
    /// Most HTTP connections at one time.
    pub(crate) http_connections: usize,
    /// Domain of app and sites.
    pub(crate) domain: String,
    /// Where peers connect.
    pub(crate) listen: Vec<String>,
    /// Whether `listen` was chosen, so that every address must work.
    pub(crate) listen_chosen: bool,
    /// Addresses that browsers elsewhere are told to dial, for instance behind a TLS proxy.
    pub(crate) announce: Vec<String>,
    /// Peers to connect to at the start.
    pub(crate) relay: Vec<String>,
    /// Whether this node carries traffic between other peers.
    pub(crate) relay_for_others: bool,
    /// Bytes to keep for others; `None` leaves it to the node.
    pub(crate) lend: Option<u64>,
    /// Bytes per second to send to others; `None` is no limit.
    pub(crate) serve_rate: Option<u64>,
    /// The same per calendar month.
    pub(crate) serve_monthly: Option<u64>,
    /// Seconds of a turn in which one holder of a coded object looks after it; `None` leaves it to the
    /// node.
    pub(crate) mend_seconds: Option<u64>,
    /// Log filter.
    pub(crate) log: String,
    /// How log lines are written.
    pub(crate) log_format: LogFormat,
    /// Where traces are sent (OTLP over HTTP); `None` sends none.
    pub(crate) otlp: Option<String>,
    /// TLS, STUN, limits and the denylist.
    pub(crate) edge: EdgeSettings,
}

impl Settings {
    /// Reads the file and lays flags and environment (both in `cli`) over it.
    pub(crate) fn load(cli: &Cli) -> Result<Self> {
        let data = data_folder(cli)?;
        let file = match read_config(cli, &data)? {
            (path, Some(text)) => parse(&path, &text)?,
            (_, None) => FileConfig::default(),
        };
        Self::merge(cli, file, data)
    }

    /// The same as if there were no file: what a diagnosis goes on with when the file is wrong.
    pub(crate) fn without_file(cli: &Cli) -> Result<Self> {
        Self::merge(cli, FileConfig::default(), data_folder(cli)?)
    }

    /// Which file is read, and what it sets.
    pub(crate) fn source(cli: &Cli) -> Result<Source> {
        let (path, text) = read_config(cli, &data_folder(cli)?)?;
        let keys = |text: String| -> Result<Vec<String>> {
            parse(&path, &text)?;
            let table = text.parse::<toml::Table>().unwrap_or_default();
            Ok(table.keys().cloned().collect())
        };
        let keys = text.map(keys).transpose()?;
        Ok(Source { path, keys })
    }

    fn merge(cli: &Cli, file: FileConfig, data: PathBuf) -> Result<Self> {
        let up = match &cli.command {
            Some(Command::Up(up)) => Some(up),
            _ => None,
        };
        let network = &cli.global.network;
        let http = up.and_then(|up| up.http.clone()).or(file.http);
        let listen = up.and_then(|up| up.listen.clone()).or(file.listen);
        let lend = amount(up.and_then(|up| up.lend.as_deref()), file.lend)?;
        let serve_rate = amount(up.and_then(|up| up.serve_rate.as_deref()), file.serve_rate)?;
        let serve_monthly =
            amount(up.and_then(|up| up.serve_monthly.as_deref()), file.serve_monthly)?;
        let edge = EdgeSettings::of(EdgeFile {
            https: up.and_then(|up| up.https.clone()).or(file.https),
            tls_cert: up.and_then(|up| up.tls_cert.clone()).or(file.tls_cert),
            tls_key: up.and_then(|up| up.tls_key.clone()).or(file.tls_key),
            tls_trust: network.tls_trust.clone().or(file.tls_trust),
            stun: up.and_then(|up| up.stun.clone()).or(file.stun),
            denylist: up.and_then(|up| up.denylist.clone()).or(file.denylist),
            limits: file.limits,
        })?;
        let mut defaults = DEFAULT_LISTEN.map(str::to_owned).to_vec();
        if edge.tls.is_some() {
            defaults.extend(DEFAULT_LISTEN_TLS.map(str::to_owned));
        }
        let settings = Self {
            data,
            http: http_addr(http.as_deref().unwrap_or(DEFAULT_HTTP))?,
            http_connections: file.http_connections.unwrap_or(DEFAULT_HTTP_CONNECTIONS),
            domain: domain(network.domain.clone().or(file.domain))?,
            listen_chosen: listen.is_some(),
            listen: listen.unwrap_or(defaults),
            announce: file.announce.unwrap_or_default(),
            relay: network.relay.clone().or(file.relay).unwrap_or_default(),
            relay_for_others: !up.is_some_and(|up| up.no_relay)
                && file.relay_for_others.unwrap_or(true),
            lend,
            serve_rate,
            serve_monthly,
            mend_seconds: file.mend_seconds,
            log: cli.global.log.clone().or(file.log).unwrap_or_else(|| DEFAULT_LOG.to_owned()),
            log_format: cli.global.log_format.or(file.log_format).unwrap_or_default(),
            otlp: cli.global.otlp.clone().or(file.otlp),
            edge,
        };
        if settings.http_connections == 0 {
            return Err(RelayError::usage(
                "`http_connections` is 0, so that nobody could connect",
                "Set it to 1 or more, or leave it out.",
            ));
        }
        if settings.mend_seconds.is_some_and(|seconds| !MEND_SECONDS.contains(&seconds)) {
            let (least, most) = (MEND_SECONDS.start(), MEND_SECONDS.end());
            return Err(RelayError::usage(
                "`mend_seconds` is out of range",
                format!("Set it to {least} to {most}, or leave it out for 600."),
            ));
        }
        let lists = [&settings.listen, &settings.announce, &settings.relay];
        lists.into_iter().flatten().try_for_each(|addr| multiaddr(addr))?;
        filter(&settings.log)?;
        settings.otlp.as_deref().map_or(Ok(()), otlp)?;
        Ok(settings)
    }

    /// The log filter, parsed.
    pub(crate) fn log_filter(&self) -> Result<tracing_subscriber::EnvFilter> {
        filter(&self.log)
    }
}

fn filter(text: &str) -> Result<tracing_subscriber::EnvFilter> {
    tracing_subscriber::EnvFilter::try_new(text).map_err(|error| {
        RelayError::usage(
            format!("the log filter `{text}` is not valid: {error}"),
            "Write for instance `info` or `warn,craftec_p2p=debug`.",
        )
    })
}

/// Checks the address of a collector.
fn otlp(url: &str) -> Result<()> {
    if !cfg!(feature = "otel") {
        return Err(RelayError::usage(
            "`otlp` is set, but this craftec was built without OpenTelemetry",
            "Leave it out, or build with `--features otel`.",
        ));
    }
    let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    if host.is_some_and(|host| host.parse::<axum::http::uri::Authority>().is_ok()) {
        return Ok(());
    }
    Err(RelayError::usage(
        format!("`{url}` is not the address of a collector"),
        "Write for instance http://127.0.0.1:4318; plain http only, so keep it on this machine.",
    ))
}

fn data_folder(cli: &Cli) -> Result<PathBuf> {
    match &cli.global.data {
        Some(folder) if folder.as_os_str().is_empty() => Err(RelayError::usage(
            "the data folder has an empty name",
            "Write `--data DIR`, or unset CRAFTEC_DATA.",
        )),
        Some(folder) => absolute(folder),
        None => platform_folder(),
    }
}

/// The configuration file's path and text. Only one that was named must exist.
fn read_config(cli: &Cli, data: &Path) -> Result<(PathBuf, Option<String>)> {
    if let Some(path) = &cli.global.config {
        return Ok((path.clone(), Some(read(path)?)));
    }
    let path = data.join("craftec.toml");
    match read(&path) {
        Ok(text) => Ok((path, Some(text))),
        Err(RelayError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok((path, None))
        }
        Err(error) => Err(error),
    }
}

fn absolute(folder: &Path) -> Result<PathBuf> {
    std::path::absolute(folder).map_err(RelayError::file("find", folder))
}

fn platform_folder() -> Result<PathBuf> {
    directories::ProjectDirs::from("", "", "craftec")
        .map(|dirs| dirs.data_dir().to_owned())
        .ok_or_else(|| {
            RelayError::usage(
                "this account has no home folder to keep data in",
                "Name a folder with --data or CRAFTEC_DATA.",
            )
        })
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::metadata(path).map_err(RelayError::file("read", path))?.len();
    if bytes > CONFIG_BYTES {
        let message = format!("{bytes} bytes are more than the {CONFIG_BYTES} allowed");
        return Err(RelayError::Config { path: path.to_owned(), message });
    }
    fs::read_to_string(path).map_err(RelayError::file("read", path))
}

fn parse(path: &Path, text: &str) -> Result<FileConfig> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        let message = match line {
            Some(line) => format!("line {line}: {}", error.message()),
            None => error.message().to_owned(),
        };
        RelayError::Config { path: path.to_owned(), message }
    })
}

pub(crate) fn http_addr(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| {
        RelayError::usage(
            format!("`{text}` is not an address to listen on"),
            "Write ADDR:PORT, for instance 127.0.0.1:4080 or [::]:80; port 0 picks a free one.",
        )
    })
}

/// A flag, else what the file says.
fn amount(flag: Option<&str>, file: Option<Amount>) -> Result<Option<u64>> {
    match (flag, file) {
        (Some(text), _) => bytes(text).map(Some),
        (None, Some(Amount::Text(text))) => bytes(&text).map(Some),
        (None, Some(Amount::Bytes(bytes))) => Ok(Some(bytes)),
        (None, None) => Ok(None),
    }
}

fn bytes(text: &str) -> Result<u64> {
    units::parse_bytes(text).ok_or_else(|| {
        RelayError::usage(
            format!("`{text}` is not a number of bytes"),
            "Write for instance 10GiB, 500MB or 1048576.",
        )
    })
}

fn multiaddr(text: &str) -> Result<()> {
    text.parse::<multiaddr::Multiaddr>().map(drop).map_err(|error| {
        RelayError::usage(
            format!("`{text}` is not a multiaddr: {error}"),
            "Write for instance /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…",
        )
    })
}

/// Checks that the domain is a lower-case DNS name with room for a site's label.
fn domain(text: Option<String>) -> Result<String> {
    let Some(text) = text else { return Ok(DEFAULT_DOMAIN.to_owned()) };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numbers = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if text.len() <= DOMAIN_BYTES && text.split('.').all(label) && !numbers {
        return Ok(text);
    }
    Err(RelayError::usage(
        format!("`{text}` cannot be the domain of sites"),
        "Write a DNS name in lower case without port, for instance example.org.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn settings(args: &[&str], toml: &str) -> Result<Settings> {
        let cli = Cli::try_parse_from(["craftec"].iter().chain(args)).unwrap();
        let file = parse(Path::new("craftec.toml"), toml)?;
        Settings::merge(&cli, file, PathBuf::from("/data"))
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let toml = "http = '127.0.0.1:9'\nlend = '2KiB'\nrelay = ['/ip4/127.0.0.1/tcp/1']";
        let all = settings(&["up", "--http", "127.0.0.1:0"], toml).unwrap();
        assert_eq!(all.http.port(), 0);
        assert_eq!(all.lend, Some(2048));
        assert_eq!(all.relay, ["/ip4/127.0.0.1/tcp/1"]);
        assert_eq!(all.domain, DEFAULT_DOMAIN);
        assert!(all.relay_for_others && !all.listen_chosen);
        let other = settings(&["--relay", "/ip4/127.0.0.1/tcp/2", "status"], toml).unwrap();
        assert_eq!(other.relay, ["/ip4/127.0.0.1/tcp/2"]);
        assert_eq!(other.http.port(), 9);
    }

    #[test]
    fn mistakes_are_named() {
        let text = |args: &[&str], toml| settings(args, toml).unwrap_err().to_string();
        assert!(text(&["status"], "a = 1\nhtpp = 2").contains("line 1: unknown field `a`"));
        assert!(text(&["status"], "http = '127.0.0.1'").contains("`127.0.0.1` is not an address"));
        assert!(text(&["status"], "domain = 'Example.org'").contains("Example.org"));
        assert!(text(&["status"], "domain = '10.0.0.1'").contains("10.0.0.1"));
        assert!(text(&["status"], "relay = ['host:1']").contains("not a multiaddr"));
        assert!(text(&["status"], "lend = 'lots'").contains("`lots` is not a number of bytes"));
        assert!(text(&["--log", "a=b=c", "status"], "").contains("log filter"));
        assert!(text(&["status"], "http_connections = 0").contains("nobody"));
        assert!(text(&["status"], "log_format = 'xml'").contains("line 1"));
        let otlp = text(&["status"], "otlp = 'https://collector'");
        let wanted = if cfg!(feature = "otel") { "`https://collector`" } else { "without" };
        assert!(otlp.contains(wanted), "{otlp}");
        assert!(text(&["status"], "[limits]\nconections = 1").contains("`conections`"));
        assert!(text(&["up", "--tls-cert", "c.pem"], "").contains("without `tls_key`"));
    }

    #[test]
    fn log_formats_come_from_flag_and_file() {
        let format = |args: &[&str], toml| settings(args, toml).unwrap().log_format;
        assert_eq!(format(&["status"], ""), LogFormat::Text);
        assert_eq!(format(&["status"], "log_format = 'json'"), LogFormat::Json);
        assert_eq!(
            format(&["status", "--log-format", "text"], "log_format = 'json'"),
            LogFormat::Text
        );
    }

    #[test]
    fn with_a_certificate_peers_come_over_tls_too() {
        let toml = "tls_cert = 'c.pem'\ntls_key = 'k.pem'\n[limits]\nrecord_bytes = '1MiB'";
        let all = settings(&["up"], toml).unwrap();
        assert!(all.listen.iter().any(|addr| addr.ends_with("/tcp/4003/tls/ws")));
        assert_eq!(all.edge.limits.record_bytes, 1 << 20);
        assert!(settings(&["up"], "").unwrap().listen.iter().all(|addr| !addr.contains("tls")));
    }
}
