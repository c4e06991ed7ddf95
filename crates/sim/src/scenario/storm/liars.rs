//! Peers that are no nodes of ours: one promises copies and withholds them, one forges heads and
//! offers old ones, one contradicts itself, one floods. (Nodes that send wrong bytes and nodes that
//! keep the DHT wrongly are real ones, whose words are bent by the fabric.)

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use craftec_core::{
    Cid, Codec, PeerId, TransportKey, cbor,
    head::{Head, HeadError, HeadRecord, SignedHead, head_key, label},
    identity::IdentityLog,
    placement::{Promise, SignedPromise},
    record::Record as Signed,
    wallet::Wallet,
};
use craftec_obj::{
    exchange::{
        provider_key,
        wire::{self as exchange, Answer, Blocks, Have, Request, Want},
    },
    replicate::{
        TERM_MS,
        wire::{self as hold, Ask, Hold, Told},
    },
};
use craftec_p2p::{Key, Record, Role, Rpc, SharedNetwork};
use craftec_platform::{Clock, sim::SimClock};
use futures::{
    AsyncWriteExt, FutureExt, StreamExt,
    future::{join_all, select_all},
    stream,
};

use super::world::{Shared, World};
use crate::{ClusterError, Joined};

/// Peers of this module.
pub(super) const FOREIGN: usize = 4;
/// Nodes to which each of them connects.
const LINKS: usize = 8;
/// Requests of one flood, and streams of noise beside them.
const FLOOD: usize = 120;
const NOISE: usize = 12;
/// Old records that the forger remembers.
const REMEMBERED: usize = 64;

const SECOND: Duration = Duration::from_secs(1);

/// The liars of one world.
pub(super) struct Liars {
    world: Shared,
    withholder: Liar,
    forger: Liar,
    flooder: Liar,
    contradiction: [Record; 2],
}

#[derive(Clone)]
struct Liar {
    network: SharedNetwork,
    rpc: Rpc,
    clock: SimClock,
    key: TransportKey,
}

/// Lets the liars in.
pub(super) async fn start(world: &Shared) -> Result<Liars, ClusterError> {
    let size = world.size;
    let honest = size.honest();
    for index in honest..honest + size.bent {
        world.cluster.fabric().bend(world.cluster.peer(index)?, true);
    }
    for index in honest + size.bent..honest + size.bent + size.warped {
        world.cluster.fabric().warp(world.cluster.peer(index)?, true);
    }
    let mut liars = Vec::new();
    for _ in 0..FOREIGN {
        liars.push(world.liar().await);
    }
    let [withholder, forger, flooder, _contradictor] =
        <[Liar; FOREIGN]>::try_from(liars).map_err(|_| ClusterError::Down(0))?;
    withholder.withhold(world);
    let (contradiction, label) = world.contradiction()?;
    world.state.borrow_mut().contradicted = Some(label);
    Ok(Liars { world: world.clone(), withholder, forger, flooder, contradiction })
}

impl Liars {
    /// Everything that they do, for ever.
    pub(super) async fn act(&self, world: &Shared) {
        let forging = self.forger.forge(world);
        let flooding = self.flooder.flood(world);
        let contradicting = async {
            world.cluster.sleep(15 * SECOND).await;
            self.contradict(world);
            std::future::pending::<()>().await;
        };
        let linking = async {
            loop {
                world.cluster.sleep(10 * SECOND).await;
                join_all([&self.withholder, &self.forger, &self.flooder].map(|l| l.link(world)))
                    .await;
            }
        };
        let acts: [futures::future::LocalBoxFuture<'_, ()>; 4] = [
            forging.boxed_local(),
            flooding.boxed_local(),
            contradicting.boxed_local(),
            linking.boxed_local(),
        ];
        select_all(acts).await;
    }

    /// Gives one half of the DHT one head, and the other half the other with the same number.
    pub(super) fn contradict(&self, world: &Shared) {
        debug_assert!(Rc::ptr_eq(world, &self.world));
        for index in 0..world.size.relays {
            let Ok(peer) = world.cluster.peer(index) else { continue };
            let record = &self.contradiction[index % 2];
            if let Err(reason) = world.cluster.fabric().offer(&peer, record) {
                world.fail(format!("a valid head is refused by {index}: {reason}"));
            }
        }
    }
}

impl World {
    async fn liar(&self) -> Liar {
        let key = TransportKey::from_seed(self.bytes());
        let check = self.cluster.record_check();
        // It keeps nothing of the DHT, so that what is there is there because nodes keep it.
        let joined = Joined { peer: key.peer_id(), role: Role::Tab, check };
        let network: SharedNetwork = Rc::new(self.cluster.fabric().join(joined));
        let clock = self.cluster.foreign_clock();
        let rpc = Rpc::new(network.clone(), Rc::new(clock.clone()));
        let liar = Liar { network, rpc, clock, key };
        liar.link(self).await;
        liar
    }

