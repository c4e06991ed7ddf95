//! A session with the node over its local socket, one command at a time. It never retries.

use std::{
    io::{self, Read, Write},
    os::unix::{fs::symlink, net::UnixStream},
    path::Path,
    time::Duration,
};

use craftec_api::{ApiError, Command, FromNode, LOCAL_SOCKET, Reply, ToNode, VERSIONS};
use craftec_core::{cbor, limits::API_FRAME_BYTES};

/// Longest wait for an answer: pages of somebody's snapshot may come from far.
const PATIENCE: Duration = Duration::from_secs(120);
/// The same for the greeting: a node that is there answers at once, unless it has too many clients.
const GREETING: Duration = Duration::from_secs(10);
/// Longest path that every Unix accepts for a socket.
const PATH_BYTES: usize = 103;

/// Why there is no answer that helps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// No node runs on the data folder.
    #[error("No Craftec node runs on this data folder.")]
    NoNode,
    /// Nor could one be started.
    #[error("No Craftec node runs on this data folder, and {0}.")]
    NoStart(String),
    /// The node said why.
    #[error("{}{}", .0.message, .0.hint.as_ref().map(|hint| format!(" {hint}")).unwrap_or_default())]
    Api(#[from] ApiError),
    /// It ended, or does not answer.
    #[error("The node can't be reached any more: {0}.")]
    Gone(#[from] io::Error),
    /// Another version of it.
    #[error(
        "The node answered what this extension does not understand: update the older of the two."
    )]
    Foreign,
}

/// One session.
pub(crate) struct Client {
    stream: UnixStream,
    last: u64,
}

impl Client {
    /// Connects to the node of `data`.
    pub(crate) fn connect(data: &Path) -> Result<Self, Trouble> {
        let stream = match reach(data) {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Err(Trouble::NoNode);
            }
            Err(error) => return Err(error.into()),
        };
        stream.set_read_timeout(Some(GREETING))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self { stream, last: 0 };
        match client.call(Command::Hello { versions: VERSIONS.to_vec() })? {
            Reply::Hello { version, .. } if VERSIONS.contains(&version) => {}
            _ => return Err(Trouble::Foreign),
        }
        client.stream.set_read_timeout(Some(PATIENCE))?;
        Ok(client)
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn call(&mut self, command: Command) -> Result<Reply, Trouble> {
        let id = self.send(command)?;
        loop {
            match self.receive()? {
                FromNode::Ok { id: of, reply } if of == id => return Ok(reply),
                FromNode::Err { id: of, error } if of == id => return Err(error.into()),
                // To what was told before.
                FromNode::Ok { .. } | FromNode::Err { .. } | FromNode::Event { .. } => {}
            }
        }
    }

    /// Sends a command whose answer nobody waits for.
    pub(crate) fn tell(&mut self, command: Command) -> Result<(), Trouble> {
        self.send(command).map(drop)
    }

    fn send(&mut self, command: Command) -> Result<u64, Trouble> {
        self.last += 1;
        let frame = ToNode { id: self.last, command };
        let frame = cbor::encode(&frame).map_err(|_| Trouble::Foreign)?;
        let length = u32::try_from(frame.len()).map_err(|_| Trouble::Foreign)?;
        let whole = [&length.to_be_bytes()[..], &frame].concat();
        self.stream.write_all(&whole)?;
        Ok(self.last)
    }

    fn receive(&mut self) -> Result<FromNode, Trouble> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > API_FRAME_BYTES {
            return Err(Trouble::Foreign);
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        cbor::decode(&frame, API_FRAME_BYTES).map_err(|_| Trouble::Foreign)
    }
}

/// Connects to the socket in `data`, through a link where its path is too long for one.
fn reach(data: &Path) -> io::Result<UnixStream> {
    let path = data.join(LOCAL_SOCKET);
    if path.as_os_str().len() <= PATH_BYTES {
        return UnixStream::connect(path);
    }
    let link = tempfile::tempdir()?;
    let short = link.path().join("d");
    symlink(data, &short)?;
    UnixStream::connect(short.join(LOCAL_SOCKET))
}
