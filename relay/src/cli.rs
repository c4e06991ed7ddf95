//! The command line, as declared to clap. It decides nothing: it names flags, their environment
//! variables and their help.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Serialize;

use crate::config::LogFormat;

/// Files and sites by their content, from peer to peer.
#[derive(Debug, Parser)]
#[command(name = "craftec", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage, 3 not found, 4 unavailable.")]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Folder of keys and blocks [default: the platform's data folder]
    #[arg(long, global = true, env = "CRAFTEC_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file [default: craftec.toml in the data folder]
    #[arg(long, global = true, env = "CRAFTEC_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Check flags, environment and configuration file, and do nothing else
    #[arg(long, global = true)]
    pub(crate) check_config: bool,
    /// Log filter, for instance `info` or `craftec_p2p=debug` [default: warnings]
    #[arg(long, global = true, env = "CRAFTEC_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How log lines are written [default: text]
    #[arg(long, global = true, env = "CRAFTEC_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// OpenTelemetry collector to send traces to, for instance `http://127.0.0.1:4318`
    #[arg(long, global = true, env = "CRAFTEC_OTLP", value_name = "URL", hide = !cfg!(feature = "otel"))]
    pub(crate) otlp: Option<String>,
    #[command(flatten)]
    pub(crate) network: NetworkFlags,
}

/// Flags about peers and the gateway; `craftec up` and commands that run the node themselves use
/// the same.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct NetworkFlags {
    /// Peer or relay to connect to at the start (multiaddr; repeatable)
    #[arg(
        long,
        global = true,
        env = "CRAFTEC_RELAY",
        value_name = "ADDR",
        value_delimiter = ',',
        num_args = 1
    )]
    pub(crate) relay: Option<Vec<String>>,
    /// Domain of the web app (`app.DOMAIN`) and of sites [default: craftec.localhost]
    #[arg(long, global = true, env = "CRAFTEC_DOMAIN", value_name = "NAME")]
    pub(crate) domain: Option<String>,
    /// Authorities to believe, beside the usual ones, when dialing /tls/ws (PEM)
    #[arg(long, global = true, env = "CRAFTEC_TLS_TRUST", value_name = "FILE")]
    pub(crate) tls_trust: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the node: relay, HTTP gateway and web app
    Up(Up),
    /// Store files (or folders) and print their CIDs
    Put(Put),
    /// Fetch a file or a folder
    Get(Get),
    /// Size, kind and copies of an object
    Stat(Target),
    /// List a folder
    Ls(PathTarget),
    /// Publish and list sites
    #[command(subcommand)]
    Site(Site),
    /// Run SQL on a database of this node, or read a published one
    Sql(Sql),
    /// Keep an object and all below it here
    Pin(Target),
    /// Let go of a pinned object
    Unpin(Target),
    /// Who this node is
    Id(Id),
    /// How the node is doing
    Status,
    /// Connect the running node to a peer
    Connect(Connect),
    /// Run the node for programs of this machine only, as long as one uses it
    Local(Local),
    /// Check this machine, its ports, disk, clock and names, and say what to do
    Doctor(Doctor),
    /// Print completions for a shell
    Completions(Completions),
    /// Write the manual pages
    Man(Man),
    /// Write everything of your own into one encrypted file
    Backup(Backup),
    /// Take a backup in
    Restore(Restore),
}

/// `craftec local`
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Local {
    /// End when nobody has used it for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) idle: u32,
}

impl Local {
    /// How long it stays without a client.
    pub(crate) fn idle(self) -> Duration {
        Duration::from_secs(self.idle.into())
    }
}

/// Where the passphrase of a backup comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct Passphrase {
    /// File with the passphrase in its first line; `-` reads standard input
    #[arg(long, env = "CRAFTEC_PASSPHRASE_FILE", value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// `craftec backup`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where to write; never overwrites
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
}

/// `craftec restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// Give up the identity of this data folder for the backup's, though it published something
    #[arg(long)]
    pub(crate) replace_identity: bool,
}

