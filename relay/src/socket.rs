//! The local socket: how commands reach the running node of their data folder. A Unix domain
//! socket, for its owner only (mode 0600); it moves frames and knows no command.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use craftec_api::{ApiError, ErrorCode, FromNode, LOCAL_SOCKET as NAME, Reply};
use craftec_core::{cbor, limits::API_FRAME_BYTES};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use crate::{
    error::{RelayError, Result},
    frames,
    node_thread::NodeHandle,
    serve::{FrameIo, serve},
    session::{Session, SessionEnd, gone},
};

/// Local clients at one time: a person's commands and scripts, and each database that a program has open
/// through `craftsql`.
const CLIENTS: usize = 128;
/// How long a client may take to accept an answer before it is let go.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest path that every Unix accepts for a socket (`sun_path` on macOS, with its final zero).
const PATH_BYTES: usize = 103;

/// A path to `folder` short enough for a socket: the folder itself, or a link to it in a private
/// temporary folder that lives as long as this value.
struct Reach {
    folder: PathBuf,
    _link: Option<tempfile::TempDir>,
}

impl Reach {
    fn of(folder: &Path, name_bytes: usize) -> io::Result<Self> {
        if folder.as_os_str().len() + 1 + name_bytes <= PATH_BYTES {
            return Ok(Self { folder: folder.to_owned(), _link: None });
        }
        let link = tempfile::tempdir()?;
        let short = link.path().join("d");
        symlink(folder, &short)?;
        Ok(Self { folder: short, _link: Some(link) })
    }
}

/// The listening end. Removes the socket when dropped.
pub(crate) struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    clients: Arc<Semaphore>,
}

/// Who uses a socket.
pub(crate) struct Clients(Arc<Semaphore>);

impl Clients {
    /// Whether anybody does.
    pub(crate) fn any(&self) -> bool {
        // One place is kept for whoever comes next.
        self.0.available_permits() + 1 < CLIENTS
    }
}

impl LocalSocket {
    /// Opens the socket in `data`. The caller holds the folder's lock, so that a socket found
    /// there is a dead process's.
    pub(crate) fn bind(data: &Path) -> Result<Self> {
        let path = data.join(NAME);
        let listener = bind_private(data, &path).map_err(RelayError::file("open", &path))?;
        Ok(Self { listener, path, clients: Arc::new(Semaphore::new(CLIENTS)) })
    }

    /// Who uses it.
    pub(crate) fn clients(&self) -> Clients {
        Clients(self.clients.clone())
    }

    /// Serves clients until it is dropped.
    pub(crate) async fn serve(self, node: NodeHandle) {
        let mut tasks = JoinSet::new();
        loop {
            while tasks.try_join_next().is_some() {}
            let Ok(permit) = self.clients.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let session = node.session();
                    tasks.spawn(async move {
                        serve(session, SocketIo::new(stream)).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the local socket did not accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the local socket was gone already");
        }
    }
}

/// Binds inside a folder of mode 0700 and moves the socket out once its own mode is 0600, so that
/// nobody else can connect in between.
fn bind_private(data: &Path, path: &Path) -> io::Result<UnixListener> {
    let private = tempfile::Builder::new().prefix(".s").rand_bytes(6).tempdir_in(data)?;
    let reach = Reach::of(private.path(), 1)?;
    let listener = UnixListener::bind(reach.folder.join("s"))?;
    let bound = private.path().join("s");
    fs::set_permissions(&bound, fs::Permissions::from_mode(0o600))?;
    fs::rename(&bound, path)?;
    Ok(listener)
}

/// Frames of one local client. A task of its own reads, because reading a frame in parts must not
/// be interrupted.
struct SocketIo {
    frames: mpsc::Receiver<Vec<u8>>,
    writer: OwnedWriteHalf,
    _reader: tokio_util::task::AbortOnDropHandle<()>,
}

impl SocketIo {
    fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        let (sender, frames) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            let mut reader = BufReader::new(reader);
            loop {
                match frames::read(&mut reader).await {
                    Ok(Some(frame)) => {
                        if sender.send(frame).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => return tracing::debug!(%error, "a local client broke off"),
                }
            }
        });
        Self { frames, writer, _reader: tokio_util::task::AbortOnDropHandle::new(reader) }
    }
}

