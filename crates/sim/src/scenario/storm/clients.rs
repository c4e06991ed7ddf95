//! What people do in the storm, and what they check at once: they may fail, and be told so, but what
//! they are given is right.

use std::{rc::Rc, time::Duration};

use craftec_api::{ApiError, Command, ErrorCode, Reply};
use craftec_core::Cid;
use craftec_node::Session;
use craftec_platform::Clock;
use futures::future::{join, join_all};
use serde_bytes::ByteBuf;

use super::{
    client,
    world::{Object, Shared, World},
};

/// Lengths of objects: one block of each kind of storage, and files of a few leaves.
const LENGTHS: [usize; 6] = [100, 1_000, 5_000, 40_000, 200_000, 1_100_000];
/// Copies that objects want, in turns.
const WANTED: [u16; 3] = [2, 3, 1];
/// Objects that are put one after the other by the same author, and their least length at most.
const MANY: usize = 5;
const MANY_BYTES: usize = 5_000;
/// Bytes of a site's page.
const PAGE_BYTES: usize = 3_000;
/// Objects of which authors let go, and pins of others' objects.
const UNPINS: usize = 2;
const PINS: usize = 4;

/// Everything that people do, until the storm is over.
pub(super) async fn all(world: &Shared) {
    let size = world.size;
    let puts = join_all((0..size.objects).map(|number| world.put(number)));
    let names = join_all((0..size.names).map(|name| world.publish_all(name)));
    let gets = join_all((0..size.gets).map(|_| world.get_one()));
    let resolves = join_all((0..size.resolves).map(|_| world.resolve_one()));
    let pins = join_all((0..PINS).map(|_| world.pin_one()));
    let unpins = join_all((0..UNPINS).map(|_| world.unpin_one()));
    super::both(
        super::both(async { drop(puts.await) }, async { drop(names.await) }),
        super::both(
            super::both(async { drop(gets.await) }, async { drop(resolves.await) }),
            super::both(async { drop(pins.await) }, async { drop(unpins.await) }),
        ),
    )
    .await;
}

impl World {
    /// Waits for some moment of the storm, from `share` per cent of it on.
    async fn moment(&self, share: u32) {
        let from = self.size.storm * share / 100;
        self.cluster.sleep(self.between(from, self.size.storm)).await;
    }

    async fn put(&self, number: usize) {
        let length = LENGTHS.get(number % LENGTHS.len()).copied().unwrap_or(1);
        let wanted = WANTED.get(number % WANTED.len()).copied().unwrap_or(1);
        // Most are put early, so that there is something to read.
        let late = self.size.storm / if number.is_multiple_of(4) { 1 } else { 3 };
        self.cluster.sleep(self.between(Duration::ZERO, late)).await;
        let Some(author) = self.awake() else { return };
        // Some come together, and are kept together.
        let (many, length) =
            if number % 5 == 3 { (MANY, length.min(MANY_BYTES)) } else { (1, length) };
        for _ in 0..many {
            self.put_one(author, length, wanted).await;
        }
    }

    async fn put_one(&self, author: usize, length: usize, wanted: u16) {
        let length = length + self.below(length);
        let content = Rc::new(client::content(self.cluster.dice(), length));
        let (disk, begun) = (self.disk(author), self.cluster.clock().monotonic());
        let bytes = content.clone();
        let put =
            move |session: Session| async move { client::put(&session, &bytes, wanted).await };
        match self.attempt(author, put).await {
            Some(Ok(cid)) => {
                let object = Object { cid, author, disk, content, wanted, withdrawn: false };
                let mut state = self.state.borrow_mut();
                state.objects.push(object);
                state.put_times.push(self.cluster.clock().monotonic() - begun);
            }
            Some(Err(error)) => self.refused("put", author, &error),
            None => self.count("puts_cut_short"),
        }
    }

    /// It failed and was told so: nothing was acknowledged.
    fn refused(&self, what: &str, author: usize, error: &ApiError) {
        tracing::debug!(what, author, %error, "refused");
        self.count("puts_refused");
    }

