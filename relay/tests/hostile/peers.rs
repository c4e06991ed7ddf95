//! Peers without manners: floods of records, valid ones and garbage, and of circuits.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use craftec_core::{
    Cid, Codec,
    head::{Head, HeadRecord, SignedHead},
    identity::IdentityLog,
    record::Record as Checked,
    wallet::Wallet,
};
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder,
    kad::{self, Quorum, store::MemoryStore},
    multiaddr::Protocol,
    noise, relay,
    swarm::{
        NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    tcp, yamux,
};
use tokio::runtime::Handle;

use crate::{Load, support::Daemon, up};

/// Peers of each kind.
const PEERS: usize = 4;
/// Valid heads, each offered again and again.
const HEADS: usize = 200;

#[derive(NetworkBehaviour)]
struct Rude {
    relay: relay::client::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
}

fn swarm() -> Swarm<Rude> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key, relay| {
            let local = key.public().to_peer_id();
            let kad = kad::Config::new(StreamProtocol::new("/craftec/kad/1"));
            Rude { relay, kad: kad::Behaviour::with_config(local, MemoryStore::new(local), kad) }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

/// Lets them loose.
pub(crate) fn start(threads: &Handle, node: &Daemon, load: &Arc<Load>) {
    let addr: Multiaddr = node.addr().parse().unwrap();
    let id: PeerId = node.peer_id().parse().unwrap();
    let records = Arc::new(records());
    for n in 0..PEERS {
        let (addr, records, load) = (addr.clone(), records.clone(), load.clone());
        threads.spawn(flood_records(n, addr, id, records, load));
    }
    let (tell, told) = tokio::sync::watch::channel(None);
    threads.spawn(be_called(addr.clone(), tell, load.clone()));
    for _ in 0..PEERS {
        threads.spawn(flood_circuits(addr.clone(), told.clone(), load.clone()));
    }
}

/// Records that verify, and as many that do not.
fn records() -> Vec<kad::Record> {
    let wallet = Wallet::from_entropy([5; 32]);
    let (log, key) = (IdentityLog::incept(&wallet).unwrap(), wallet.identity_key(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let did = log.verify().unwrap().did;
    let valid = (0..HEADS).map(|n| {
        let head = Head {
            v: 1,
            did,
            name: format!("name-{n}"),
            seq: 0,
            root: Cid::of(Codec::Raw, &n.to_be_bytes()),
            prev: None,
            writer: key.public(),
            epoch: 0,
            time_ms: now,
            expires_ms: now + 1_000_000,
        };
        let head = SignedHead::sign(head, &key).unwrap();
        let record = Checked::Head(Box::new(HeadRecord {
            head,
            rival: None,
            settled: None,
            log: log.clone(),
        }));
        kad::Record::new(record.key().to_vec(), record.encode().unwrap())
    });
    let garbage = (0..HEADS).map(|n| kad::Record::new(vec![n as u8; 32], vec![n as u8; 30_000]));
    valid.zip(garbage).flat_map(|(valid, garbage)| [valid, garbage]).collect()
}

async fn flood_records(
    n: usize,
    addr: Multiaddr,
    node: PeerId,
    records: Arc<Vec<kad::Record>>,
    load: Arc<Load>,
) {
    let mut swarm = swarm();
    swarm.dial(addr.clone()).unwrap();
    let mut next = n * 50;
    let mut pace = tokio::time::interval(Duration::from_millis(4));
    let mut again = tokio::time::interval(Duration::from_secs(2));
    let mut connected = false;
    while !load.is_over() {
        tokio::select! {
            event = swarm.select_next_some() => {
                match event {
                    SwarmEvent::ConnectionEstablished { .. } => connected = true,
                    SwarmEvent::ConnectionClosed { .. } => {
                        connected = false;
                        up(&load.shown_out);
                    }
                    _ => {}
                }
            }
            _ = again.tick(), if !connected => drop(swarm.dial(addr.clone())),
            _ = pace.tick(), if connected => {
                let record = records[next % records.len()].clone();
                next += 1;
                up(&load.records);
                let to = std::iter::once(node);
                swarm.behaviour_mut().kad.put_record_to(record, to, Quorum::One);
            }
        }
    }
}

/// Holds a reservation, and answers whoever calls.
async fn be_called(
    addr: Multiaddr,
    tell: tokio::sync::watch::Sender<Option<PeerId>>,
    load: Arc<Load>,
) {
    let mut swarm = swarm();
    swarm.listen_on(addr.with(Protocol::P2pCircuit)).unwrap();
    while !load.is_over() {
        if let SwarmEvent::Behaviour(RudeEvent::Relay(
            relay::client::Event::ReservationReqAccepted { .. },
        )) = swarm.select_next_some().await
        {
            tell.send_replace(Some(*swarm.local_peer_id()));
        }
    }
}

async fn flood_circuits(
    addr: Multiaddr,
    mut told: tokio::sync::watch::Receiver<Option<PeerId>>,
    load: Arc<Load>,
) {
    let mut swarm = swarm();
    let Some(callee) = told.wait_for(Option::is_some).await.ok().and_then(|peer| *peer) else {
        return;
    };
    let circuit = addr.clone().with(Protocol::P2pCircuit).with(Protocol::P2p(callee));
    let mut pace = tokio::time::interval(Duration::from_millis(60));
    while !load.is_over() {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::ConnectionEstablished { peer_id, .. } = event
                    && peer_id == callee
                {
                    up(&load.circuits_stood);
                }
            }
            _ = pace.tick() => {
                let opts = DialOpts::peer_id(callee)
                    .condition(PeerCondition::Always)
                    .addresses(vec![circuit.clone()])
                    .build();
                up(&load.circuits);
                drop(swarm.dial(opts));
            }
        }
    }
}