impl FrameIo for SocketIo {
    async fn next(&mut self) -> Option<Vec<u8>> {
        self.frames.recv().await
    }

    async fn send(&mut self, frame: Vec<u8>) -> bool {
        let sent = tokio::time::timeout(SEND_TIMEOUT, frames::write(&mut self.writer, &frame));
        matches!(sent.await, Ok(Ok(())))
    }
}

/// Connects to the node of `data`; `None` when none answers there.
pub(crate) async fn connect(data: &Path) -> Result<Option<Session>> {
    let path = data.join(NAME);
    let reach = Reach::of(data, NAME.len()).map_err(RelayError::file("reach", data))?;
    match UnixStream::connect(reach.folder.join(NAME)).await {
        Ok(stream) => {
            let (session, end) = Session::pair();
            tokio::spawn(run_client(stream, end));
            Ok(Some(session))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(RelayError::File { action: "connect to", path, source }),
    }
}

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Result<Reply, ApiError>>>>>;

fn locked<T>(waiting: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries a client's asks out and answers in, until either side ends.
async fn run_client(stream: UnixStream, end: SessionEnd) {
    let SessionEnd { mut asks, events } = end;
    let (reader, mut writer) = stream.into_split();
    let waiting = Waiting::default();
    let answers = read_answers(BufReader::new(reader), waiting.clone(), events);
    let questions = async {
        let mut id = 0u64;
        while let Some(ask) = asks.recv().await {
            id += 1;
            match frames::encode_ask(id, ask.command) {
                Ok(frame) => {
                    locked(&waiting).insert(id, ask.answer);
                    if let Err(error) = frames::write(&mut writer, &frame).await {
                        return tracing::debug!(%error, "the node's socket broke");
                    }
                }
                // The asker may have given up; then nobody needs to know.
                Err(error) => drop(ask.answer.send(Err(error))),
            }
        }
        if let Err(error) = writer.shutdown().await {
            tracing::debug!(%error, "the node's socket was closed already");
        }
    };
    tokio::select! {
        () = answers => {}
        () = questions => {}
    }
    let left = std::mem::take(&mut *locked(&waiting));
    left.into_values().for_each(|answer| drop(answer.send(Err(gone()))));
}

async fn read_answers(
    mut reader: BufReader<OwnedReadHalf>,
    waiting: Waiting,
    events: mpsc::Sender<craftec_api::Event>,
) {
    loop {
        let frame = match frames::read(&mut reader).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "the node's socket broke"),
        };
        let (id, answer) = match cbor::decode(&frame, API_FRAME_BYTES) {
            Ok(FromNode::Ok { id, reply }) => (id, Ok(reply)),
            Ok(FromNode::Err { id, error }) => (id, Err(error)),
            Ok(FromNode::Event { event }) => {
                // A reader that does not keep up misses events, never answers.
                drop(events.try_send(event));
                continue;
            }
            Err(error) => return tracing::warn!(%error, "the node sent what is not an answer"),
        };
        if let Some(asker) = locked(&waiting).remove(&id) {
            drop(asker.send(answer));
        }
    }
}

/// The node speaks a version that this client does not.
pub(crate) fn check_hello(reply: &Reply) -> Result<(), ApiError> {
    match reply {
        Reply::Hello { version, .. } if craftec_api::VERSIONS.contains(version) => Ok(()),
        other => Err(ApiError::new(
            ErrorCode::Version,
            format!("the running node answered the greeting with {other:?}"),
        )
        .hint("Restart it, so that client and node are of one version.")),
    }
}
