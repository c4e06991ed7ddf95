//! Audits between real nodes and holders that lie, over the simulated network. Every test prints the
//! figure that it checks.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{Cid, Codec, PeerId, TransportKey};
use craftec_obj::{
    AuditServer, Auditor, Block, Exchange, Store,
    audit::{
        Promised, Standing, Verdict,
        proof::Proof,
        wire::{Answer, CHALLENGES, Challenge, Item, PROTOCOL, Request},
    },
    exchange::ServeLimits,
    feed::Feed,
};
use craftec_p2p::{Handler, Role, Rpc, SharedNetwork};
use craftec_platform::{
    Clock,
    sim::{Damage, SimDisk, SimEntropy},
};
use craftec_sim::{Cluster, ClusterError, Joined, Weather};

const LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const BLOCK_BYTES: usize = 64 << 10;
/// The real node of each world.
const NODE: usize = 0;

/// 20 to 40 ms between any two, and nothing is lost.
const AFAR: Weather = Weather {
    delay_least: Duration::from_millis(20),
    delay_most: Duration::from_millis(40),
    jitter: Duration::from_millis(3),
    ..Weather::CALM
};

/// What `count` blocks promised by somebody are.
fn blocks(count: u32, bytes: usize) -> Vec<Block> {
    let block = |n: u32| {
        let mut content = vec![0; bytes];
        blake3::Hasher::new().update(&n.to_be_bytes()).finalize_xof().fill(&mut content);
        Block::of(Codec::Raw, content).unwrap()
    };
    (0..count).map(block).collect()
}

fn promised(blocks: &[Block]) -> Vec<Promised> {
    let promised = |block: &Block| Promised { cid: *block.cid(), bytes: Some(block.len() as u32) };
    blocks.iter().map(promised).collect()
}

/// Somebody who is no node of the cluster.
fn stranger(cluster: &Cluster, number: u8) -> (PeerId, Rpc) {
    let peer = TransportKey::from_seed([number; 32]).peer_id();
    let joined = Joined { peer, role: Role::Tab, check: cluster.record_check() };
    let network: SharedNetwork = Rc::new(cluster.fabric().join(joined));
    (peer, Rpc::new(network, Rc::new(cluster.foreign_clock())))
}

fn auditor(cluster: &Cluster, seed: u64) -> Auditor {
    let (_, rpc) = stranger(cluster, 200);
    let entropy = Rc::new(SimEntropy::stream(seed, 77));
    Auditor::new(rpc, Rc::new(cluster.foreign_clock()), entropy)
}

/// Sums of looks, and the hour in which the holder was evicted.
#[derive(Debug, Default)]
struct Sum {
    asked: u32,
    passed: u32,
    failed: usize,
    late: u32,
    answers: u32,
    evicted_hour: Option<u64>,
}

impl Sum {
    fn add(&mut self, verdict: &Verdict) {
        self.asked += verdict.asked;
        self.passed += verdict.passed;
        self.failed += verdict.failed.len();
        self.late += verdict.late;
        self.answers += verdict.answers;
    }
}

/// Audits one holder whenever that is due, until it is evicted or the time is over.
async fn watch(
    cluster: &Cluster,
    auditor: &Auditor,
    holder: PeerId,
    promised: &[Promised],
    hours: u64,
) -> Sum {
    let mut sum = Sum::default();
    for quarter in 1..=4 * hours {
        cluster.sleep(HOUR / 4).await;
        if auditor.next([holder]).is_none() {
            continue;
        }
        let verdict = auditor.audit(holder, promised).await;
        sum.add(&verdict);
        if matches!(verdict.standing, Standing::Evicted { .. }) {
            sum.evicted_hour = Some(quarter.div_ceil(4));
            break;
        }
    }
    sum
}

/// Serves audits by `answer`, which may take its time.
fn answer_by<F: Future<Output = Vec<Item>> + 'static>(
    rpc: &Rpc,
    answer: impl Fn(Vec<Challenge>) -> F + 'static,
) {
    let answer = Rc::new(answer);
    let handler: Handler = Rc::new(move |_, _, body| {
        let answer = answer.clone();
        Box::pin(async move {
            let request = Request::decode(&body).unwrap();
            let items = answer(request.challenges).await;
            Bytes::from(Answer::Proofs(items).encode().unwrap())
        })
    });
    rpc.serve(PROTOCOL, handler);
}

fn prove(blocks: &BTreeMap<Cid, Block>, challenge: &Challenge) -> Item {
    match blocks.get(&challenge.cid) {
        Some(block) => Item::Proof(Proof::make(block, challenge.chunk)),
        None => Item::Missing,
    }
}