    async fn publish_all(&self, name: usize) {
        let author = self.honest();
        self.state.borrow_mut().names[name].author = author;
        for version in 0..self.size.versions {
            let pause = self.size.storm / self.size.versions as u32;
            self.cluster.sleep(self.between(pause / 2, pause)).await;
            let disk = self.disk(author);
            let page = {
                let mut state = self.state.borrow_mut();
                let name_state = &mut state.names[name];
                if name_state.disk != disk {
                    // The author's keys went with its disk: this name is written no more.
                    return;
                }
                let text = format!("name {name}, version {version}; ");
                let page = text.bytes().cycle().take(PAGE_BYTES).collect::<Vec<u8>>();
                name_state.versions.push(page.clone());
                page
            };
            let text = format!("name-{name}");
            let publish = |session: Session| async move { publish(&session, &text, &page).await };
            match self.attempt(author, publish).await {
                Some(Ok(label)) => {
                    let mut state = self.state.borrow_mut();
                    state.names[name].acknowledged = Some(version);
                    state.names[name].label = Some(label);
                }
                Some(Err(error)) => self.refused("publish", author, &error),
                None => self.count("puts_cut_short"),
            }
        }
    }

    async fn get_one(&self) {
        self.moment(10).await;
        let which = {
            let state = self.state.borrow();
            let count = state.objects.len() as u64;
            state.objects.get(self.cluster.dice().below(count) as usize).cloned()
        };
        let (Some(object), Some(reader)) = (which, self.awake()) else { return };
        let begun = self.cluster.clock().monotonic();
        if self.read(reader, &object).await {
            let time = self.cluster.clock().monotonic() - begun;
            self.state.borrow_mut().get_times.push(time);
        }
    }

    /// Reads an object once; whether it came. Wrong bytes are a failure whatever the storm.
    pub(super) async fn read(&self, reader: usize, object: &Object) -> bool {
        let cid = object.cid;
        let get = move |session: Session| async move { client::get(&session, cid).await };
        match self.attempt(reader, get).await {
            Some(Ok(content)) if content == *object.content => {
                self.count("gets");
                true
            }
            Some(Ok(content)) => {
                let bytes = content.len();
                self.fail(format!("node {reader} read {bytes} wrong bytes for {cid}"));
                false
            }
            Some(Err(error)) => {
                tracing::debug!(reader, %cid, %error, "a read failed");
                self.count("gets_failed");
                false
            }
            None => {
                self.count("gets_cut_short");
                false
            }
        }
    }

    async fn resolve_one(&self) {
        self.moment(20).await;
        let (name, reader) = (self.below(self.size.names + 1), self.awake());
        let Some(reader) = reader else { return };
        if name == self.size.names {
            let label = self.state.borrow().contradicted.clone();
            let Some(label) = label else { return };
            // Whichever of the two it is told now, it is told again later that there are two.
            if self.ask_for(reader, label).await.is_some() {
                self.count("resolves");
            }
            return;
        }
        // Twice at once, as a page with several files does, and once more afterwards.
        let later = async {
            self.cluster.sleep(self.between(Duration::ZERO, Duration::from_secs(2))).await;
            self.resolve(reader, name).await
        };
        join(self.resolve(reader, name), later).await;
        if let Some((seq, root)) = self.resolve(reader, name).await {
            self.count("resolves");
            self.read_page(reader, name, seq, root).await;
        }
    }

    /// What `reader` is told of a name.
    async fn ask_for(&self, reader: usize, name: String) -> Option<(u64, Cid, bool)> {
        let resolve =
            move |session: Session| async move { session.call(Command::Resolve { name }).await };
        match self.attempt(reader, resolve).await? {
            Ok(Reply::Resolved { cid, seq, equivocation, .. }) => Some((seq, cid, equivocation)),
            Ok(_) | Err(_) => {
                self.count("resolves_failed");
                None
            }
        }
    }

