//! The edge of the machine: what stands between strangers and the node, and what operators set.
//!
//! | module | does |
//! |---|---|
//! | `settings` | reads the options of all below |
//! | `certificate` | certificate and key files, shown by HTTPS and `/tls/ws` |
//! | `denylist` | whom and what the operator does not serve |
//! | `stun` | tells tabs their own public address |
//! | `watch` | notices when one of the files changed |
//!
//! It decides nothing about content and holds no connection.

mod certificate;
mod counters;
mod denylist;
mod settings;
mod stun;
mod watch;

use std::{net::SocketAddr, sync::Arc};

use craftec_p2p::{
    Limits,
    counters::Counters,
    native::{Denials, Tls},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    certificate::Certificates,
    counters::{EdgeCounters, HttpRefusal},
    denylist::Denylist,
    settings::{EdgeFile, EdgeSettings, HttpLimits, LimitValue},
    stun::Stun,
};
use crate::error::{RelayError, Result};

/// Descriptors that the process asks for: 4,096 connections of peers, HTTP, and files. The usual
/// soft limit of 1,024 would be reached first.
const DESCRIPTORS: u64 = 16 << 10;

/// What `up` sets up once, before anything listens. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// Limits of the network.
    pub(crate) limits: Limits,
    /// What the network counts.
    pub(crate) counters: Arc<Counters>,
    /// What everything else here counts.
    pub(crate) own: Arc<EdgeCounters>,
    /// The operator's list.
    pub(crate) denylist: Denylist,
    /// For peers over `/tls/ws`.
    pub(crate) tls: Tls,
    /// For browsers; `None` without certificate files.
    pub(crate) certificates: Option<Certificates>,
    settings: EdgeSettings,
}

impl Edge {
    /// Reads the files that the settings name; whatever is wrong with one ends the start.
    pub(crate) fn open(settings: &EdgeSettings) -> Result<Self> {
        let trusted = settings.tls_trust.as_deref().map(certificate::authorities).transpose()?;
        let trusted = trusted.unwrap_or_default();
        let loaded = settings.tls.as_ref().map(certificate::load).transpose()?;
        let tls = Tls::new(loaded.as_ref(), trusted)
            .map_err(|error| RelayError::Start(format!("its certificates: {error}")))?;
        let certificates = match (&settings.tls, &loaded) {
            (Some(files), Some(loaded)) => Some(Certificates::new(files.clone(), loaded)?),
            _ => None,
        };
        let denylist = Denylist::open(settings.denylist.as_deref())?;
        Ok(Self {
            limits: settings.limits.clone(),
            counters: Arc::default(),
            own: Arc::default(),
            denylist,
            tls,
            certificates,
            settings: settings.clone(),
        })
    }

    /// Whom the network does not let in.
    pub(crate) fn denials(&self) -> Denials {
        self.denylist.denials()
    }

    /// Lets the process hold as many connections as the limits allow.
    pub(crate) fn raise_descriptors() {
        match rlimit::increase_nofile_limit(DESCRIPTORS) {
            Ok(most) if most >= DESCRIPTORS => {}
            Ok(most) => tracing::warn!(most, "the system allows few open files"),
            Err(error) => tracing::warn!(%error, "the limit on open files stays as it is"),
        }
    }

    /// Reads changed files anew until `stop`.
    pub(crate) async fn follow_files(self, stop: CancellationToken) {
        let mut files: Vec<_> = self.settings.denylist.iter().cloned().collect();
        if let Some(tls) = &self.settings.tls {
            files.extend([tls.cert.clone(), tls.key.clone()]);
        }
        if files.is_empty() {
            return;
        }
        let mut watch = watch::Watch::new(files);
        while let Some(changed) = watch.changed(&stop).await {
            if changed.iter().any(|file| Some(file) == self.settings.denylist.as_ref()) {
                self.reload_denylist();
            }
            if let Some(certificates) = &self.certificates
                && changed.iter().any(|file| certificates.is_of(file))
            {
                self.reload_certificate(certificates);
            }
        }
    }

    fn reload_denylist(&self) {
        match self.denylist.reload() {
            Ok(entries) => {
                self.own.denylist_reloads.up();
                tracing::info!(entries, "the denylist was read again");
            }
            Err(error) => {
                self.own.reload_failures.up();
                tracing::error!(%error, "the denylist stays as it was");
            }
        }
    }

    fn reload_certificate(&self, certificates: &Certificates) {
        match certificates.reload(&self.tls) {
            Ok(()) => {
                self.own.tls_reloads.up();
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                self.own.reload_failures.up();
                // Certificate and key change one after the other: the next look finds both.
                tracing::error!(%error, "the certificate stays as it was");
            }
        }
    }

    /// Binds what answers STUN, as far as it was asked for.
    pub(crate) async fn stun(&self, listen_chosen: bool) -> Result<Option<Stun>> {
        let limit = self.settings.http_limits.stun_per_prefix_and_second;
        let (addr, must) = match (self.settings.stun, listen_chosen) {
            (Some(None), _) | (None, true) => return Ok(None),
            (Some(Some(addr)), _) => (addr, true),
            (None, false) => (SocketAddr::from(([0; 16], stun::PORT)), false),
        };
        match Stun::bind(addr, limit, self.own.clone(), self.limits.clone()).await {
            Ok(stun) => Ok(Some(stun)),
            Err(error) if must => Err(error),
            Err(error) => {
                tracing::warn!(%error, "no STUN: tabs behind routers reach each other by relay");
                Ok(None)
            }
        }
    }
}