/// A real node that holds `blocks`, and its store.
async fn holder(cluster: &Cluster, blocks: &[Block]) -> Result<(PeerId, Store), ClusterError> {
    cluster.start(1, Role::Relay).await?;
    let store = cluster.store(NODE)?;
    store.put(blocks).unwrap();
    Ok((cluster.peer(NODE)?, store))
}

fn world<T, F>(seed: u64, weather: Weather, scenario: impl FnOnce(Cluster) -> F) -> T
where
    T: 'static,
    F: Future<Output = Result<T, ClusterError>> + 'static,
{
    Cluster::run(seed, weather, LIMIT, scenario).unwrap()
}

#[test]
fn a_node_that_keeps_its_promise_passes_and_one_that_deletes_a_hundredth_is_evicted() {
    let deleted = |seed| {
        world(seed, AFAR, move |cluster| async move {
            let blocks = blocks(300, BLOCK_BYTES);
            let promised = promised(&blocks);
            let (peer, store) = holder(&cluster, &blocks).await?;
            let auditor = auditor(&cluster, seed);
            let honest = watch(&cluster, &auditor, peer, &promised, 24).await;
            let before = cluster.fabric().trace().bytes();
            let away = [*blocks[7].cid(), *blocks[133].cid(), *blocks[250].cid()];
            store.delete(&away).unwrap();
            let liar = watch(&cluster, &auditor, peer, &promised, 24).await;
            let bytes = cluster.fabric().trace().bytes() - before;
            Ok((honest, liar, bytes))
        })
    };
    for seed in 0..5 {
        let (honest, liar, bytes) = deleted(seed);
        println!("seed {seed}: honest {honest:?}");
        println!("seed {seed}: without 1% {liar:?}, {bytes} bytes on the wire");
        assert_eq!((honest.failed, honest.evicted_hour), (0, None));
        assert_eq!(honest.passed, honest.asked);
        assert!((700..=780).contains(&honest.passed) && honest.late == 0, "{honest:?}");
        assert!(liar.evicted_hour.is_some_and(|hour| hour <= 24), "{liar:?}");
    }
}

/// It answers honestly for three days, keeps all its answers, deletes the rest, and answers with what
/// it kept: the very chunk if it has it, and another one of that block otherwise.
#[test]
fn a_holder_that_answers_from_a_cache_is_evicted_in_the_next_look() {
    let (before, after, hits) = world(1, AFAR, |cluster| async move {
        let blocks = blocks(300, BLOCK_BYTES);
        let promised = promised(&blocks);
        let (peer, rpc) = stranger(&cluster, 1);
        let disk: BTreeMap<Cid, Block> = blocks.into_iter().map(|b| (*b.cid(), b)).collect();
        let disk = Rc::new(RefCell::new(disk));
        let cache: Rc<RefCell<BTreeMap<Challenge, Item>>> = Rc::default();
        let hits = Rc::new(Cell::new((0, 0)));
        let (theirs, kept, counted) = (disk.clone(), cache.clone(), hits.clone());
        answer_by(&rpc, move |challenges| {
            let answer = |challenge: &Challenge| {
                let disk = theirs.borrow();
                if !disk.is_empty() {
                    let item = prove(&disk, challenge);
                    kept.borrow_mut().insert(*challenge, item.clone());
                    return item;
                }
                let kept = kept.borrow();
                let (hit, all) = counted.get();
                counted.set((hit + u32::from(kept.contains_key(challenge)), all + 1));
                let of_block = Challenge { chunk: 0, ..*challenge }..;
                let other = || kept.range(of_block).find(|(key, _)| key.cid == challenge.cid);
                let found = kept.get(challenge).or_else(|| other().map(|(_, item)| item));
                found.cloned().unwrap_or(Item::Missing)
            };
            std::future::ready(challenges.iter().map(answer).collect())
        });
        let auditor = auditor(&cluster, 1);
        let before = watch(&cluster, &auditor, peer, &promised, 3 * 24).await;
        disk.borrow_mut().clear();
        let after = watch(&cluster, &auditor, peer, &promised, 24).await;
        Ok((before, after, hits.get()))
    });
    println!("three days honest: {before:?}");
    println!("then from the cache, which had {} of {} questions: {after:?}", hits.0, hits.1);
    assert_eq!((before.failed, before.evicted_hour), (0, None));
    assert!(after.evicted_hour.is_some_and(|hour| hour <= 2), "{after:?}");
    assert!(after.asked < 40, "{after:?}");
}