    /// Resolves one of our names and checks what is told against all that was told before.
    pub(super) async fn resolve(&self, reader: usize, name: usize) -> Option<(u64, Cid)> {
        let (label, author, disk) = {
            let state = self.state.borrow();
            let name = &state.names[name];
            (name.label.clone()?, name.author, name.disk)
        };
        let before = self.state.borrow().seen.get(&(reader, name)).copied();
        let readers_disk = self.disk(reader);
        let (seq, root, contradicted) = self.ask_for(reader, label).await?;
        if self.is_sound(reader) && readers_disk == 0 {
            if before.is_some_and(|before| seq < before) {
                let before = before.unwrap_or(0);
                self.fail(format!("name {name} went back from {before} to {seq} at {reader}"));
            }
            let mut state = self.state.borrow_mut();
            let seen = state.seen.entry((reader, name)).or_default();
            *seen = (*seen).max(seq);
        }
        if self.answers_for(author, disk) {
            if contradicted {
                self.fail(format!("an honest author contradicts itself: name {name}, {seq}"));
            }
            let known = {
                let mut state = self.state.borrow_mut();
                *state.names[name].roots.entry(seq).or_insert(root)
            };
            if known != root {
                self.fail(format!("name {name}: head {seq} has the roots {known} and {root}"));
            }
        }
        Some((seq, root))
    }

    /// Reads the page behind a name: it must be one that its author wrote. Which version it is.
    pub(super) async fn read_page(
        &self,
        reader: usize,
        name: usize,
        seq: u64,
        root: Cid,
    ) -> Option<usize> {
        let get = move |session: Session| async move { client::get(&session, root).await };
        let Some(Ok(page)) = self.attempt(reader, get).await else {
            self.count("pages_failed");
            return None;
        };
        let version =
            self.state.borrow().names[name].versions.iter().position(|known| *known == page);
        match version {
            Some(version) => {
                self.count("pages");
                Some(version)
            }
            None => {
                self.fail(format!("name {name}: head {seq} shows a page that nobody wrote"));
                None
            }
        }
    }

    /// Whether `reader` is told that the liar's name has two heads with one number.
    pub(super) async fn sees_contradiction(&self, reader: usize) -> bool {
        let label = self.state.borrow().contradicted.clone();
        let Some(label) = label else { return false };
        self.ask_for(reader, label).await.is_some_and(|(_, _, contradicted)| contradicted)
    }

    async fn pin_one(&self) {
        self.moment(40).await;
        let which = {
            let state = self.state.borrow();
            let count = state.objects.len() as u64;
            state.objects.get(self.cluster.dice().below(count) as usize).map(|object| object.cid)
        };
        let (Some(cid), Some(index)) = (which, self.awake()) else { return };
        let pin = move |session: Session| async move { session.call(Command::Pin { cid }).await };
        if let Some(Ok(_)) = self.attempt(index, pin).await {
            self.count("pins");
        }
    }

    async fn unpin_one(&self) {
        self.moment(60).await;
        let which = {
            let mut state = self.state.borrow_mut();
            let count = state.objects.len() as u64;
            let which = self.cluster.dice().below(count) as usize;
            state.objects.get_mut(which).map(|object| {
                object.withdrawn = true;
                (object.cid, object.author)
            })
        };
        let Some((cid, author)) = which else { return };
        let unpin =
            move |session: Session| async move { session.call(Command::Unpin { cid }).await };
        if let Some(Ok(_)) = self.attempt(author, unpin).await {
            self.count("unpins");
        }
    }
}

/// Publishes a site of one page under a name of the node's; the name's label.
pub(super) async fn publish(
    session: &Session,
    name: &str,
    page: &[u8],
) -> Result<String, ApiError> {
    let odd = || ApiError::new(ErrorCode::Internal, "An answer of another kind.");
    let Reply::Handle { handle: folder } = session.call(Command::FolderOpen).await? else {
        return Err(odd());
    };
    let (path, bytes) = ("index.html".to_owned(), ByteBuf::from(page));
    session.call(Command::FolderAdd { folder, path, bytes }).await?;
    let name = Some(name.to_owned());
    let close = Command::FolderClose { folder, replicas: Some(2), site: true, name };
    match session.call(close).await? {
        Reply::Published { label: Some(label), .. } => Ok(label),
        _ => Err(odd()),
    }
}
