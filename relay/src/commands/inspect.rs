//! Commands that ask and print: stat, ls, pin, sites, id, status, connect.

use craftec_api::{
    ApiError, Command, Entry, EntryKind, ErrorCode, Outlook, Reachability, Reply, SiteRow, Stat,
    Status,
};
use craftec_core::{Cid, PeerId};
use serde::Serialize;

use super::Target;
use crate::{
    access::{self, Access},
    cli,
    config::Settings,
    console::{Console, printable},
    error::Result,
    session::unexpected,
    units::{bytes_text, files_text},
};

/// `craftec stat`
pub(crate) async fn stat(cid: Cid, access: &Access, console: &Console) -> Result<()> {
    let stat = match access.session.call(Command::Stat { cid }).await? {
        Reply::Stat(stat) => stat,
        other => return Err(unexpected("stat", &other)),
    };
    console.result(&stat, || stat_text(&stat));
    Ok(())
}

fn stat_text(stat: &Stat) -> String {
    let kind = kind_text(stat.kind);
    let health = stat.health;
    let mut text = format!(
        "{}\n{kind}, {} ({} bytes), {}\n{} of {} blocks here{}\n{} of {} {} on other nodes, {} \
         connected",
        stat.cid,
        bytes_text(stat.size),
        stat.size,
        files_text(stat.files),
        stat.local_blocks,
        stat.blocks,
        if stat.pinned { ", pinned" } else { "" },
        health.signed,
        health.wanted,
        if health.needed > 1 { "shards" } else { "copies" },
        health.reachable,
    );
    if health.needed > 1 {
        text.push_str(&format!("; any {} are enough", health.needed));
    }
    if let Some(outlook) = &stat.outlook {
        let Outlook { needed, reachable, counted, wholes, loss_ppb, .. } = outlook;
        text.push_str(&format!(
            "\ncoded: {reachable} shards answer, {counted} count, {needed} are enough; {wholes} whole; \
             lost within a year with a probability of {}",
            if *loss_ppb == 0 {
                "less than 1 in a billion".to_owned()
            } else {
                format!("{:.7}", f64::from(*loss_ppb) / 1e9)
            }
        ));
    }
    for holder in &stat.holders {
        let state = match (&holder.error, holder.signed) {
            (Some(error), _) => printable(error),
            (None, true) if health.needed > 1 => "has shards".to_owned(),
            (None, true) => "has a copy".to_owned(),
            (None, false) => format!("took {}", bytes_text(holder.bytes)),
        };
        text.push_str(&format!("\n  {}  {state}", holder.peer));
    }
    text
}

fn kind_text(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Folder => "folder",
    }
}

#[derive(Serialize)]
struct Listing<'a> {
    cid: Cid,
    path: &'a str,
    entries: Vec<Entry>,
}

/// `craftec ls`
pub(crate) async fn list(target: &Target, access: &Access, console: &Console) -> Result<()> {
    let command = Command::List { cid: target.cid, path: target.path.clone() };
    let entries = match access.session.call(command).await? {
        Reply::Entries { entries } => entries,
        other => return Err(unexpected("entries", &other)),
    };
    let listing = Listing { cid: target.cid, path: &target.path, entries };
    console.result(&listing, || {
        let line = |entry: &Entry| {
            let slash = if entry.kind == EntryKind::Folder { "/" } else { "" };
            // A line feed in a name would look like another entry.
            let name = printable(&entry.name).replace('\n', "\u{fffd}");
            format!("{}  {:>10}  {name}{slash}\n", entry.cid, bytes_text(entry.size))
        };
        listing.entries.iter().map(line).collect()
    });
    Ok(())
}

#[derive(Serialize)]
struct Pinned {
    cid: Cid,
    pinned: bool,
}

/// `craftec pin` and `craftec unpin`
pub(crate) async fn pin(cid: Cid, pin: bool, access: &Access, console: &Console) -> Result<()> {
    let command = if pin { Command::Pin { cid } } else { Command::Unpin { cid } };
    access.session.done(command).await?;
    let word = if pin { "Pinned" } else { "Unpinned" };
    console.result(&Pinned { cid, pinned: pin }, || format!("{word} {cid}"));
    Ok(())
}

#[derive(Serialize)]
struct Site {
    url: String,
    #[serde(flatten)]
    row: SiteRow,
}

#[derive(Serialize)]
struct Sites {
    sites: Vec<Site>,
}

/// `craftec site list`
pub(crate) async fn sites(access: &Access, console: &Console) -> Result<()> {
    let rows = match access.session.call(Command::Sites).await? {
        Reply::Sites { sites } => sites,
        other => return Err(unexpected("sites", &other)),
    };
    let site = |row: SiteRow| {
        let host = row.label.clone().unwrap_or_else(|| row.cid.to_string());
        Site { url: access.gateway.site_url(&host), row }
    };
    let sites = Sites { sites: rows.into_iter().map(site).collect() };
    console.result(&sites, || {
        let line = |site: &Site| {
            let row = &site.row;
            let name = printable(row.name.as_deref().unwrap_or("(no name)"));
            let size = bytes_text(row.bytes);
            let (signed, wanted) = (row.health.signed, row.health.wanted);
            format!(
                "{}\n  {name}, {}, {size}, {signed} of {wanted} copies on other nodes\n",
                site.url,
                files_text(row.files)
            )
        };
        match sites.sites.as_slice() {
            [] => "No site was published here yet: `craftec site publish DIR` does.".to_owned(),
            sites => sites.iter().map(line).collect(),
        }
    });
    Ok(())
}