/// What a holder fetches from its partner when it is asked for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fetches {
    /// One block of fifty; it has the others.
    Fiftieth,
    /// Everything.
    All,
}

/// A day of a holder that fetches from a partner, and a day after the partner is gone.
fn collusion(weather: Weather, fetches: Fetches) -> (Sum, Sum) {
    world(2, weather, move |cluster| async move {
        let blocks = blocks(300, BLOCK_BYTES);
        let promised = promised(&blocks);
        let (partner, _) = holder(&cluster, &blocks).await?;
        let (proxy, rpc) = stranger(&cluster, 2);
        let has = |n: &usize| fetches == Fetches::Fiftieth && !n.is_multiple_of(50);
        let own = blocks.iter().enumerate().filter(|(n, _)| has(n));
        let own: Rc<BTreeMap<Cid, Block>> =
            Rc::new(own.map(|(_, block)| (*block.cid(), block.clone())).collect());
        let to_partner = rpc.clone();
        answer_by(&rpc, move |challenges| {
            let (own, rpc) = (own.clone(), to_partner.clone());
            async move {
                let (mut items, mut there) = (Vec::new(), true);
                for challenge in challenges {
                    let mut item = prove(&own, &challenge);
                    // One question unanswered, and it doesn't wait for a dead partner again.
                    if item == Item::Missing && there {
                        (item, there) = fetch(&rpc, partner, challenge).await;
                    }
                    items.push(item);
                }
                items
            }
        });
        let auditor = auditor(&cluster, 2);
        let together = watch(&cluster, &auditor, proxy, &promised, 24).await;
        cluster.crash(NODE, Damage::Kept);
        let alone = watch(&cluster, &auditor, proxy, &promised, 24).await;
        Ok((together, alone))
    })
}

async fn ask(rpc: &Rpc, peer: PeerId, challenges: Vec<Challenge>) -> Option<Answer> {
    let asked = challenges.len();
    let body = Request { challenges }.encode().unwrap();
    let answer = rpc.request(peer, PROTOCOL, body, Duration::from_secs(1)).await.ok()?;
    Answer::decode(&answer, asked).ok()
}

/// What a partner says, and whether it said anything.
async fn fetch(rpc: &Rpc, partner: PeerId, challenge: Challenge) -> (Item, bool) {
    match ask(rpc, partner, vec![challenge]).await {
        Some(Answer::Proofs(mut items)) => (items.remove(0), true),
        Some(_) => (Item::Missing, true),
        None => (Item::Missing, false),
    }
}

#[test]
fn a_holder_that_fetches_from_a_partner_is_late_and_falls_with_it() {
    let (together, alone) = collusion(AFAR, Fetches::Fiftieth);
    println!("2% fetched from 20 to 40 ms away: {together:?}");
    println!("the partner is gone: {alone:?}");
    // Possession is to be able to answer: that it does. But late.
    assert_eq!((together.failed, together.evicted_hour), (0, None));
    assert!(together.late > 0 && together.late * 20 < together.answers * 3, "{together:?}");
    assert!(alone.evicted_hour.is_some_and(|hour| hour <= 24), "{alone:?}");

    // Frankly: who fetches everything, or from next door, is not late.
    let (together, alone) = collusion(AFAR, Fetches::All);
    println!("everything fetched from 20 to 40 ms away: {together:?}");
    println!("the partner is gone: {alone:?}");
    assert_eq!((together.failed, together.evicted_hour), (0, None));
    assert!(together.late * 50 < together.answers, "{together:?}");
    // Both copies were one, and are lost together.
    assert!(alone.evicted_hour.is_some_and(|hour| hour <= 24) && alone.passed == 0, "{alone:?}");
    println!("evicted in hour {:?} after {} questions", alone.evicted_hour, alone.asked);
    let (together, _) = collusion(Weather::CALM, Fetches::Fiftieth);
    println!("2% fetched from next door: {together:?}");
    assert_eq!((together.failed, together.late), (0, 0));
}

