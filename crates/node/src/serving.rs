//! How much this node sends to others: what a person set, else what the configuration says, else the
//! default of its role; and what was sent this month.
//!
//! On disk, namespace `Node`, both canonical DAG-CBOR of at most [`RECORD_BYTES`]: key `serve`, value
//! [`Chosen`]; key `sent`, value [`SentRecord`], written every [`KEEP`] while it grows and when the
//! node stops, so that a crash forgets a minute of sending at most.

use std::{cell::Cell, rc::Rc, time::Duration};

use craftec_api::{Limit, Role, Serving as Shown};
use craftec_core::cbor;
use craftec_obj::{
    Exchange, Store, StoreError,
    exchange::{Sent, ServeLimits, month},
    store::Meta,
};
use craftec_platform::Clock;
use serde::{Deserialize, Serialize};

use crate::Config;

/// Key of what a person set.
pub(crate) const SERVE: &str = "serve";
/// Key of the counter.
const SENT: &str = "sent";
/// Largest of both records.
const RECORD_BYTES: usize = 128;
/// How often the counter is made durable while it grows.
const KEEP: Duration = Duration::from_secs(60);
/// What a tab sends at most unless a person says otherwise: 16 Mbit/s, about half of a common home
/// line's way up.
const TAB_RATE: u64 = 2_000_000;
/// The same per month: a small part of what home lines are sold with.
const TAB_MONTHLY: u64 = 20_000_000_000;

/// What a person set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chosen {
    /// Version of this structure: 1.
    v: u8,
    rate: Limit,
    monthly: Limit,
}

impl Chosen {
    pub(crate) const fn new(rate: Limit, monthly: Limit) -> Self {
        Self { v: 1, rate, monthly }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let chosen: Self = cbor::decode(bytes, RECORD_BYTES)?;
        known(chosen.v)?;
        Ok(chosen)
    }
}

/// What was sent in a month.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct SentRecord {
    /// Version of this structure: 1.
    v: u8,
    /// Months since January 1970 (UTC).
    month: u64,
    /// Block bytes.
    bytes: u64,
}

fn known(v: u8) -> Result<(), StoreError> {
    match v {
        1 => Ok(()),
        v => Err(StoreError::Newer { found: v.into(), known: 1 }),
    }
}

/// The limits of sending, and the counter.
pub(crate) struct Serving {
    store: Store,
    exchange: Exchange,
    clock: Rc<dyn Clock>,
    config: Config,
    chosen: Cell<Chosen>,
    kept: Cell<Sent>,
}

impl Serving {
    /// The limits and the counter that an earlier run kept, in force from now on.
    pub(crate) fn start(
        store: Store,
        exchange: Exchange,
        clock: Rc<dyn Clock>,
        config: Config,
    ) -> Result<Rc<Self>, StoreError> {
        let chosen = match store.meta_get(Meta::Node, SERVE)? {
            Some(bytes) => Chosen::decode(&bytes)?,
            None => Chosen::new(Limit::Default, Limit::Default),
        };
        let sent = match store.meta_get(Meta::Node, SENT)? {
            Some(bytes) => {
                let record: SentRecord = cbor::decode(&bytes, RECORD_BYTES)?;
                known(record.v)?;
                Sent { month: record.month, bytes: record.bytes }
            }
            None => Sent::default(),
        };
        exchange.resume_sent(sent);
        let (chosen, kept) = (Cell::new(chosen), Cell::new(sent));
        let serving = Rc::new(Self { store, exchange, clock, config, chosen, kept });
        serving.apply();
        serving.keep_counting();
        Ok(serving)
    }

    /// Sets the limits for good.
    pub(crate) fn set(&self, rate: Limit, monthly: Limit) -> Result<(), StoreError> {
        let chosen = Chosen::new(rate, monthly);
        self.store.meta_put(Meta::Node, SERVE, cbor::encode(&chosen)?)?;
        self.chosen.set(chosen);
        self.apply();
        Ok(())
    }

    /// Reads the limits again: a backup brought others.
    pub(crate) fn reload(&self) -> Result<(), StoreError> {
        if let Some(bytes) = self.store.meta_get(Meta::Node, SERVE)? {
            self.chosen.set(Chosen::decode(&bytes)?);
            self.apply();
        }
        Ok(())
    }

    /// The present limits, and what was sent.
    pub(crate) fn now(&self) -> Shown {
        let ServeLimits { rate, monthly } = self.limits();
        let (_, month_ends_ms) = month(self.clock.now().0);
        Shown { rate, monthly, sent: self.exchange.sent().bytes, month_ends_ms }
    }

    /// Makes the counter durable.
    pub(crate) fn keep(&self) {
        let sent = self.exchange.sent();
        if sent == self.kept.get() {
            return;
        }
        let record = SentRecord { v: 1, month: sent.month, bytes: sent.bytes };
        let kept = cbor::encode(&record)
            .map_err(StoreError::from)
            .and_then(|bytes| self.store.meta_put(Meta::Node, SENT, bytes));
        match kept {
            Ok(()) => self.kept.set(sent),
            // The disk is full, perhaps: it is tried again.
            Err(error) => tracing::warn!(%error, "what was sent could not be recorded"),
        }
    }

    fn limits(&self) -> ServeLimits {
        let (rate, monthly) = match self.config.role {
            Role::Tab => (Some(TAB_RATE), Some(TAB_MONTHLY)),
            Role::Relay | Role::Foreign => (None, None),
        };
        let Chosen { rate: chosen_rate, monthly: chosen_monthly, .. } = self.chosen.get();
        ServeLimits {
            rate: limit(chosen_rate, self.config.serve_rate, rate),
            monthly: limit(chosen_monthly, self.config.serve_monthly, monthly),
        }
    }

    fn apply(&self) {
        self.exchange.limit_serving(self.limits());
    }

    fn keep_counting(self: &Rc<Self>) {
        let (weak, clock) = (Rc::downgrade(self), self.clock.clone());
        self.clock.spawn(Box::pin(async move {
            loop {
                clock.sleep(KEEP).await;
                let Some(serving) = weak.upgrade() else { return };
                serving.keep();
            }
        }));
    }
}

fn limit(chosen: Limit, configured: Option<u64>, default: Option<u64>) -> Option<u64> {
    match chosen {
        Limit::Bytes(bytes) => Some(bytes),
        Limit::Unlimited => None,
        Limit::Default => configured.or(default),
    }
}
