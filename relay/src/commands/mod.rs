//! One module per group of commands. They talk to a node through a session alone and don't know
//! where it runs.

mod backup;
mod doctor;
mod get;
mod inspect;
mod local;
mod publish;
mod put;
mod restore;
mod sql;
mod tree;
mod up;
mod walk;

use craftec_core::Cid;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) use self::doctor::run as doctor;

use crate::{
    access::Access,
    cli::{Command, Site},
    config::Settings,
    console::Console,
    error::{RelayError, Result},
};

/// Runs a command to its end.
pub(crate) async fn run(command: Command, settings: Settings, console: Console) -> Result<()> {
    match command {
        Command::Up(_) => return up::run(settings, console).await,
        Command::Local(local) => return local::run(local.idle(), settings).await,
        _ => {}
    }
    let check = |target: &str| Target::parse(target).map(drop);
    match &command {
        // What is wrong with the request is said before a node is started for it.
        Command::Get(get) => {
            check(&get.target)?;
            get::range(get)?;
        }
        Command::Ls(ls) => check(&ls.target)?,
        Command::Stat(one) | Command::Pin(one) | Command::Unpin(one) => drop(cid(&one.cid)?),
        Command::Restore(restore) => return restore::run(restore, settings, &console).await,
        Command::Connect(to) => return inspect::connect(to, &settings, &console).await,
        _ => {}
    }
    let access = Access::open(&settings, &console).await?;
    let is_shell = matches!(&command, Command::Sql(sql) if sql::is_shell(sql, &console));
    let stopped = async {
        match is_shell {
            // There Ctrl-C is for what was typed last.
            true => terminated().await,
            false => interrupted().await,
        }
    };
    let done = tokio::select! {
        done = dispatch(command, &access, &console) => done,
        () = stopped => Err(RelayError::Interrupted),
    };
    access.close().await;
    done
}

async fn dispatch(command: Command, access: &Access, console: &Console) -> Result<()> {
    match command {
        Command::Put(put) => put::run(put, access, console).await,
        Command::Get(get) => get::run(get, access, console).await,
        Command::Site(Site::Publish(publish)) => publish::run(publish, access, console).await,
        Command::Site(Site::List) => inspect::sites(access, console).await,
        Command::Stat(one) => inspect::stat(cid(&one.cid)?, access, console).await,
        Command::Ls(ls) => inspect::list(&Target::parse(&ls.target)?, access, console).await,
        Command::Sql(command) => sql::run(command, access, console).await,
        Command::Pin(one) => inspect::pin(cid(&one.cid)?, true, access, console).await,
        Command::Unpin(one) => inspect::pin(cid(&one.cid)?, false, access, console).await,
        Command::Id(id) if id.card => inspect::card(access, console).await,
        Command::Id(id) => inspect::id(id.words, access, console).await,
        Command::Status => inspect::status(access, console).await,
        Command::Backup(backup) => backup::run(backup, access, console).await,
        // Carried out before a node is asked.
        Command::Up(_)
        | Command::Local(_)
        | Command::Connect(_)
        | Command::Restore(_)
        | Command::Doctor(_)
        | Command::Completions(_)
        | Command::Man(_) => Ok(()),
    }
}

/// Completes at Ctrl-C or when the process is asked to end.
pub(crate) async fn interrupted() {
    Signals::watch().next().await;
}

/// Completes when the process is asked to end other than by Ctrl-C, which is not watched for that.
async fn terminated() {
    Signals::one(&mut watched(SignalKind::terminate())).await;
}

fn watched(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|error| tracing::warn!(%error, "a signal can't be watched")).ok()
}

/// Ctrl-C and SIGTERM from now on. None is lost between two looks.
pub(crate) struct Signals {
    term: Option<Signal>,
    int: Option<Signal>,
}

impl Signals {
    /// Begins to watch; until then the system's default ends the process.
    pub(crate) fn watch() -> Self {
        Self { term: watched(SignalKind::terminate()), int: watched(SignalKind::interrupt()) }
    }

    /// Completes at the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            () = Self::one(&mut self.term) => {}
            () = Self::one(&mut self.int) => {}
        }
    }

    /// Completes at the next Ctrl-C.
    pub(crate) async fn typed(&mut self) {
        Self::one(&mut self.int).await;
    }

    async fn one(signal: &mut Option<Signal>) {
        match signal {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// A CID with a path below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The root.
    pub(crate) cid: Cid,
    /// `/` between names, empty for the root.
    pub(crate) path: String,
}

impl Target {
    /// Reads `CID`, `CID/path`, `/ipfs/CID/path` or `ipfs://CID/path`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let plain =
            text.strip_prefix("ipfs://").or_else(|| text.strip_prefix("/ipfs/")).unwrap_or(text);
        let (root, path) = plain.split_once('/').unwrap_or((plain, ""));
        let path = path.trim_end_matches('/');
        let names = || path.split('/').all(|name| !matches!(name, "" | "." | ".."));
        if !path.is_empty() && !names() {
            return Err(RelayError::usage(
                format!("`{path}` has an empty name, `.` or `..` in it"),
                "Write the path as `ls` shows it, one `/` between names.",
            ));
        }
        Ok(Self { cid: cid(root)?, path: path.to_owned() })
    }

    /// The last name of the path, or the CID.
    pub(crate) fn name(&self) -> String {
        match self.path.rsplit('/').next() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => self.cid.to_string(),
        }
    }
}

fn cid(text: &str) -> Result<Cid> {
    text.parse().map_err(|error| {
        RelayError::usage(
            format!("`{text}` is not a CID of Craftec: {error}"),
            "A CID here begins with `b` and has 59 characters; `craftec put` prints one.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;

    #[test]
    fn targets_are_a_cid_and_a_clean_path() {
        let cid = Cid::of(Codec::Raw, b"x");
        let path = |text: String| Target::parse(&text).map(|target| target.path);
        assert_eq!(path(format!("{cid}")).unwrap(), "");
        assert_eq!(path(format!("{cid}/a/b c/")).unwrap(), "a/b c");
        assert_eq!(path(format!("/ipfs/{cid}/a")).unwrap(), "a");
        assert_eq!(Target::parse(&format!("ipfs://{cid}/a/b")).unwrap().name(), "b");
        for bad in ["", "hello", "../x", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"] {
            assert_eq!(path(bad.to_owned()).unwrap_err().exit_code(), 2, "{bad}");
        }
        for bad in [format!("{cid}/../x"), format!("{cid}/a//b"), format!("{cid}/.")] {
            assert_eq!(path(bad.clone()).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