/// A minute of floods: bytes hashed by the flooded node, answers to an honest auditor meanwhile, and
/// requests that were told to wait.
fn flood(flooders: u8) -> (u64, Verdict, u64) {
    world(3, Weather::CALM, move |cluster| async move {
        let blocks = blocks(40, 1 << 20);
        let promised = promised(&blocks);
        let (node, _) = holder(&cluster, &blocks).await?;
        let auditor = auditor(&cluster, 3);
        // Its first look is due at some time within an hour.
        auditor.next([node]);
        cluster.sleep(HOUR).await;
        let begun = cluster.clock().monotonic();
        let over = begun + Duration::from_secs(60);
        for number in 0..flooders {
            let (_, rpc) = stranger(&cluster, 1 + number);
            // Each with several requests on their way at any time.
            for _ in 0..4 {
                let rpc = rpc.clone();
                let (clock, blocks) = (cluster.foreign_clock(), promised.clone());
                let work = clock.clone();
                clock.spawn(Box::pin(async move {
                    let challenge = |n: usize| {
                        let cid = blocks[n % blocks.len()].cid;
                        Challenge { cid, chunk: n as u32 }
                    };
                    let body = Request { challenges: (0..CHALLENGES).map(challenge).collect() };
                    let body = Bytes::from(body.encode().unwrap());
                    while work.monotonic() < over {
                        let patience = Duration::from_secs(5);
                        let _ = rpc.request(node, PROTOCOL, body.clone(), patience).await;
                        // Forty requests a second of each, of which one a second can be granted.
                        work.sleep(Duration::from_millis(100)).await;
                    }
                }));
            }
        }
        cluster.sleep(Duration::from_secs(30)).await;
        let verdict = auditor.audit(node, &promised).await;
        let now = cluster.clock().monotonic();
        cluster.sleep(over.saturating_sub(now)).await;
        let served = cluster.audits(NODE)?;
        Ok((served.hashed_bytes, verdict, served.busy))
    })
}

#[test]
fn a_flood_of_challenges_costs_a_mebibyte_a_second() {
    const MIB: u64 = 1 << 20;
    let (one, verdict, busy) = flood(1);
    println!("one flooder: {} MiB hashed in 60 s, {busy} told to wait; {verdict:?}", one / MIB);
    // 16 at once and one a second, beside what the honest auditor asked for, a mebibyte each.
    assert!(one - u64::from(verdict.passed) * MIB <= (16 + 61) * MIB, "{one}");
    assert!(verdict.passed >= 32 && verdict.unanswered == 0, "{verdict:?}");
    assert!(busy > 1000);
    let (many, verdict, busy) = flood(20);
    println!("20 flooders: {} MiB hashed in 60 s, {busy} told to wait; {verdict:?}", many / MIB);
    // 32 at once, 4 a second, and what the last request overdrew, beside what the honest one asked for.
    assert!(many - u64::from(verdict.passed) * MIB <= (32 + 4 * 61 + 16) * MIB, "{many}");
    // The honest auditor waits, and nobody is failed for it.
    assert_eq!(verdict.failed.len(), 0, "{verdict:?}");
}

#[test]
fn what_others_are_not_to_get_is_not_proved_and_proofs_are_counted() {
    world(4, Weather::CALM, |cluster| async move {
        let blocks = blocks(2, 5000);
        let (peer, rpc) = stranger(&cluster, 1);
        let store = Store::open(&SimDisk::new()).await.unwrap();
        store.put(&blocks).unwrap();
        let clock: Rc<dyn Clock> = Rc::new(cluster.foreign_clock());
        let exchange = Exchange::start(rpc.clone(), clock.clone(), store.clone(), Feed::default());
        let audits = AuditServer::start(&rpc, exchange.clone(), clock);
        let (_, asker) = stranger(&cluster, 2);
        let cids = [*blocks[0].cid(), *blocks[1].cid()];
        let both = || ask(&asker, peer, cids.map(|cid| Challenge { cid, chunk: 3 }).to_vec());
        let kinds = |answer: Option<Answer>| match answer {
            Some(Answer::Proofs(items)) => {
                items.iter().map(|item| *item != Item::Missing).collect()
            }
            Some(Answer::Refused(_)) => Vec::new(),
            other => panic!("{other:?}"),
        };
        assert_eq!(kinds(both().await), [true, true]);
        let served = audits.served();
        assert_eq!((served.proofs, served.hashed_bytes), (2, 10_000));
        assert_eq!(exchange.sent().bytes, served.sent_bytes);
        store.delete(&cids[1..]).unwrap();
        assert_eq!(kinds(both().await), [true, false]);
        exchange.deny(Rc::new(move |cid| *cid == cids[0]));
        assert_eq!(kinds(both().await), [false, false]);
        exchange.limit_serving(ServeLimits { rate: None, monthly: Some(1) });
        assert_eq!(kinds(both().await), Vec::<bool>::new());
        Ok(())
    });
}
