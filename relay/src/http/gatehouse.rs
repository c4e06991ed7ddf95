//! Who may hold an HTTP connection and have a request under way: a place for each, by prefix and in
//! all. When places run out the idle go first, oldest first, so that clients that send a byte at a
//! time or nothing at all make room for those that ask.
//!
//! It knows no path and reads no byte.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use craftec_p2p::{Limits, Prefix, native::Denials};
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::edge::{EdgeCounters, HttpLimits, HttpRefusal};

/// Places of one node, over all of its listeners. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Gatehouse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: usize,
    limits: HttpLimits,
    network: Limits,
    denials: Denials,
    counters: Arc<EdgeCounters>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: BTreeMap<u64, Guest>,
    prefixes: BTreeMap<Prefix, Share>,
    requests: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    connections: usize,
    requests: usize,
}

#[derive(Debug)]
struct Guest {
    prefix: Option<Prefix>,
    /// Counts up whenever it goes idle: the smallest has been idle the longest.
    idle_since: u64,
    busy: usize,
    leave: CancellationToken,
}

impl Gatehouse {
    /// Room for `connections` in all.
    pub(crate) fn new(
        connections: usize,
        limits: HttpLimits,
        network: Limits,
        denials: Denials,
        counters: Arc<EdgeCounters>,
    ) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { connections, limits, network, denials, counters, state }))
    }

    /// What it counts.
    pub(super) fn counters(&self) -> &EdgeCounters {
        &self.0.counters
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse<T>(&self, why: HttpRefusal) -> Option<T> {
        self.0.counters.refused(why);
        None
    }

    /// A place for a new connection. It may cost another one its own.
    pub(super) fn enter(&self, ip: IpAddr) -> Option<Ticket> {
        if self.0.denials.now().0.has_ip(ip) {
            return self.refuse(HttpRefusal::Denied);
        }
        let prefix = Some(Prefix::of(ip)).filter(|prefix| self.0.network.counts(*prefix));
        let mut state = self.lock();
        let share = prefix.map_or(0, |prefix| state.share(prefix).connections);
        let most = usize::try_from(self.0.limits.http_connections_per_prefix).unwrap_or(usize::MAX);
        if share >= most {
            // Its own neighbours make room, nobody else.
            match state.idlest(|guest| guest.prefix == prefix) {
                Some(id) => self.shed(&mut state, id),
                None => return self.refuse(HttpRefusal::Prefix),
            }
        } else if state.open.len() >= self.0.connections {
            match state.idlest(|_| true) {
                Some(id) => self.shed(&mut state, id),
                None => return self.refuse(HttpRefusal::Total),
            }
        }
        state.next += 1;
        let (id, leave) = (state.next, CancellationToken::new());
        let guest = Guest { prefix, idle_since: id, busy: 0, leave: leave.clone() };
        state.open.insert(id, guest);
        if let Some(prefix) = prefix {
            state.prefixes.entry(prefix).or_default().connections += 1;
        }
        self.0.counters.connections.up();
        Some(Ticket { gatehouse: self.clone(), id, leave })
    }

    fn shed(&self, state: &mut State, id: u64) {
        self.0.counters.refused(HttpRefusal::Shed);
        if let Some(guest) = self.remove(state, id) {
            guest.leave.cancel();
        }
    }

    /// Its place is free at once; its task ends a little later.
    fn remove(&self, state: &mut State, id: u64) -> Option<Guest> {
        let guest = state.open.remove(&id)?;
        if let Some(prefix) = guest.prefix {
            state.change(prefix, |share| share.connections = share.connections.saturating_sub(1));
        }
        self.0.counters.connections.down();
        Some(guest)
    }
}

impl State {
    fn share(&self, prefix: Prefix) -> Share {
        self.prefixes.get(&prefix).copied().unwrap_or_default()
    }

    fn change(&mut self, prefix: Prefix, change: impl FnOnce(&mut Share)) {
        let share = self.prefixes.entry(prefix).or_default();
        change(share);
        if (share.connections, share.requests) == (0, 0) {
            self.prefixes.remove(&prefix);
        }
    }

    fn idlest(&self, of: impl Fn(&Guest) -> bool) -> Option<u64> {
        let idle = self.open.iter().filter(|(_, guest)| guest.busy == 0 && of(guest));
        idle.min_by_key(|(_, guest)| guest.idle_since).map(|(id, _)| *id)
    }
}

/// A connection's place until dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    gatehouse: Gatehouse,
    id: u64,
    leave: CancellationToken,
}

impl Ticket {
    /// Completes when others need the place.
    pub(super) async fn leave(&self) {
        self.leave.cancelled().await;
    }

