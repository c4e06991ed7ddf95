//! Records and providers in the Kademlia DHT: what we announce, what we ask for, and what others
//! want us to keep.
//!
//! Nothing is stored or returned that the [`RecordCheck`](crate::RecordCheck) did not accept. What
//! we announced is announced again at intervals, and while there are few servers whenever a new one
//! turns up (it may have started empty).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    num::NonZeroUsize,
    time::Duration,
};

use craftec_core::{PeerId, limits};
use futures::channel::{mpsc, oneshot};
use libp2p::{
    Multiaddr,
    kad::{
        self, GetClosestPeersError, GetProvidersOk, GetRecordOk, InboundRequest, ProgressStep,
        PutRecordError, QueryId, QueryResult, Quorum, RecordKey, store::RecordStore,
    },
    swarm::NetworkBehaviour,
};
use web_time::Instant;

use super::{
    address::{ADDRESS_BYTES, believable, from_libp2p},
    driver::Driver,
    store::Store,
};
use crate::{Key, NetError, Record, RecordCheck, RecordChoice};

/// How often everything of ours is announced again; providers expire after three times that.
const REFRESH: Duration = Duration::from_secs(20 * 60);
/// How long after a new server turned up we announce to it: others may turn up with it.
const AFTER_JOIN: Duration = Duration::from_secs(1);
/// With so many servers everything is with enough of them, and one more gets its part at the next
/// interval. Else each that comes would cost each other one some forty messages for each thing.
const FEW_SERVERS: usize = 8;
/// The shortest time between two such announcements.
const REFRESH_AT_MOST: Duration = Duration::from_secs(10);
/// Announcements on their way at one time.
const REFRESHING: usize = 16;
/// How long a call waits for a first server before it fails.
const PATIENCE: Duration = Duration::from_secs(5);
/// Providers that one search yields.
const PROVIDERS: usize = 20;
/// Distinct records that one search collects.
const RECORDS: usize = 32;
/// Addresses kept of one provider.
const PROVIDER_ADDRESSES: usize = 8;
/// What the DHT says when there is nobody to ask.
const ALONE: &str = "no server of the DHT is connected; connect to a relay first";

pub(crate) type DoneReply = oneshot::Sender<Result<(), NetError>>;
pub(crate) type RecordsReply = oneshot::Sender<Result<Vec<Record>, NetError>>;

/// What a caller wants of the DHT.
pub(crate) enum Want {
    Provide(Key, DoneReply),
    Providers(Key, mpsc::Sender<PeerId>),
    Put(Record, DoneReply),
    Records(Key, RecordsReply),
}

/// A query of ours.
enum Query {
    Provide(Option<DoneReply>),
    Providers(mpsc::Sender<PeerId>, BTreeSet<PeerId>),
    Put(Option<DoneReply>),
    Records(RecordsReply, Vec<Record>),
    LookUp(libp2p::PeerId),
}

/// Our side of the DHT.
pub(crate) struct Dht {
    provided: BTreeSet<Key>,
    published: BTreeMap<Key, Record>,
    /// Only ever looked up by id; its order decides nothing.
    queries: HashMap<QueryId, Query>,
    waiting: VecDeque<(Instant, Want)>,
    refreshing: VecDeque<Refresh>,
    refreshed: Option<Instant>,
    refresh_at: Instant,
}

enum Refresh {
    Provide(Key),
    Put(Key),
}

impl Dht {
    pub(crate) fn new() -> Self {
        let (provided, published, queries) = Default::default();
        let (waiting, refreshing, refreshed) = Default::default();
        let refresh_at = Instant::now() + REFRESH;
        Self { provided, published, queries, waiting, refreshing, refreshed, refresh_at }
    }

    pub(super) fn is_looking_up(&self, peer: libp2p::PeerId) -> bool {
        self.queries.values().any(|query| matches!(query, Query::LookUp(of) if *of == peer))
    }

    /// Announces everything again soon.
    pub(super) fn announce_soon(&mut self) {
        let earliest = self.refreshed.map_or_else(Instant::now, |at| at + REFRESH_AT_MOST);
        self.refresh_at = self.refresh_at.min(earliest.max(Instant::now() + AFTER_JOIN));
    }
}

/// The DHT's configuration for one node.
pub(crate) fn config(protocol: libp2p::StreamProtocol) -> kad::Config {
    let mut config = kad::Config::new(protocol);
    config
        .set_query_timeout(Duration::from_secs(15))
        .set_substreams_timeout(Duration::from_secs(8))
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_provider_record_ttl(Some(REFRESH * 3))
        // Announcing again is done here, where it can follow what happens to the network.
        .set_provider_publication_interval(None)
        .set_publication_interval(None)
        // A record and the addresses of twenty closer peers.
        .set_max_packet_size(limits::RECORD_BYTES + (64 << 10))
        .set_caching(kad::Caching::Disabled);
    config
}