    /// Two heads of one name with one number, and the name's label.
    fn contradiction(&self) -> Result<([Record; 2], String), ClusterError> {
        let wallet = Wallet::from_entropy(self.bytes());
        let made = || {
            let log = IdentityLog::incept(&wallet).map_err(HeadError::from)?;
            let did = log.verify().map_err(HeadError::from)?.did;
            let (key, name) = (wallet.identity_key(0), "news".to_owned());
            let now_ms = self.cluster.clock().now().0;
            let head = |root: &[u8]| Head {
                v: 1,
                did,
                name: name.clone(),
                seq: 0,
                root: Cid::of(Codec::Raw, root),
                prev: None,
                writer: key.public(),
                epoch: 0,
                time_ms: now_ms,
                expires_ms: now_ms + TERM_MS,
            };
            let record = |root: &[u8]| {
                let head = SignedHead::sign(head(root), &key)?;
                let record = HeadRecord { head, rival: None, settled: None, log: log.clone() };
                let value = Signed::Head(Box::new(record)).encode();
                value.map(|value| Record { key: Key(head_key(&did, &name)), value })
            };
            Ok::<_, craftec_core::record::RecordError>(([record(b"a")?, record(b"b")?], did, name))
        };
        let (records, did, name) = made().map_err(|_| ClusterError::Down(0))?;
        Ok((records, label(&did, &name)))
    }
}

impl Liar {
    /// Connects to some who are there.
    async fn link(&self, world: &World) {
        let links = world.cluster.fabric().links(&self.network.local_peer());
        for _ in links..LINKS {
            let Some(index) = world.awake() else { return };
            let Ok(address) = world.cluster.address(index) else { continue };
            // It failed: another time.
            let _ = self.network.connect(&address).await;
        }
    }

    /// Signs for every copy at once, says that it has everything, and never gives anything.
    fn withhold(&self, world: &Shared) {
        let (key, clock, network) = (self.key.clone(), self.clock.clone(), self.network.clone());
        let weak = Rc::downgrade(world);
        let promise = move |_: PeerId, _: u16, body: Bytes| {
            let told = match cbor::decode(&body, hold::ASK_BYTES) {
                Ok(Ask::Hold(hold)) => {
                    if let Some(world) = weak.upgrade() {
                        world.count("empty_promises");
                    }
                    let provide = network.provide(provider_key(&hold.root));
                    clock.spawn(async move { drop(provide.await) }.boxed_local());
                    signed(&key, &hold, clock.now().0)
                }
                Ok(Ask::Release(_)) => Some(Told::Released),
                Err(_) => None,
            };
            let told = told.and_then(|told| cbor::encode(&told).ok()).map(Bytes::from);
            stream::iter(told).boxed_local()
        };
        self.rpc.serve_subscriptions(hold::PROTOCOL, Rc::new(promise));
        let clock = self.clock.clone();
        let answer = move |_: PeerId, _: u16, body: Bytes| {
            let clock = clock.clone();
            let answer = async move {
                let answer = match cbor::decode(&body, exchange::REQUEST_BYTES) {
                    Ok(Request::Have(have)) => {
                        Answer::Held(exchange::bits(have.cids.iter().map(|_| true)))
                    }
                    Ok(Request::Want(want)) => withheld(&clock, &want).await,
                    Err(_) => Answer::Busy(1_000),
                };
                Bytes::from(cbor::encode(&answer).unwrap_or_default())
            };
            answer.boxed_local()
        };
        self.rpc.serve(exchange::PROTOCOL, Rc::new(answer));
    }

    /// Takes the heads of honest names and offers them changed, signed by somebody else, and old.
    async fn forge(&self, world: &World) {
        let mut old: Vec<Record> = Vec::new();
        loop {
            world.cluster.sleep(world.between(3 * SECOND, 9 * SECOND)).await;
            let name = world.below(world.size.names);
            let label = world.state.borrow().names.get(name).and_then(|name| name.label.clone());
            let key = label.as_deref().and_then(craftec_core::head::key_of_label);
            let Some(key) = key else { continue };
            let Ok(found) = self.network.records(Key(key)).await else { continue };
            for record in found {
                for forged in [self.changed(world, &record), self.usurped(&record)] {
                    let Some(forged) = forged else { continue };
                    offer_everywhere(world, &forged, true);
                }
                if old.len() < REMEMBERED && !old.contains(&record) {
                    old.push(record);
                }
            }
            if let Some(record) = old.get(world.below(old.len())) {
                offer_everywhere(world, record, false);
            }
        }
    }