    /// A place for one request on this connection; `None` when too many are under way.
    pub(super) fn request(&self) -> Option<Busy> {
        let inner = &self.gatehouse.0;
        let mut state = self.gatehouse.lock();
        let prefix = state.open.get(&self.id).and_then(|guest| guest.prefix);
        let of_prefix = prefix.map_or(0, |prefix| state.share(prefix).requests);
        let most = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        if state.requests >= most(inner.limits.http_requests)
            || of_prefix >= most(inner.limits.http_requests_per_prefix)
        {
            return None;
        }
        state.requests += 1;
        inner.counters.requests.set(state.requests as u64);
        if let Some(prefix) = prefix {
            state.change(prefix, |share| share.requests += 1);
        }
        if let Some(guest) = state.open.get_mut(&self.id) {
            guest.busy += 1;
        }
        Some(Busy { gatehouse: self.gatehouse.clone(), id: self.id, prefix })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.gatehouse.lock();
        self.gatehouse.remove(&mut state, self.id);
    }
}

/// A request's place until dropped.
#[derive(Debug)]
pub(super) struct Busy {
    gatehouse: Gatehouse,
    id: u64,
    prefix: Option<Prefix>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.gatehouse.lock();
        state.requests = state.requests.saturating_sub(1);
        self.gatehouse.0.counters.requests.set(state.requests as u64);
        if let Some(prefix) = self.prefix {
            state.change(prefix, |share| share.requests = share.requests.saturating_sub(1));
        }
        state.next += 1;
        let now = state.next;
        if let Some(guest) = state.open.get_mut(&self.id) {
            (guest.busy, guest.idle_since) = (guest.busy.saturating_sub(1), now);
        }
    }
}

/// A body that keeps its request's place until the last byte went out.
pub(super) struct Held {
    body: Body,
    _busy: Busy,
}

impl Held {
    pub(super) fn body(body: Body, busy: Busy) -> Body {
        Body::new(Self { body, _busy: busy })
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(connections: usize) -> Gatehouse {
        let limits = HttpLimits {
            http_connections_per_prefix: 3,
            http_requests_per_prefix: 2,
            http_requests: 3,
            ..HttpLimits::default()
        };
        let denials = Denials::default();
        let mut denied = craftec_p2p::native::Denied::default();
        denied.add_block("192.0.2.0/24".parse().unwrap());
        denials.replace(denied);
        Gatehouse::new(connections, limits, Limits::default(), denials, Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn refusals(house: &Gatehouse) -> Vec<u64> {
        HttpRefusal::ALL.iter().map(|why| house.0.counters.refusals(*why)).collect()
    }

    #[test]
    fn the_idle_make_room_oldest_first_and_the_busy_stay() {
        let house = house(3);
        let here = ip("127.0.0.1");
        let [first, second, third] = [(); 3].map(|()| house.enter(here).unwrap());
        // The first asked something since: the second has been idle the longest.
        drop(first.request().unwrap());
        let fourth = house.enter(here).unwrap();
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        let busy: Vec<_> =
            [&first, &third, &fourth].iter().map(|ticket| ticket.request().unwrap()).collect();
        assert!(house.enter(here).is_none(), "all of them are busy");
        drop(busy);
        assert!(house.enter(here).is_some());
        drop((first, second, third, fourth));
        assert_eq!(house.0.counters.connections.now(), 0);
        assert_eq!(house.lock().open.len(), 0);
        let [.., busy, content] = refusals(&house)[..] else { panic!() };
        assert_eq!((busy, content), (0, 0));
    }

    #[test]
    fn a_prefix_makes_room_among_its_own() {
        let house = house(100);
        let mut street: Vec<_> =
            (1..=3).map(|n| house.enter(ip(&format!("9.9.9.{n}"))).unwrap()).collect();
        let other = house.enter(ip("8.8.8.8")).unwrap();
        street.push(house.enter(ip("9.9.9.4")).unwrap());
        assert!(street[0].leave.is_cancelled() && !other.leave.is_cancelled());
        let busy: Vec<_> = street[1..].iter().filter_map(Ticket::request).collect();
        assert_eq!(busy.len(), 2, "two requests for one street");
        let elsewhere = other.request();
        assert!(elsewhere.is_some());
        assert!(other.request().is_none(), "three in all");
        drop((busy, elsewhere));
        assert_eq!(house.lock().requests, 0);
        assert!(house.enter(ip("192.0.2.7")).is_none(), "denied");
        drop((street, other));
        assert!(house.lock().prefixes.is_empty());
        assert_eq!(refusals(&house)[0], 1);
    }
}
