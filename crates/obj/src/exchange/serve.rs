//! The serving side: answers wants from what is here, within the asker's budget and our limits.
//! It never fetches anything on behalf of an asker.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use craftec_core::{PeerId, cbor, limits};

use super::{
    Shared,
    budget::Verdict,
    wire::{self, ANSWER_BYTES, Answer, Blocks, Item, PROTOCOL, REQUEST_BYTES, Request, Want},
};

const STOPPING: &str = "this node is stopping";
const OVER: &str = "this node has sent all that it may this month";

/// Answers requests from now on.
pub(super) fn start(shared: &Rc<Shared>) {
    let weak = Rc::downgrade(shared);
    let handler = move |peer: PeerId, _version: u16, body: Bytes| {
        let answer = match weak.upgrade() {
            Some(shared) => shared.answer(peer, &body),
            None => Answer::Refused(STOPPING.to_owned()),
        };
        let bytes = answer.encode().unwrap_or_default();
        let future: futures::future::LocalBoxFuture<'static, Bytes> =
            Box::pin(std::future::ready(Bytes::from(bytes)));
        future
    };
    shared.rpc.serve(PROTOCOL, Rc::new(handler));
}

impl Shared {
    fn answer(&self, peer: PeerId, body: &[u8]) -> Answer {
        if self.stopped.get() {
            return Answer::Refused(STOPPING.to_owned());
        }
        let asked = self.standing.borrow_mut().asked(peer, self.clock.monotonic());
        if let Err(wait) = asked {
            return busy(wait);
        }
        let request: Request = match cbor::decode(body, REQUEST_BYTES) {
            Ok(request) => request,
            Err(error) => return Answer::Refused(error.to_string()),
        };
        if let Err(error) = request.check() {
            return Answer::Refused(error.to_string());
        }
        match request {
            Request::Want(want) => self.send(peer, &want),
            Request::Have(have) => {
                let held = have
                    .cids
                    .iter()
                    .map(|cid| !self.is_denied(cid) && self.has(cid).unwrap_or(false));
                Answer::Held(wire::bits(held))
            }
        }
    }

    /// Why nobody gets anything now, if that is so.
    pub(super) fn refuses(&self) -> Option<&'static str> {
        if self.stopped.get() {
            return Some(STOPPING);
        }
        let verdict = self.budget.borrow_mut().ask(self.clock.monotonic(), self.clock.now().0);
        (verdict == Verdict::Over).then_some(OVER)
    }

    /// Sends what is here, as far as the person at this node allows.
    fn send(&self, peer: PeerId, want: &Want) -> Answer {
        let (now, now_ms) = (self.clock.monotonic(), self.clock.now().0);
        let favoured = self.favoured.borrow().contains_key(&peer);
        let most = match self.budget.borrow_mut().ask(now, now_ms) {
            Verdict::Go(most) => most,
            _ if favoured => ANSWER_BYTES as u64,
            Verdict::Wait(wait) => return busy(wait),
            Verdict::Over => return Answer::Refused(OVER.to_owned()),
        };
        let ledger = self.ledger().filter(|_| !favoured);
        if let (Some(ledger), Some(rate)) = (&ledger, self.budget.borrow().short())
            && let Err(wait) = ledger.may_send(peer, rate)
        {
            return busy(wait);
        }
        let most = if favoured { ANSWER_BYTES as u64 } else { most };
        let blocks = self.collect(want, most);
        let sent = blocks.blocks.iter().map(|item| item.bytes.len()).sum();
        self.count(peer, 0, sent);
        if let Some(ledger) = ledger {
            ledger.sent(peer, sent as u64);
        }
        match favoured {
            true => self.budget.borrow_mut().count(sent as u64, now_ms),
            false => self.budget.borrow_mut().spend(sent as u64, now_ms),
        }
        Answer::Blocks(blocks)
    }

    fn collect(&self, want: &Want, most: u64) -> Blocks {
        let budget = want.budget.min(most).min(ANSWER_BYTES as u64);
        let mut blocks = Blocks::default();
        let mut spent = 0;
        for (at, cid) in want.cids.iter().enumerate() {
            let at = at as u16;
            let length = self.len_of(cid).ok().flatten().filter(|_| !self.is_denied(cid));
            let Some(bytes) = length else {
                blocks.missing.push(at);
                continue;
            };
            if !blocks.blocks.is_empty() && spent + bytes > budget {
                break;
            }
            match self.local(cid) {
                Ok(Some(block)) => {
                    spent += bytes;
                    blocks.blocks.push(Item { at, bytes: block.into_bytes() });
                }
                Ok(None) => blocks.missing.push(at),
                Err(error) => {
                    tracing::warn!(%error, %cid, "a block could not be read for a peer");
                    blocks.missing.push(at);
                }
            }
        }
        blocks
    }
}

fn busy(wait: Duration) -> Answer {
    Answer::Busy(wait.as_millis().try_into().unwrap_or(u32::MAX))
}

/// One block of the largest size always fits an answer.
const _: () = assert!(limits::BLOCK_BYTES <= ANSWER_BYTES);