fn name(key: Key) -> RecordKey {
    RecordKey::new(&key.0)
}

fn key_of(name: &RecordKey) -> Option<Key> {
    name.as_ref().try_into().ok().map(Key)
}

fn alone() -> NetError {
    NetError::Dht(ALONE.to_owned())
}

impl<X: NetworkBehaviour> Driver<X>
where
    X::ToSwarm: std::fmt::Debug,
{
    /// Whether there is anybody to ask.
    fn has_servers(&mut self) -> bool {
        self.swarm.behaviour_mut().kad.kbuckets().any(|bucket| bucket.num_entries() > 0)
    }

    /// A server turned up: where there are few, it is announced to soon.
    fn server_joined(&mut self) {
        let servers = self.swarm.behaviour_mut().kad.kbuckets().map(|bucket| bucket.num_entries());
        if servers.sum::<usize>() < FEW_SERVERS {
            self.dht.announce_soon();
        }
    }

    /// Does what a caller wants, now or when there is a server.
    pub(super) fn want(&mut self, want: Want) {
        match &want {
            Want::Provide(key, _) => {
                self.dht.provided.insert(*key);
            }
            Want::Put(record, reply) => {
                if let Err(refused) = self.check.choose(record, None) {
                    tracing::debug!(refused, "a record of ours is not valid");
                    if !reply.is_canceled()
                        && let Want::Put(_, reply) = want
                    {
                        let error = format!("the record is not valid: {refused}");
                        let _ = reply.send(Err(NetError::Dht(error)));
                    }
                    return;
                }
                self.dht.published.insert(record.key, record.clone());
            }
            Want::Providers(..) | Want::Records(..) => {}
        }
        let patient = self.peers.len() > 0 || self.expects_relay();
        if self.has_servers() || (self.server && matches!(want, Want::Providers(..))) {
            self.ask(want);
        } else if patient {
            self.dht.waiting.push_back((Instant::now() + PATIENCE, want));
        } else {
            self.refuse(want);
        }
    }

    /// Announces `key` no more.
    pub(super) fn stop_providing(&mut self, key: Key) {
        self.dht.provided.remove(&key);
        self.swarm.behaviour_mut().kad.stop_providing(&name(key));
    }

    /// Does what can be done without a server, and says that there is none.
    fn refuse(&mut self, want: Want) {
        match want {
            // A server is asked by others, and answers from what it has.
            Want::Provide(..) | Want::Records(..) | Want::Put(..) if self.server => self.ask(want),
            Want::Provide(_, reply) | Want::Put(_, reply) => {
                let _ = reply.send(Err(alone()));
            }
            Want::Records(_, reply) => {
                let _ = reply.send(Err(alone()));
            }
            Want::Providers(..) => {}
        }
    }

    fn ask(&mut self, want: Want) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        let (id, query) = match want {
            Want::Provide(key, reply) => match kad.start_providing(name(key)) {
                Ok(id) => (id, Query::Provide(Some(reply))),
                Err(error) => {
                    let _ = reply.send(Err(NetError::Dht(error.to_string())));
                    return;
                }
            },
            Want::Put(record, reply) => {
                if newer_held(kad.store_mut(), &*self.check, &record).is_some() {
                    self.dht.published.remove(&record.key);
                    let error = "a newer record is already known here; read it first";
                    let _ = reply.send(Err(NetError::Dht(error.to_owned())));
                    return;
                }
                let record = kad::Record::new(name(record.key), record.value);
                match kad.put_record(record, Quorum::All) {
                    Ok(id) => (id, Query::Put(Some(reply))),
                    Err(error) => {
                        let _ = reply.send(Err(NetError::Dht(error.to_string())));
                        return;
                    }
                }
            }
            Want::Providers(key, found) => {
                for held in kad.store_mut().providers(&name(key)) {
                    for addr in held.addresses {
                        self.book.add(held.provider, addr);
                    }
                }
                (kad.get_providers(name(key)), Query::Providers(found, BTreeSet::new()))
            }
            Want::Records(key, reply) => {
                (kad.get_record(name(key)), Query::Records(reply, Vec::new()))
            }
        };
        self.dht.queries.insert(id, query);
    }

    /// Looks for addresses of a peer; whether there is anybody to ask.
    pub(super) fn look_up(&mut self, peer: libp2p::PeerId) -> bool {
        if !self.has_servers() {
            return false;
        }
        let kad = &mut self.swarm.behaviour_mut().kad;
        let id = kad.get_n_closest_peers(peer, NonZeroUsize::MIN.saturating_add(3));
        self.dht.queries.insert(id, Query::LookUp(peer));
        true
    }

    /// Takes every step that is due.
    pub(super) fn tend_dht(&mut self) {
        let now = Instant::now();
        if !self.dht.waiting.is_empty() {
            let ready = self.has_servers();
            for (until, want) in std::mem::take(&mut self.dht.waiting) {
                match (ready, now >= until) {
                    (true, _) => self.ask(want),
                    (false, true) => self.refuse(want),
                    (false, false) => self.dht.waiting.push_back((until, want)),
                }
            }
        }
        if now >= self.dht.refresh_at && self.has_servers() {
            self.dht.refresh_at = now + REFRESH;
            self.dht.refreshed = Some(now);
            let provided = self.dht.provided.iter().copied().map(Refresh::Provide);
            let published = self.dht.published.keys().copied().map(Refresh::Put);
            self.dht.refreshing = published.chain(provided).collect();
        }
        while self.dht.queries.len() < REFRESHING {
            let Some(refresh) = self.dht.refreshing.pop_front() else { return };
            self.refresh(refresh);
        }
    }

    fn refresh(&mut self, refresh: Refresh) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        let started = match refresh {
            Refresh::Provide(key) if self.dht.provided.contains(&key) => {
                kad.start_providing(name(key)).map(|id| (id, Query::Provide(None)))
            }
            Refresh::Put(key) => {
                let Some(record) = self.dht.published.get(&key) else { return };
                // Another device of the same author may have written since.
                let newer = newer_held(kad.store_mut(), &*self.check, record);
                let record = newer.unwrap_or_else(|| record.clone());
                let newest = kad::Record::new(name(key), record.value.clone());
                self.dht.published.insert(key, record);
                kad.put_record(newest, Quorum::All).map(|id| (id, Query::Put(None)))
            }
            Refresh::Provide(_) => return,
        };
        match started {
            Ok((id, query)) => {
                self.dht.queries.insert(id, query);
            }
            Err(error) => tracing::warn!(%error, "cannot announce again"),
        }
    }

    /// An event of the DHT.
    pub(super) fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                self.on_progress(id, result, &step);
            }
            kad::Event::InboundRequest { request } => self.on_request(request),
            kad::Event::RoutingUpdated { is_new_peer: true, .. } => {
                self.server_joined();
                self.tend_dht();
            }
            _ => {}
        }
    }

    fn on_progress(&mut self, id: QueryId, result: QueryResult, step: &ProgressStep) {
        let Some(query) = self.dht.queries.remove(&id) else { return };
        match (query, result) {
            (Query::Provide(Some(reply)), QueryResult::StartProviding(done)) => {
                let _ = reply.send(done.map(|_| ()).map_err(|e| NetError::Dht(e.to_string())));
            }
            (Query::Put(Some(reply)), QueryResult::PutRecord(done)) => {
                let _ = reply.send(put_outcome(done));
            }
            (Query::Providers(found, seen), QueryResult::GetProviders(more)) => {
                self.on_providers(id, step.last, found, seen, more.ok());
            }
            (Query::Records(reply, found), QueryResult::GetRecord(more)) => {
                self.on_records(id, step.last, reply, found, more.ok());
            }
            (Query::LookUp(peer), QueryResult::GetClosestPeers(done)) => {
                let near = match done {
                    Ok(found) => found.peers,
                    Err(GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                let found = near.into_iter().filter(|near| near.peer_id == peer);
                self.looked_up(peer, found.flat_map(|near| near.addrs).collect());
            }
            _ => {}
        }
    }

    fn on_providers(
        &mut self,
        id: QueryId,
        last: bool,
        mut found: mpsc::Sender<PeerId>,
        mut seen: BTreeSet<PeerId>,
        more: Option<GetProvidersOk>,
    ) {
        let local = *self.swarm.local_peer_id();
        if let Some(GetProvidersOk::FoundProviders { providers, .. }) = more {
            // A hash set's order must not decide whom we ask first.
            for peer in providers.into_iter().collect::<BTreeSet<_>>() {
                let Some(ours) = from_libp2p(&peer).filter(|_| peer != local) else { continue };
                if seen.len() < PROVIDERS && seen.insert(ours) {
                    self.note_addresses(peer);
                    let _ = found.try_send(ours);
                }
            }
        }
        if last {
            return;
        }
        if seen.len() >= PROVIDERS || found.is_closed() {
            if let Some(mut query) = self.swarm.behaviour_mut().kad.query_mut(&id) {
                query.finish();
            }
            return;
        }
        self.dht.queries.insert(id, Query::Providers(found, seen));
    }

    fn on_records(
        &mut self,
        id: QueryId,
        last: bool,
        reply: RecordsReply,
        mut found: Vec<Record>,
        more: Option<GetRecordOk>,
    ) {
        if let Some(GetRecordOk::FoundRecord(peer_record)) = more
            && let Some(key) = key_of(&peer_record.record.key)
        {
            let record = Record { key, value: peer_record.record.value };
            let known = found.iter().any(|other| other.value == record.value);
            match self.check.choose(&record, None) {
                Ok(_) if !known && found.len() < RECORDS => found.push(record),
                Ok(_) => {}
                Err(refused) => tracing::debug!(refused, "a record that is not valid was sent"),
            }
        }
        if last {
            let _ = reply.send(Ok(found));
        } else {
            self.dht.queries.insert(id, Query::Records(reply, found));
        }
    }

    /// Another node wants us to keep something.
    fn on_request(&mut self, request: InboundRequest) {
        match request {
            InboundRequest::PutRecord { source, record: Some(record), .. } => {
                self.on_offered_record(source, record);
            }
            InboundRequest::AddProvider { record: Some(mut record) } => {
                if key_of(&record.key).is_none() || from_libp2p(&record.provider).is_none() {
                    return;
                }
                let (from, over) = (record.provider, self.peers.scope(&record.provider));
                record.addresses.retain(|addr| believable(addr, over));
                record.addresses.truncate(PROVIDER_ADDRESSES);
                let store = self.swarm.behaviour_mut().kad.store_mut();
                store.comes_from(from, self.peers.prefix(&from));
                if let Err(error) = store.add_provider(record) {
                    tracing::debug!(%error, "a provider is not kept");
                }
            }
            _ => {}
        }
    }

    fn on_offered_record(&mut self, source: libp2p::PeerId, offered: kad::Record) {
        let Some(key) = key_of(&offered.key) else { return };
        if offered.value.len() > limits::RECORD_BYTES || !self.may_offer(source) {
            return;
        }
        let store = self.swarm.behaviour_mut().kad.store_mut();
        let held = store.get(&offered.key).map(|held| Record { key, value: held.value.clone() });
        let record = Record { key, value: offered.value.clone() };
        let mut offered = offered;
        // What verified when it came verifies now: sent again it costs no check, and lives on.
        if held.as_ref() != Some(&record) {
            match self.check.choose(&record, held.as_ref()) {
                Ok(RecordChoice::Take) => {}
                Ok(RecordChoice::Prove(proof)) => offered.value = proof,
                Ok(RecordChoice::Keep) => return,
                Err(refused) => {
                    tracing::debug!(%source, refused, "a record was offered that is not valid");
                    self.was_wrong(source);
                    return;
                }
            }
        }
        // Limits count by who sent it; the publisher that a record names is only a claim.
        let offered = kad::Record { publisher: Some(source), ..offered };
        store.comes_from(source, self.peers.prefix(&source));
        if let Err(error) = store.put(offered) {
            tracing::debug!(%source, %error, "a record is not kept");
        }
    }

    /// Adds a server that we are connected to, with what it says of its addresses.
    pub(super) fn add_server(&mut self, peer: libp2p::PeerId, addresses: &[Multiaddr], new: bool) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        for addr in addresses.iter().filter(|addr| addr.len() <= ADDRESS_BYTES) {
            kad.add_address(&peer, addr.clone());
        }
        if new {
            self.server_joined();
        }
    }
}

/// The record held here, if it is another one and as new as `ours` or newer.
fn newer_held(store: &Store, check: &dyn RecordCheck, ours: &Record) -> Option<Record> {
    let held = store.get(&name(ours.key))?;
    let held = Record { key: ours.key, value: held.value.clone() };
    let choice = check.choose(ours, Some(&held));
    let stays = matches!(choice, Ok(RecordChoice::Keep | RecordChoice::Prove(_)));
    let newer = stays && held != *ours;
    newer.then_some(held)
}

/// Stored is what at least one other node took.
fn put_outcome(done: kad::PutRecordResult) -> Result<(), NetError> {
    let failed = match done {
        Ok(_) => return Ok(()),
        Err(
            PutRecordError::QuorumFailed { success, .. } | PutRecordError::Timeout { success, .. },
        ) if !success.is_empty() => return Ok(()),
        Err(PutRecordError::QuorumFailed { .. }) => "no other node took the record",
        Err(PutRecordError::Timeout { .. }) => "no other node took the record in time",
    };
    Err(NetError::Dht(failed.to_owned()))
}