#[derive(Serialize)]
struct Identity {
    did: String,
    peer_id: PeerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<String>>,
}

/// `craftec id`
pub(crate) async fn id(words: bool, access: &Access, console: &Console) -> Result<()> {
    let status = node_status(access).await?;
    let words = match words {
        false => None,
        true => match access.session.call(Command::BackupWords).await? {
            Reply::Words { words } => Some(words),
            other => return Err(unexpected("words", &other)),
        },
    };
    let identity = Identity { did: status.did, peer_id: status.peer_id, words };
    if identity.words.is_some() {
        console.note("Whoever reads these words is you: write them down and show nobody.");
    }
    console.result(&identity, || {
        let mut text = format!("{}\n{}\n", identity.did, identity.peer_id);
        for (index, word) in identity.words.iter().flatten().enumerate() {
            text.push_str(&format!("{:>2} {word}\n", index + 1));
        }
        text
    });
    Ok(())
}

#[derive(Serialize)]
struct Card {
    card: String,
}

/// `craftec id --card`
pub(crate) async fn card(access: &Access, console: &Console) -> Result<()> {
    let card = match access.session.call(Command::IdentityCard).await? {
        Reply::Card { card } => Card { card },
        other => return Err(unexpected("card", &other)),
    };
    console.result(&card, || format!("{}\n", card.card));
    Ok(())
}

async fn node_status(access: &Access) -> Result<Status> {
    match access.session.call(Command::Status).await? {
        Reply::Status(status) => Ok(status),
        other => Err(unexpected("status", &other)),
    }
}

/// `craftec status`
pub(crate) async fn status(access: &Access, console: &Console) -> Result<()> {
    let status = node_status(access).await?;
    if access.is_own() {
        console.note("No node was running; this one ran only to answer.");
    }
    console.result(&status, || status_text(&status));
    Ok(())
}

fn status_text(status: &Status) -> String {
    let storage = &status.storage;
    let mut text = format!(
        "{}\n{}\nrunning for {} s, {}\n{} objects, {} of them with fewer copies than wanted\n{} \
         stored, {} of it for others (at most {})\n",
        status.did,
        status.peer_id,
        status.uptime_ms / 1000,
        printable(&status.agent),
        status.objects,
        status.objects_short,
        bytes_text(storage.used),
        bytes_text(storage.for_others),
        bytes_text(storage.lend_limit),
    );
    if let Some(serving) = status.serving {
        let of = |limit: Option<u64>| limit.map_or("no limit".to_owned(), bytes_text);
        text.push_str(&format!(
            "{} sent to others this month (at most {}, {} a second)\n",
            bytes_text(serving.sent),
            of(serving.monthly),
            of(serving.rate),
        ));
    }
    if storage.full {
        text.push_str("The disk is full: nothing is lost, but new content waits.\n");
    }
    for addr in &status.addresses {
        text.push_str(&format!("at {addr}\n"));
    }
    text.push_str(&reach_text(status));
    for peer in &status.peers {
        let rtt = peer.rtt_ms.map(|ms| format!(", {ms} ms")).unwrap_or_default();
        let (link, role) = (format!("{:?}", peer.link), format!("{:?}", peer.role));
        text.push_str(&format!(
            "peer {} ({}, {}{rtt}) received {}, sent {}\n",
            peer.peer_id,
            link.to_lowercase(),
            role.to_lowercase(),
            bytes_text(peer.received),
            bytes_text(peer.sent)
        ));
    }
    text
}

fn reach_text(status: &Status) -> String {
    let Some(reach) = &status.reach else { return String::new() };
    match reach.state {
        Reachability::Unknown => "not tried yet whether others can dial this node\n".to_owned(),
        Reachability::Nat => "behind a router or firewall: reached through relays\n".to_owned(),
        Reachability::Public => {
            let line = |addr: &String| format!("reached by others at {addr}\n");
            reach.confirmed.iter().map(line).collect()
        }
    }
}

#[derive(Serialize)]
struct Connected<'a> {
    connected: &'a str,
}

/// `craftec connect`: only a node that goes on running has a use for it.
pub(crate) async fn connect(
    command: &cli::Connect,
    settings: &Settings,
    console: &Console,
) -> Result<()> {
    let Some(session) = access::running(settings).await? else {
        return Err(ApiError::new(ErrorCode::Unavailable, "no node runs on this data folder")
            .hint("Start it with `craftec up`, or `craftec up --relay ADDR` to connect at once.")
            .into());
    };
    session.done(Command::Connect { addr: command.addr.clone() }).await?;
    let connected = Connected { connected: &command.addr };
    console.result(&connected, || format!("Connected to {}", command.addr));
    Ok(())
}
