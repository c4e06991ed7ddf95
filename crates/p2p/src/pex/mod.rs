//! Peer exchange (`/craftec/pex/1`): nodes tell each other whom they are connected to, and each keeps
//! some direct links beyond what its relays introduce.
//!
//! What is told is first-hand: peers that the answerer is connected to at the moment, at addresses
//! that they named themselves over that connection. What is heard is a hint: it is believed as far as
//! the teller can know it, dialed a little at a time, and counts only when the handshake proves who
//! is there. Nothing here moves content.

mod mesh;
mod serve;
pub mod wire;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use craftec_core::PeerId;
use craftec_platform::{Clock, Entropy, timeout};
use futures::{
    FutureExt, StreamExt,
    channel::mpsc,
    future::{Either, select},
};

use crate::{NetEvent, Reachability, Role, Rpc, SharedNetwork};
use mesh::{Mesh, Step};
use serve::Served;
use wire::{Answer, Ask, PEERS, PROTOCOL};

/// How long news gathers before it is acted upon: a start brings several at once.
const GATHER: Duration = Duration::from_millis(400);
/// How often a node looks around that wants more links.
const LOOK: Duration = Duration::from_secs(3);
/// How often one looks around that has enough.
const REST: Duration = Duration::from_secs(60);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a dial may take: a circuit, and the question over it.
const DIAL: Duration = Duration::from_secs(20);

struct Inner {
    rpc: Rpc,
    clock: Rc<dyn Clock>,
    entropy: Rc<dyn Entropy>,
    role: Role,
    mesh: RefCell<Mesh>,
    served: RefCell<Served>,
    /// Wakes the loop; one place is enough.
    nudge: RefCell<mpsc::Sender<()>>,
    ended: Cell<bool>,
}

/// Answers others from now on, until the network is shut down, and keeps links to peers of the same
/// `role`: always in a tab; on a native node while it cannot be dialed (who can be dialed is found
/// by others).
pub fn start(rpc: &Rpc, clock: Rc<dyn Clock>, entropy: Rc<dyn Entropy>, role: Role) {
    let (nudge, nudged) = mpsc::channel(1);
    let local = rpc.network().local_peer();
    let inner = Rc::new(Inner {
        rpc: rpc.clone(),
        clock,
        entropy,
        role,
        mesh: RefCell::new(Mesh::new(local, role)),
        served: RefCell::default(),
        nudge: RefCell::new(nudge),
        ended: Cell::new(false),
    });
    serve::start(&inner);
    inner.follow();
    let looking = inner.clone();
    inner.clock.spawn(Box::pin(async move { looking.look(nudged).await }));
}

impl Inner {
    fn network(&self) -> &SharedNetwork {
        self.rpc.network()
    }

    fn wake(&self) {
        // A full channel is awake already.
        let _ = self.nudge.borrow_mut().try_send(());
    }

    /// Whether this node looks for links of its own.
    fn seeks(&self) -> bool {
        self.role == Role::Tab || self.network().reach().state == Reachability::Nat
    }

    /// Follows who comes and goes.
    fn follow(self: &Rc<Self>) {
        let (weak, mut events) = (Rc::downgrade(self), self.network().events());
        self.clock.spawn(Box::pin(async move {
            while let Some(event) = events.next().await {
                let Some(inner) = weak.upgrade() else { return };
                match event {
                    NetEvent::Connected(_) | NetEvent::Changed(_) => inner.wake(),
                    NetEvent::Disconnected(peer) => {
                        let (now, chance) = (inner.clock.monotonic(), inner.entropy.next_u64());
                        inner.mesh.borrow_mut().lost(peer, now, chance);
                        inner.wake();
                    }
                    NetEvent::Addresses(_) => {}
                }
            }
            if let Some(inner) = weak.upgrade() {
                inner.ended.set(true);
                inner.wake();
            }
        }));
    }

    async fn look(self: Rc<Self>, mut nudged: mpsc::Receiver<()>) {
        let mut alone = true;
        while !self.ended.get() {
            if self.seeks() {
                let connected = self.network().peers();
                // Back after everybody was gone: what failed meanwhile says nothing.
                if std::mem::replace(&mut alone, connected.is_empty()) && !alone {
                    self.mesh.borrow_mut().resume();
                }
                let (now, chance) = (self.clock.monotonic(), self.entropy.next_u64());
                let steps = self.mesh.borrow_mut().steps(&connected, now, chance);
                steps.into_iter().for_each(|step| self.take(step));
            }
            let content = !self.seeks() || self.mesh.borrow().is_content();
            let pause = self.clock.sleep(if content { REST } else { LOOK });
            if let Either::Right(_) = select(pause, nudged.next()).await {
                self.clock.sleep(GATHER).await;
            }
        }
    }

    fn take(self: &Rc<Self>, step: Step) {
        match step {
            Step::Keep(peer, keep) => self.network().keep(peer, keep),
            Step::Ask(peer) => {
                let inner = self.clone();
                let asking = async move {
                    inner.ask(peer, ANSWER).await;
                    inner.wake();
                };
                self.clock.spawn(asking.boxed_local());
            }
            Step::Dial(peer) => {
                let inner = self.clone();
                let dialing = async move {
                    let reached = inner.ask(peer, DIAL).await;
                    let (now, chance) = (inner.clock.monotonic(), inner.entropy.next_u64());
                    inner.mesh.borrow_mut().dialed(peer, reached, now, chance);
                    inner.wake();
                };
                self.clock.spawn(dialing.boxed_local());
            }
        }
    }

    /// Asks a peer for others, connecting to it first where that is needed; whether it was reached.
    async fn ask(&self, peer: PeerId, limit: Duration) -> bool {
        let Ok(ask) = (Ask { count: PEERS as u8 }).encode() else { return false };
        let asking = self.rpc.request(peer, PROTOCOL, ask, limit);
        let answer = match timeout(&*self.clock, limit, asking).await {
            Ok(Ok(answer)) => answer,
            // Reached, but it speaks no peer exchange.
            Ok(Err(crate::NetError::Unsupported { .. })) => return true,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "not asked for peers");
                return false;
            }
            Err(_) => return false,
        };
        match Answer::decode(&answer) {
            Ok(answer) => self.heard(peer, answer),
            Err(error) => tracing::debug!(%peer, %error, "its answer is not peer exchange"),
        }
        true
    }

    fn heard(&self, teller: PeerId, answer: Answer) {
        let local = self.network().local_peer();
        let mut mesh = self.mesh.borrow_mut();
        let wait = Duration::from_millis(answer.wait_ms.into());
        mesh.told_to_wait(teller, self.clock.monotonic() + wait.min(Duration::from_secs(600)));
        for told in answer.peers {
            if told.id != local && told.id != teller {
                mesh.heard_of(told.id);
                self.network().learn(teller, told.id, told.addrs);
            }
        }
    }
}
