//! The [`Network`](crate::Network) port over libp2p: one behaviour and one driver for every target.
//!
//! | module | knows |
//! |---|---|
//! | `behaviour` | which protocols run, with which settings |
//! | `driver` | the event loop; owns all state |
//! | `dialing`, `book` | how a peer that is not connected is reached |
//! | `relays` | staying connected to relays, with a reservation |
//! | `reach`, `autonat` | whether others can dial us, and what follows |
//! | `guarded` | what peers may make us dial |
//! | `hints` | what the layers above know better: addresses, links to keep, a machine that woke up |
//! | `bans` | whom we want nothing to do with for a while |
//! | `peers` | connections, best links, what others are told of them |
//! | `dht`, `store` | records and providers, ours and others' |
//! | `bounds` | the limits in force, and how fast records are offered |
//! | `streams` | byte streams on a chosen connection |
//! | `handle`, `shared` | what callers on other threads see |
//!
//! # A target
//!
//! brings [`Parts`]: its transports (boxed, upgraded, the relay client's included), a
//! [`libp2p::swarm::Config`] with its executor, [`Settings`], and in `extra` a behaviour of its own
//! (an `Extra`). [`Driver::new`] gives a [`Handle`], which is the
//! `Network`, and the driver, whose `run()` the target spawns:
//!
//! ```text
//! let (relay_transport, relay_client) = relay::client::new(local);
//! let parts = Parts {
//!     key,
//!     transport,                                       // direct, then relayed, boxed
//!     relay_client,
//!     extra: upgrade::Behaviour::new(),                // dials `…/p2p-circuit/webrtc` by itself
//!     swarm: libp2p::swarm::Config::with_wasm_executor(),
//!     settings: Settings {
//!         agent: "craftec/0.1.0 (tab)".into(),
//!         listen: vec![],                              // circuits are listened on by themselves
//!         external: vec![],
//!         relays,                                      // stays connected, holds reservations
//!         reserve: true,
//!         server: false,                               // a tab is a client of the DHT
//!         check,
//!     },
//! };
//! let (handle, driver) = Driver::new(parts)?;
//! wasm_bindgen_futures::spawn_local(driver.run());
//! ```
//!
//! The driver sees connections of any transport: an address with `/webrtc` in it counts as
//! [`Link::WebRtc`](crate::Link), new streams go over it at once, and the relayed connection beside
//! it is closed some seconds later, when its streams have ended. A target's behaviour therefore
//! only has to make the direct connection. It may also add listeners through its transport; `listen`
//! takes any address that the transport understands.

mod address;
#[cfg(not(target_arch = "wasm32"))]
mod autonat;
mod bans;
mod behaviour;
mod book;
mod bounds;
mod dht;
mod dialing;
mod driver;
#[cfg(not(target_arch = "wasm32"))]
mod guarded;
mod handle;
mod hints;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod memory_tests;
mod peers;
mod reach;
mod relays;
mod shared;
mod store;
mod streams;

pub(crate) use address::parse;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use address::{from_libp2p, is_circuit};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use autonat::{Server as AutonatServer, server as autonat_server};
pub(crate) use behaviour::Settings;
pub(crate) use driver::{Driver, Parts};
pub use handle::Handle;
pub(crate) use reach::Extra;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use {autonat::Client as AutonatClient, guarded::Guarded};
