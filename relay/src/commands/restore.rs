//! `craftec restore`: takes a backup into the data folder. The folder's node must not run: its
//! identity may become another.

use craftec_api::{ApiError, Command, ErrorCode, Reply, Restored};

use super::{backup::read_passphrase, interrupted, put::push};
use crate::{
    access::{self, Access},
    cli::Restore,
    config::Settings,
    console::Console,
    error::{RelayError, Result},
    session::unexpected,
    units::bytes_text,
};

/// Takes the file in, wholly or not at all.
pub(crate) async fn run(
    restore: &Restore,
    mut settings: Settings,
    console: &Console,
) -> Result<()> {
    let path = &restore.file;
    let file = tokio::fs::File::open(path).await.map_err(RelayError::file("open", path))?;
    let meta = file.metadata().await.map_err(RelayError::file("read", path))?;
    let passphrase = read_passphrase(&restore.passphrase)?;
    if settings.data.exists() && access::running(&settings).await?.is_some() {
        return Err(ApiError::new(ErrorCode::Refused, "a node runs on this data folder")
            .hint("Stop it, restore, and start it again: its identity may become another.")
            .into());
    }
    // The node that takes it in talks to nobody.
    settings.relay.clear();
    let access = Access::open(&settings, console).await?;
    let take = take(&access, file, meta.len(), restore, passphrase, console);
    let done = tokio::select! {
        done = take => done,
        () = interrupted() => Err(RelayError::Interrupted),
    };
    access.close().await;
    let restored = done?;
    console.result(&restored, || text(&restored));
    Ok(())
}

async fn take(
    access: &Access,
    file: tokio::fs::File,
    bytes: u64,
    restore: &Restore,
    passphrase: craftec_api::Secret,
    console: &Console,
) -> Result<Restored> {
    let session = &access.session;
    let replace = restore.replace_identity;
    let handle = session.handle(Command::RestoreOpen { passphrase, replace }).await?;
    let mut progress = console.progress("Read", Some(bytes));
    push(session, handle, file, |bytes| progress.add_bytes(bytes))
        .await?
        .map_err(RelayError::file("read", &restore.file))?;
    match session.call(Command::PutClose { handle }).await? {
        Reply::Restored(restored) => Ok(restored),
        other => Err(unexpected("restored", &other)),
    }
}

fn text(restored: &Restored) -> String {
    let Restored { did, objects, known, bytes, names, names_kept, restart } = restored;
    let mut text = format!("{did}\n{objects} objects added, {known} were here already");
    text.push_str(&format!(" ({} read)\n{names} names taken over", bytes_text(*bytes)));
    if *names_kept > 0 {
        text.push_str(&format!(", {names_kept} were newer here and stay"));
    }
    if *restart {
        text.push_str("\nThis folder has the backup's identity now.");
    }
    text
}
