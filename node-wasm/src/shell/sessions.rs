//! The sessions of one node, by number, with their limits.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
    time::Duration,
};

use craftec_core::Cid;
use craftec_node::{Access, Node};
use craftec_platform::Clock;
use futures::future::{AbortHandle, abortable};
use web_sys::MessagePort;

use super::port::{self, Served};
use crate::{SiteRights, SiteSession, evicted};

/// One session.
struct Open {
    task: AbortHandle,
    port: MessagePort,
    /// Of a site: what it reads, and when it last asked something.
    site: Option<(Cid, Rc<Cell<Duration>>)>,
}

/// All sessions.
pub(super) struct Sessions {
    node: Rc<Node>,
    clock: Rc<dyn Clock>,
    open: RefCell<BTreeMap<u32, Open>>,
    last: Cell<u32>,
}

impl Sessions {
    pub(super) fn new(node: Rc<Node>, clock: Rc<dyn Clock>) -> Rc<Self> {
        Rc::new(Self { node, clock, open: RefCell::default(), last: Cell::default() })
    }

    /// Serves `port` until it says goodbye or is detached.
    pub(super) fn attach(
        self: &Rc<Self>,
        port: MessagePort,
        access: Access,
        rights: Option<SiteRights>,
    ) -> u32 {
        if let Some(rights) = rights {
            self.make_room(&rights.root());
        }
        let id = self.last.get().wrapping_add(1);
        self.last.set(id);
        let used = Rc::new(Cell::new(self.clock.monotonic()));
        let served = Served {
            port: port.clone(),
            session: self.node.session_with(access),
            rights,
            clock: self.clock.clone(),
            used: used.clone(),
        };
        let (task, abort) = abortable(port::serve(served));
        let site = rights.map(|rights| (rights.root(), used));
        self.open.borrow_mut().insert(id, Open { task: abort, port, site });
        let all: Weak<Self> = Rc::downgrade(self);
        self.clock.spawn(Box::pin(async move {
            let _aborted = task.await;
            if let Some(all) = all.upgrade() {
                all.detach(id);
            }
        }));
        id
    }

    /// Ends a session and tells its client.
    pub(super) fn detach(&self, id: u32) {
        let open = self.open.borrow_mut().remove(&id);
        if let Some(Open { task, port, .. }) = open {
            port::say(&port, port::BYE);
            port.set_onmessage(None);
            port.close();
            task.abort();
        }
    }

    /// Ends them all.
    pub(super) fn detach_all(&self) {
        let all: Vec<u32> = self.open.borrow().keys().copied().collect();
        all.into_iter().for_each(|id| self.detach(id));
    }

    /// A site whose session goes asks for a new port when it needs one.
    fn make_room(&self, root: &Cid) {
        let session = |(id, open): (&u32, &Open)| {
            let (root, used) = open.site.as_ref()?;
            Some(SiteSession { id: *id, root: *root, used: used.get() })
        };
        let open: Vec<SiteSession> = self.open.borrow().iter().filter_map(session).collect();
        if let Some(id) = evicted(&open, root) {
            self.detach(id);
        }
    }
}
