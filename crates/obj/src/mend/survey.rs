//! Asking the holders of a file what they have of it: those known and those that the DHT names at the
//! same time, and then whoever these know. Tabs that lost their last relay have no DHT: there, whoever is
//! connected is asked, when nobody is known or some of the known are away.
//!
//! Some holders were killed a moment ago, and it would take many seconds to be sure of each. So a survey
//! doesn't wait for all: when nobody has said anything for a while, those that still owe an answer count
//! as away, which costs nothing if it is wrong, since they are asked again in the next turn.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use craftec_core::{Cid, PeerId};
use craftec_p2p::{PeerInfo, Role};
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};

use super::{
    Inner,
    care::{Answers, Care},
};
use crate::{
    exchange::{Told, provider_key},
    replicate::place,
};

/// Holders asked in one survey, and how many at one time.
const HOLDERS: usize = 128;
const AT_ONCE: usize = 32;
/// How long providers are looked for.
const SEARCH: Duration = Duration::from_secs(3);
/// Who still owes an answer when nothing was heard for so long is away. A busy tab at the other end of
/// the world, to which a link must be made first, takes less.
const PATIENCE: Duration = Duration::from_secs(2);

type Asked = LocalBoxFuture<'static, (PeerId, Option<Told>)>;

/// Who is to be asked, who was, and what they said.
#[derive(Default)]
struct Survey {
    seen: BTreeSet<PeerId>,
    waiting: VecDeque<PeerId>,
    owing: BTreeSet<PeerId>,
    answers: Answers,
    /// The DHT named somebody.
    named: bool,
    /// Holders are missing: nobody is known, or some of the known are away.
    missing: bool,
    /// Whoever is connected was asked.
    near: bool,
}

impl Survey {
    /// Somebody who may have something.
    fn add(&mut self, peer: PeerId) {
        if self.seen.len() < HOLDERS && self.seen.insert(peer) {
            self.waiting.push_back(peer);
        }
    }

    fn nobody_answered(&self) -> bool {
        self.answers.iter().all(|(.., told)| told.is_none())
    }

    /// Asks `connected` too, once, where the DHT named nobody and holders are missing.
    fn look_near(&mut self, connected: &[PeerInfo]) {
        if self.missing && !self.named && !std::mem::replace(&mut self.near, true) {
            let nodes = connected.iter().filter(|info| info.role != Role::Foreign);
            nodes.for_each(|info| self.add(info.peer));
        }
    }

    /// Takes those that owe an answer for silent.
    fn give_up(&mut self) {
        let owing = std::mem::take(&mut self.owing);
        self.missing |= !owing.is_empty();
        self.answers.extend(owing.into_iter().map(|peer| (peer, None, None)));
    }
}

impl Inner {
    /// What each peer that may be a holder has; `None` from those that said nothing.
    pub(super) async fn ask_holders(&self, object: Cid, slot: u64) -> Answers {
        let network = self.rpc.network();
        let me = network.local_peer();
        let mut survey = Survey { seen: BTreeSet::from([me]), ..Survey::default() };
        let (known, in_sight) = {
            let cares = self.cares.borrow();
            let care = cares.get(&object);
            let in_sight = care.is_some_and(|care| care.has_all_in_sight(&me));
            (care.map(Care::peers).unwrap_or_default(), in_sight)
        };
        survey.missing = !in_sight;
        known.into_iter().for_each(|peer| survey.add(peer));
        let connected = network.peers();
        let infos = connected.iter();
        let places: BTreeMap<PeerId, String> =
            infos.filter_map(|info| Some((info.peer, place(&info.addr)?))).collect();
        let mut found = network.providers(provider_key(&object)).fuse();
        let mut search = self.clock.sleep(SEARCH).fuse();
        let mut searching = true;
        let mut quiet = self.clock.sleep(PATIENCE).fuse();
        let mut asks: FuturesUnordered<Asked> = FuturesUnordered::new();
        loop {
            if !searching {
                survey.look_near(&connected);
            }
            while let Some(peer) = survey.waiting.pop_front_if(|_| asks.len() < AT_ONCE) {
                survey.owing.insert(peer);
                let exchange = self.objects.exchange().clone();
                asks.push(Box::pin(async move {
                    (peer, exchange.ask_shards(peer, object, slot).await)
                }));
            }
            if asks.is_empty() && !searching {
                return survey.answers;
            }
            futures::select_biased! {
                (peer, told) = asks.select_next_some() => {
                    survey.owing.remove(&peer);
                    let others = told.iter().flat_map(|told| &told.others);
                    others.for_each(|other| survey.add(*other));
                    survey.answers.push((peer, places.get(&peer).cloned(), told));
                    quiet = self.clock.sleep(PATIENCE).fuse();
                }
                peer = found.next() => match peer {
                    Some(peer) => {
                        survey.named |= peer != me;
                        survey.add(peer);
                    }
                    None => searching = false,
                },
                () = search => searching = false,
                () = quiet => {
                    // The rest may be asked yet, when all that were are silent.
                    asks.clear();
                    survey.give_up();
                    searching &= survey.nobody_answered();
                    quiet = self.clock.sleep(PATIENCE).fuse();
                }
            }
        }
    }
}
