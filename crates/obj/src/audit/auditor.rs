//! The asking side: sends what a [`Look`] asks, times and checks what comes back, and keeps what is known
//! of each holder, in memory. It never decides what follows for copies: whoever repairs asks
//! [`Auditor::standing`].

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use craftec_core::PeerId;
use craftec_p2p::{NetError, Rpc};
use craftec_platform::{Clock, Entropy};

use super::{
    draw::{Drawn, Promised},
    look::{Look, Silence, Verdict},
    schedule::Allowance,
    standing::{Record, Standing},
    timing::Usual,
    wire::{Answer, Item, PROTOCOL, Request},
};

/// Time for one answer: a slow link and a busy disk need a second or two.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for one look: a closer one waits for the holder's own limits again and again.
const LOOK_TIME: Duration = Duration::from_secs(15 * 60);
/// How often a busy holder is asked again for one answer.
const BUSY: u32 = 5;
/// How long it may make us wait each time.
const WAIT: Duration = Duration::from_secs(30);
/// Holders remembered, each with some kilobytes; who waits longest for a look, of those that never
/// failed, makes room.
const HOLDERS: usize = 4096;

/// Audits holders. Cloning shares what it knows of them.
#[derive(Clone)]
pub struct Auditor(Rc<Inner>);

struct Inner {
    rpc: Rpc,
    clock: Rc<dyn Clock>,
    entropy: Rc<dyn Entropy>,
    records: RefCell<BTreeMap<PeerId, Record>>,
    allowance: RefCell<Allowance>,
    running: RefCell<BTreeSet<PeerId>>,
}

/// Ends a look that is under way, however it ends.
struct Running<'a>(&'a Inner, PeerId);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.borrow_mut().remove(&self.1);
    }
}

impl Auditor {
    /// An auditor that asks over `rpc` and knows nobody yet.
    pub fn new(rpc: Rpc, clock: Rc<dyn Clock>, entropy: Rc<dyn Entropy>) -> Self {
        let (records, allowance, running) = Default::default();
        Self(Rc::new(Inner { rpc, clock, entropy, records, allowance, running }))
    }

    /// Asks `holder` for as many chunks of `blocks` as are due now: none, if nothing is due, if another
    /// look at it is under way, or if it is evicted. `blocks` are *all* that it promised and that is
    /// known here, of every object; a caller that can't have so many in memory gives a random part,
    /// drawn anew each time and by length. Takes a second or two, minutes after a failure.
    pub async fn audit(&self, holder: PeerId, blocks: &[Promised]) -> Verdict {
        let inner = &*self.0;
        if !inner.running.borrow_mut().insert(holder) {
            return Verdict::idle(self.standing(&holder));
        }
        let _running = Running(inner, holder);
        let (began, mut streaming) = (inner.clock.monotonic(), false);
        let mut look = inner.with(holder, |record, now_ms| Look::new(blocks, record, now_ms));
        while let Some(asked) = inner.with(holder, |record, now_ms| {
            look.next(record, now_ms, &mut || inner.entropy.next_u64())
        }) {
            let now = inner.clock.monotonic();
            let affordable = inner.allowance.borrow_mut().take(asked.len(), now);
            if !affordable || now.saturating_sub(began) > LOOK_TIME {
                look.unasked(&asked);
                break;
            }
            match inner.ask(holder, &asked).await {
                Ok((items, took)) => inner.with(holder, |record, now_ms| {
                    // Before the first answer a stream is opened, perhaps a connection.
                    let late = streaming && record.timing.is_late(took);
                    look.answered(record, now_ms, &asked, &items, late);
                    streaming = true;
                }),
                Err(silence) => {
                    look.silence(&asked, silence);
                    streaming = false;
                }
            }
        }
        let verdict = inner.with(holder, |record, now_ms| look.end(record, now_ms));
        if !verdict.failed.is_empty() {
            tracing::warn!(%holder, failed = ?verdict.failed, standing = ?verdict.standing, "a holder failed");
        }
        verdict
    }

