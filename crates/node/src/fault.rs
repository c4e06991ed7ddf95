//! From what went wrong inside to what a person reads: what happened with its figure, what it means,
//! what can be done.

use craftec_api::{ApiError, ErrorCode};
#[cfg(feature = "sql")]
use craftec_core::database::TableError;
use craftec_core::{head::HeadError, record::RecordError};
use craftec_obj::{ObjError, StoreError, coded::CodedError};
use craftec_p2p::NetError;
#[cfg(feature = "sql")]
use craftec_sql::{PageStoreError, SqlError, log::LogError};

use crate::{backup::BackupError, room};

/// The API's word for a failure of the object store.
pub(crate) fn object(error: ObjError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        ObjError::Store(error) => store(error),
        ObjError::Net(error) => net(error),
        ObjError::Cid(_) | ObjError::Input { .. } | ObjError::Limit { .. } => {
            ApiError::new(ErrorCode::BadInput, message)
        }
        ObjError::Path(_) => ApiError::new(ErrorCode::BadInput, message)
            .hint("Use a relative path: names with `/` between them, without `.` and `..`."),
        ObjError::Folder(_) => ApiError::new(ErrorCode::BadInput, message)
            .hint("Nothing was published. Rename or remove that file and try again."),
        ObjError::NotFound { .. } => ApiError::new(ErrorCode::NotFound, message)
            .hint("The folder itself was read and verified. Check the path, or list the folder."),
        ObjError::NotAFile { .. } | ObjError::NotAFolder { .. } | ObjError::NotUnixFs { .. } => {
            ApiError::new(ErrorCode::BadInput, message)
        }
        ObjError::Coded(CodedError::TooFew { .. }) | ObjError::Missing { .. } => {
            unavailable(message, 1)
        }
        ObjError::Coded(_) => ApiError::new(ErrorCode::BadInput, message),
        ObjError::Unavailable { cid, asked } => {
            unavailable(format!("Nobody gave the block {cid}: {} asked.", peers(asked)), asked)
        }
        ObjError::Corrupt { .. } => ApiError::new(ErrorCode::BadInput, message)
            .hint("Every copy is the same: ask its author for a new one."),
        ObjError::Block(_) => unavailable(message, 1),
        ObjError::Full { .. } => ApiError::new(ErrorCode::Full, message),
        ObjError::Refused { .. } => ApiError::new(ErrorCode::Refused, message),
    }
}

fn peers(asked: usize) -> String {
    match asked {
        0 => "no peer could be".to_owned(),
        1 => "1 peer was".to_owned(),
        n => format!("{n} peers were"),
    }
}

fn unavailable(message: String, asked: usize) -> ApiError {
    let hint = match asked {
        0 => "Connect to a relay or to a node that has it, then try again.",
        _ => "It may be on a node that is away. Try again when its author or a holder is online.",
    };
    ApiError::new(ErrorCode::Unavailable, message).hint(hint)
}

/// The API's word for a failure of the disk.
pub(crate) fn store(error: StoreError) -> ApiError {
    let retryable = error.is_retryable();
    let mut fault = match &error {
        StoreError::Full { .. } => room::disk_full(),
        StoreError::Busy => ApiError::new(ErrorCode::Storage, sentence(&error.to_string())),
        StoreError::Rotten { cid } => {
            let message = format!("The disk returned wrong bytes for the block {cid}.");
            ApiError::new(ErrorCode::Storage, message)
                .hint("The block was dropped. Reading again fetches it from another holder.")
        }
        StoreError::TooLong { .. } => {
            ApiError::new(ErrorCode::BadInput, sentence(&error.to_string()))
        }
        StoreError::Corrupt { .. } | StoreError::Newer { .. } | StoreError::Io { .. } => {
            ApiError::new(ErrorCode::Storage, sentence(&error.to_string()))
        }
    };
    fault.retryable = retryable || matches!(error, StoreError::Rotten { .. });
    fault
}

/// Whether an error says that the disk is full, and not that some list of ours is.
pub(crate) fn is_disk_full(error: &ApiError) -> bool {
    *error == room::disk_full()
}

/// The API's word for a backup that can't be written or read. Nothing has changed by it.
pub(crate) fn backup(error: BackupError) -> ApiError {
    let message = sentence(&error.to_string());
    let input = |hint: &str| ApiError::new(ErrorCode::BadInput, message.clone()).hint(hint);
    match error {
        BackupError::Store(error) => store(error),
        BackupError::Object(error) => object(error),
        BackupError::Foreign => input("Nothing was changed. Choose a file that Craftec wrote."),
        BackupError::Newer { .. } => {
            let hint = "Nothing was changed. Update this Craftec, then try again.";
            ApiError::new(ErrorCode::Version, message).hint(hint)
        }
        BackupError::Passphrase => {
            let hint = "Nothing was changed. Mind capitals and the keyboard's language.";
            ApiError::new(ErrorCode::Refused, message).hint(hint)
        }
        BackupError::PassphraseLength => {
            ApiError::new(ErrorCode::BadInput, message).hint("Choose another one.")
        }
        BackupError::OtherIdentity { .. } => {
            let hint = "Nothing was changed. Back this node up first; then say that the file's \
                        identity shall take the place of this one.";
            ApiError::new(ErrorCode::Refused, message).hint(hint)
        }
        BackupError::Broken => ApiError::new(ErrorCode::Aborted, message),
        BackupError::Damaged { .. }
        | BackupError::Truncated { .. }
        | BackupError::Derivation(_)
        | BackupError::Content(_)
        | BackupError::TooMany(_) => {
            input("Nothing was changed. Use another copy of the file, or an older backup.")
        }
    }
}