/// `craftec up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where HTTP listens; port 0 picks a free one [default: 127.0.0.1:4080]
    #[arg(long, env = "CRAFTEC_HTTP", value_name = "ADDR:PORT")]
    pub(crate) http: Option<String>,
    /// Where peers connect (multiaddr; repeatable; replaces the defaults)
    #[arg(
        long,
        env = "CRAFTEC_LISTEN",
        value_name = "MULTIADDR",
        value_delimiter = ',',
        num_args = 1
    )]
    pub(crate) listen: Option<Vec<String>>,
    /// Space to keep copies for others, for instance `10GiB`
    #[arg(long, env = "CRAFTEC_LEND", value_name = "BYTES")]
    pub(crate) lend: Option<String>,
    /// Bytes per second to send to others at most, for instance `10MB` [default: no limit]
    #[arg(long, env = "CRAFTEC_SERVE_RATE", value_name = "BYTES")]
    pub(crate) serve_rate: Option<String>,
    /// The same per calendar month, for instance `2TB` [default: no limit]
    #[arg(long, env = "CRAFTEC_SERVE_MONTHLY", value_name = "BYTES")]
    pub(crate) serve_monthly: Option<String>,
    /// Don't carry traffic between other peers
    #[arg(long)]
    pub(crate) no_relay: bool,
    /// Where HTTPS listens, for instance `[::]:443`; needs a certificate
    #[arg(long, env = "CRAFTEC_HTTPS", value_name = "ADDR:PORT")]
    pub(crate) https: Option<String>,
    /// Certificate and its chain (PEM), for HTTPS and /tls/ws; read again when it changes
    #[arg(long, env = "CRAFTEC_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, env = "CRAFTEC_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Where STUN listens (UDP), or `off` [default: [::]:3478, off where --listen is given]
    #[arg(long, env = "CRAFTEC_STUN", value_name = "ADDR:PORT")]
    pub(crate) stun: Option<String>,
    /// Peers, networks and content not served (one a line); read again when it changes
    #[arg(long, env = "CRAFTEC_DENYLIST", value_name = "FILE")]
    pub(crate) denylist: Option<PathBuf>,
}

/// `craftec put`
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Files or folders; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Whole copies wanted on other nodes; files of 1 MiB and more are coded by default
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u16>,
    /// How much other nodes store of a coded file, in hundredths of its size (110 to 400)
    #[arg(long, value_name = "PERCENT", conflicts_with = "replicas")]
    pub(crate) redundancy: Option<u16>,
}

/// How copies are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    pub(crate) replicas: Option<u16>,
    pub(crate) redundancy: Option<u16>,
}

/// `craftec get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// CID, or CID/path
    #[arg(value_name = "CID[/PATH]")]
    pub(crate) target: String,
    /// Where to write; `-` is standard output [default: the name, or the CID]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// First and last byte, for instance `0-99`, `100-`
    #[arg(long, value_name = "A-B")]
    pub(crate) range: Option<String>,
}

/// A CID.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The CID
    #[arg(value_name = "CID")]
    pub(crate) cid: String,
}

/// A CID with a path.
#[derive(Debug, Args)]
pub(crate) struct PathTarget {
    /// CID, or CID/path
    #[arg(value_name = "CID[/PATH]")]
    pub(crate) target: String,
}

/// `craftec site …`
#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    /// Publish a folder as a site
    Publish(Publish),
    /// Sites published here
    List,
}

/// `craftec site publish`
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The folder
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Give it a name that later versions keep
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Copies wanted on other nodes
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u16>,
    /// Also publish .git, .DS_Store and the like
    #[arg(long)]
    pub(crate) all: bool,
}

/// `craftec sql`
#[derive(Debug, Args)]
#[command(
    after_help = "Lines that begin with a dot are commands of the shell: `.help` lists them."
)]
pub(crate) struct Sql {
    /// Name of a database of this node, made if there is none, or `craftobj://DID/NAME`,
    /// `craftobj://me/NAME`, `craftobj://CID` to read a published one; without it they are listed
    #[arg(value_name = "DATABASE")]
    pub(crate) database: Option<String>,
    /// Statements; without them standard input is read, or a shell opens
    #[arg(value_name = "SQL")]
    pub(crate) sql: Vec<String>,
    /// Make it encrypted: what is published of it is read by you and those you share it with
    #[arg(long, requires = "database")]
    pub(crate) encrypt: bool,
    /// Remove the database with all its content; snapshots stay
    #[arg(long, requires = "database", conflicts_with_all = ["sql", "encrypt"])]
    pub(crate) drop: bool,
}

/// `craftec id`
#[derive(Debug, Args)]
pub(crate) struct Id {
    /// Print the card of this identity alone: whoever shares a database with you asks for it
    #[arg(long, conflicts_with = "words")]
    pub(crate) card: bool,
    /// Also print the 24 words that restore this identity: keep them secret
    #[arg(long)]
    pub(crate) words: bool,
}

/// `craftec connect`
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Multiaddr, for instance `/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…`
    #[arg(value_name = "ADDR")]
    pub(crate) addr: String,
}

/// `craftec doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Count it as a problem when no node runs (for health checks)
    #[arg(long)]
    pub(crate) running: bool,
    /// Only these groups of checks (repeatable)
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    pub(crate) only: Vec<Group>,
}

/// What a check of `craftec doctor` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Group {
    /// The configuration file
    Config,
    /// The data folder: rights, lock, space, speed of a durable write
    Data,
    /// The running node: peers, relays, who can reach it
    Node,
    /// Every address that it listens on
    Ports,
    /// The clock
    Clock,
    /// Open files and network buffers
    Limits,
    /// DNS names of the app and of sites
    Names,
}

/// `craftec completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// `craftec man`
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder for one page per command; without it craftec(1) goes to standard output
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Print the whole reference as Markdown instead
    #[arg(long, conflicts_with = "dir")]
    pub(crate) markdown: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declaration_is_consistent() {
        Cli::command().debug_assert();
    }
}