    /// Of `holders`, the one whose look is due first; those that failed lately come before others.
    /// Holders not known yet are known from now on.
    pub fn next(&self, holders: impl IntoIterator<Item = PeerId>) -> Option<PeerId> {
        let inner = &*self.0;
        let waiting = holders.into_iter().filter_map(|holder| {
            let since = inner.with(holder, |record, now_ms| record.waits_since_ms(now_ms));
            let running = inner.running.borrow().contains(&holder);
            since.filter(|_| !running).map(|since_ms| (since_ms, holder))
        });
        waiting.min().map(|(_, holder)| holder)
    }

    /// What a holder is worth, by its answers so far.
    pub fn standing(&self, holder: &PeerId) -> Standing {
        let now_ms = self.0.clock.now().0;
        let records = self.0.records.borrow();
        records.get(holder).map_or(Standing::Sound, |record| record.standing(now_ms))
    }

    /// What a holder's answers usually take, once there were some.
    pub fn usual(&self, holder: &PeerId) -> Option<Usual> {
        self.0.records.borrow().get(holder).and_then(|record| record.timing.usual())
    }
}

impl Inner {
    /// Does `work` on what is known of `holder`.
    fn with<T>(&self, holder: PeerId, work: impl FnOnce(&mut Record, u64) -> T) -> T {
        let now_ms = self.clock.now().0;
        let mut records = self.records.borrow_mut();
        if !records.contains_key(&holder) && records.len() >= HOLDERS {
            let rank = |record: &Record| {
                let sound = record.standing(now_ms) == Standing::Sound;
                (!sound, record.waits_since_ms(now_ms).unwrap_or(u64::MAX))
            };
            let least = records.iter().min_by_key(|(_, record)| rank(record)).map(|(id, _)| *id);
            least.map(|id| records.remove(&id));
        }
        let unknown = || Record::new(now_ms, self.entropy.next_u64());
        work(records.entry(holder).or_insert_with(unknown), now_ms)
    }

    /// Asks once, and again while the holder is busy; how long the last try took.
    async fn ask(&self, holder: PeerId, asked: &[Drawn]) -> Result<(Vec<Item>, Duration), Silence> {
        let challenges = asked.iter().map(|drawn| drawn.challenge).collect();
        let body = Bytes::from(Request { challenges }.encode().unwrap_or_default());
        for _ in 0..BUSY {
            let sent = self.clock.monotonic();
            let answer = self.rpc.request(holder, PROTOCOL, body.clone(), PATIENCE).await;
            let took = self.clock.monotonic().saturating_sub(sent);
            let answer = answer.map_err(|error| self.silence(holder, &error))?;
            match Answer::decode(&answer, asked.len()) {
                Ok(Answer::Proofs(items)) => return Ok((items, took)),
                Ok(Answer::Busy(ms)) => {
                    let wait = Duration::from_millis(ms.into()).min(WAIT);
                    // It never means "at once", and the others get their turn.
                    self.clock.sleep(wait.max(Duration::from_millis(10))).await;
                }
                Ok(Answer::Refused(reason)) => {
                    tracing::debug!(%holder, reason, "an audit was refused");
                    return Err(Silence::There);
                }
                Err(error) => {
                    tracing::debug!(%holder, %error, "an audit was not answered");
                    return Err(Silence::There);
                }
            }
        }
        Err(Silence::There)
    }

    /// Whether a peer that did not answer is there none the less.
    fn silence(&self, holder: PeerId, error: &NetError) -> Silence {
        let connected = || self.rpc.network().peers().iter().any(|info| info.peer == holder);
        match error {
            NetError::Timeout { .. } | NetError::Unsupported { .. } | NetError::Protocol { .. }
                if connected() =>
            {
                Silence::There
            }
            _ => Silence::Away,
        }
    }
}