/// The API's word for a statement that failed, or a database that can't be had. Where SQLite says why,
/// it is said in its own words.
#[cfg(feature = "sql")]
pub(crate) fn sql(error: SqlError) -> ApiError {
    let retryable = error.is_retryable();
    let message = sentence(&error.to_string());
    let input = |hint: &str| ApiError::new(ErrorCode::BadInput, message.clone()).hint(hint);
    let mut fault = match error {
        SqlError::Sqlite { message, .. } => ApiError::new(ErrorCode::BadInput, message),
        SqlError::TooLong { .. } => {
            let hint = "Nothing of it happened. An index may help, or a smaller part at a time.";
            ApiError::new(ErrorCode::Refused, message).hint(hint)
        }
        SqlError::Interrupted | SqlError::StateGone => ApiError::new(ErrorCode::Aborted, message),
        SqlError::LeftOpen => {
            input("Send a transaction whole: as one script, or as a batch of statements.")
        }
        SqlError::TooMuch { .. } => input("Use LIMIT and OFFSET, or aggregate."),
        SqlError::CacheTooSmall { .. } | SqlError::TooLarge { .. } => {
            input("Keep the whole database here, or ask for less of it at a time.")
        }
        SqlError::LargeMerge { .. } => {
            let hint = "Nothing was changed. Open the branch, and copy from it in parts.";
            ApiError::new(ErrorCode::Full, message).hint(hint)
        }
        SqlError::Schemas | SqlError::Unlike { .. } => {
            let hint = "Nothing was changed. Bring one side to the other's schema first, or open the \
                        branch and copy from it.";
            ApiError::new(ErrorCode::Conflict, message).hint(hint)
        }
        SqlError::Missing { .. } | SqlError::WrongBytes { .. } => unavailable(message, 1),
        SqlError::Table(TableError::Locked)
        | SqlError::Log(LogError::Table(TableError::Locked)) => locked(message),
        SqlError::NotEncrypted => input("Encrypt it first."),
        SqlError::Table(TableError::Shares) => ApiError::new(ErrorCode::Full, message),
        SqlError::Table(_) => input("This is not a database, or one of a newer Craftec."),
        SqlError::Log(error) => log(&error, message),
        SqlError::Store(PageStoreError::Log(error)) => log(&error, message),
        SqlError::Store(_) => unavailable(message, 1),
    };
    fault.retryable = retryable;
    fault
}

#[cfg(feature = "sql")]
fn locked(message: String) -> ApiError {
    let hint = "Its owner can share it with this identity: send them the card of yours.";
    ApiError::new(ErrorCode::Refused, message).hint(hint)
}

#[cfg(feature = "sql")]
fn log(error: &LogError, message: String) -> ApiError {
    match error {
        LogError::Full { .. } => room::disk_full(),
        LogError::NoSuchRoot { .. } => ApiError::new(ErrorCode::NotFound, message).hint(
            "The last 16 snapshots can be restored. Older ones can be opened and copied from.",
        ),
        LogError::NoRoom => ApiError::new(ErrorCode::Conflict, message)
            .hint("Open that state by its address, and copy from it what is wanted."),
        LogError::Name(_) | LogError::Transaction | LogError::Foreign { .. } => {
            ApiError::new(ErrorCode::BadInput, message)
        }
        LogError::Busy
        | LogError::Rotten { .. }
        | LogError::Corrupt { .. }
        | LogError::Newer { .. }
        | LogError::Table(_)
        | LogError::Io { .. } => ApiError::new(ErrorCode::Storage, message),
    }
}

/// The API's word for a failure of the network.
pub(crate) fn net(error: NetError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        NetError::Address { .. } => ApiError::new(ErrorCode::BadInput, message)
            .hint("An address looks like /ip4/127.0.0.1/tcp/4081/ws/p2p/12D3KooW…"),
        NetError::Protocol { .. } | NetError::Unsupported { .. } => {
            ApiError::new(ErrorCode::Refused, message)
        }
        NetError::Closed => ApiError::new(ErrorCode::Aborted, message),
        NetError::Unreachable { .. }
        | NetError::Lost { .. }
        | NetError::Timeout { .. }
        | NetError::Limit(_)
        | NetError::Dht(_) => ApiError::new(ErrorCode::Unavailable, message),
    }
}

/// The API's word for a name that cannot be written or read.
pub(crate) fn head(error: HeadError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        HeadError::Name(_) => ApiError::new(ErrorCode::BadInput, message),
        _ => ApiError::new(ErrorCode::Refused, message),
    }
}

/// The API's word for a record that cannot be made.
pub(crate) fn record(error: RecordError) -> ApiError {
    match error {
        RecordError::Head(error) => head(error),
        error => ApiError::new(ErrorCode::Refused, sentence(&error.to_string())),
    }
}

/// An argument that is wrong.
pub(crate) fn input(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::BadInput, message)
}

/// A sentence: a capital at the start, a full stop at the end.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let mut out: String = match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => return "Something failed without saying what.".to_owned(),
    };
    if !out.ends_with(['.', '!', '?', '…']) {
        out.push('.');
    }
    out
}