    /// A bit of it is another.
    fn changed(&self, world: &World, record: &Record) -> Option<Record> {
        let mut changed = record.clone();
        let at = world.below(changed.value.len());
        *changed.value.get_mut(at)? ^= 1 << world.below(8);
        Some(changed)
    }

    /// Newer than the real one, and signed by the liar.
    fn usurped(&self, record: &Record) -> Option<Record> {
        let Signed::Head(mut head) =
            cbor::decode(&record.value, craftec_core::limits::RECORD_BYTES).ok()?
        else {
            return None;
        };
        let key = craftec_core::sign::SecretKey::from_seed(*self.key.seed());
        let mut newer = head.head.head.clone();
        newer.prev = Some(head.head.hash().ok()?);
        newer.seq += 1;
        newer.root = Cid::of(Codec::Raw, b"forged");
        head.head = SignedHead::sign(newer, &key).ok()?;
        let value = Signed::Head(head).encode().ok()?;
        Some(Record { key: record.key, value })
    }

    /// Now and then a burst at one node: requests, noise, and copies of what does not exist.
    async fn flood(&self, world: &World) {
        loop {
            world.cluster.sleep(world.between(10 * SECOND, 30 * SECOND)).await;
            let Some(victim) = world.awake() else { continue };
            let Ok(peer) = world.cluster.peer(victim) else { continue };
            world.count("floods");
            let cid = |n: usize| Cid::of(Codec::Raw, &(n as u64).to_be_bytes());
            let requests = (0..FLOOD).map(|n| {
                let cids = vec![cid(n); 1 + n % 4];
                let request = match n % 2 {
                    0 => Request::Have(Have { cids }),
                    _ => Request::Want(Want { root: cid(n), cids, budget: u64::MAX }),
                };
                let body = cbor::encode(&request).unwrap_or_default();
                async move {
                    drop(self.rpc.request(peer, exchange::PROTOCOL, body, 10 * SECOND).await);
                }
            });
            let noise = (0..NOISE).map(|n| {
                let mut bytes = vec![0; 1 + n * 97];
                craftec_platform::Entropy::fill(world.cluster.dice(), &mut bytes);
                async move {
                    let protocol = if n % 2 == 0 { exchange::PROTOCOL } else { hold::PROTOCOL };
                    if let Ok(mut stream) = self.network.open(peer, protocol).await {
                        let _ = stream.write_all(&bytes).await;
                        world.cluster.sleep(5 * SECOND).await;
                    }
                }
            });
            let holds = (0..4).map(|n| {
                let did = craftec_core::Did(craftec_core::sign::Hash([n as u8; 32]));
                let root = cid(1_000_000 + n);
                let ask =
                    Hold { root, bytes: 1 << 20, blocks: 9, owner: did, epoch: 1, heads: vec![] };
                let body = cbor::encode(&Ask::Hold(ask)).unwrap_or_default();
                let mut told = self.rpc.subscribe(peer, hold::PROTOCOL, body);
                async move { while told.next().await.is_some_and(|told| told.is_ok()) {} }
            });
            super::both(
                async { drop(join_all(requests).await) },
                super::both(async { drop(join_all(noise).await) }, async {
                    drop(join_all(holds).await)
                }),
            )
            .await;
        }
    }
}

fn signed(key: &TransportKey, hold: &Hold, now_ms: u64) -> Option<Told> {
    let promise = Promise {
        v: 1,
        root: hold.root,
        bytes: hold.bytes,
        owner: hold.owner,
        epoch: hold.epoch,
        holder: key.peer_id(),
        until_ms: now_ms + TERM_MS,
    };
    SignedPromise::sign(promise, key).ok().map(Told::Signed)
}

/// What it says instead of giving blocks: that they are not here after all, that it is busy, or
/// nothing for a long time.
async fn withheld(clock: &SimClock, want: &Want) -> Answer {
    let missing = (0..want.cids.len()).filter_map(|at| u16::try_from(at).ok()).collect();
    match want.root.hash()[0] % 3 {
        0 => Answer::Busy(1_000),
        1 => {
            clock.sleep(60 * SECOND).await;
            Answer::Refused("later".to_owned())
        }
        _ => Answer::Blocks(Blocks { blocks: Vec::new(), missing }),
    }
}

/// Offers a record to every honest node that keeps the DHT; nobody may take a forged one.
fn offer_everywhere(world: &World, record: &Record, forged: bool) {
    for index in 0..world.size.relays {
        let Ok(peer) = world.cluster.peer(index) else { continue };
        let taken = world.cluster.fabric().offer(&peer, record).is_ok();
        match (forged, taken) {
            (true, true) => world.fail(format!("node {index} took a forged head")),
            (true, false) => world.count("forgeries"),
            (false, _) => world.count("old_heads"),
        }
    }
}
