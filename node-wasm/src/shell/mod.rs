//! The browser's side: what JavaScript calls. Composes ports, store, network and node, and hands
//! ports to sessions. Holds no state but the sessions.

mod config;
mod failure;
mod port;
mod sessions;

use std::{rc::Rc, time::Duration};

use craftec_api::Role;
use craftec_core::Cid;
use craftec_node::{Access, Config, Keys, Node, Ports, record_check};
use craftec_obj::Store;
use craftec_p2p::tab::{self, TabConfig};
use craftec_platform::{
    Clock,
    tab::{OpfsFolder, TabClock, WebEntropy},
};
use js_sys::{Function, Promise};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::future_to_promise;
use web_sys::MessagePort;

use self::{config::StartConfig, failure::Failure, sessions::Sessions};
use crate::SiteRights;

/// A node in this worker.
#[wasm_bindgen]
pub struct TabNode {
    node: Rc<Node>,
    sessions: Rc<Sessions>,
}

#[wasm_bindgen]
impl TabNode {
    /// Starts a node: `config` is `{ relays, folder?, lendBytes?, mendSeconds?, agent?, rtc? }`,
    /// `page` leads to the SDK's `serveRtc`, and `panicked` is called with a message when the node
    /// can't go on, or is to be started anew. Fails with `{ code, message, hint, retryable }`.
    pub async fn start(
        config: JsValue,
        page: MessagePort,
        panicked: Function,
    ) -> Result<TabNode, JsValue> {
        failure::on_panic(panicked.clone());
        let node = start(StartConfig::read(&config)?, page).await.map_err(JsValue::from)?;
        let clock = Rc::new(TabClock::new());
        let restarting = node.restarting();
        clock.spawn(Box::pin(async move {
            if restarting.await.is_ok() {
                // As after a panic, the page ends this worker and starts a fresh one.
                let why = JsValue::from_str("the node starts again with another identity");
                let _told = panicked.call1(&JsValue::NULL, &why);
            }
        }));
        Ok(Self { sessions: Sessions::new(node.clone(), clock), node })
    }

    /// Serves a session of this origin over `port`; returns its number, for [`TabNode::detach`].
    pub fn attach(&self, port: MessagePort) -> u32 {
        self.sessions.attach(port, Access::Local, None)
    }

    /// Serves a session that reads below `root` and nothing else.
    pub fn attach_site(&self, port: MessagePort, root: &str) -> Result<u32, JsValue> {
        let root: Cid = root.parse().map_err(|error| JsValue::from(Failure::input(error)))?;
        Ok(self.sessions.attach(port, Access::Remote, Some(SiteRights::new(root))))
    }

    /// Ends a session; nothing happens if it ended already.
    pub fn detach(&self, session: u32) {
        self.sessions.detach(session);
    }

    /// Ends all sessions and the node.
    pub fn stop(&self) -> Promise {
        self.sessions.detach_all();
        let node = self.node.clone();
        future_to_promise(async move {
            node.stop().await;
            Ok(JsValue::UNDEFINED)
        })
    }
}

async fn start(config: StartConfig, page: MessagePort) -> Result<Rc<Node>, Failure> {
    let folder = Rc::new(OpfsFolder::open(&config.folder).await?);
    let store = Store::open(folder.as_ref()).await?;
    let entropy = Rc::new(WebEntropy);
    let keys = Keys::load_or_create(&store, entropy.as_ref())?;
    let clock = TabClock::new();
    let mut settings = Config::new(Role::Tab);
    settings.folder = Some(folder);
    settings.lend_limit = config.lend_bytes;
    settings.mend_slot = config.mend_seconds.map(Duration::from_secs);
    if let Some(agent) = config.agent {
        settings.agent = agent;
    }
    let now = clock.clone();
    let network = tab::start(TabConfig {
        key: keys.transport().clone(),
        page,
        relays: config.relays,
        agent: format!("{} (tab)", settings.agent),
        check: record_check(move || now.now()),
        ice: config.rtc,
    })?;
    let ports = Ports { network: Rc::new(network), clock: Rc::new(clock), entropy };
    Ok(Node::start(ports, store, keys, settings).await?)
}
