//! Scenarios: what a cluster is put through, and what must hold afterwards.
//!
//! A scenario is a function of its seed. It drives nodes only as a person does, through sessions of
//! `craftec-api`; what it checks behind their backs, it reads from their stores.

mod alive;
mod client;
mod closing;
mod devices;
mod liar;
mod mesh;
mod put_get;
mod reciprocity;
mod storm;

use std::{fmt, str::FromStr};

use crate::{ClusterError, Report};

pub use alive::alive;
pub use closing::closing;
pub use devices::devices;
pub use liar::liar;
pub use mesh::mesh;
pub use put_get::{Size, put_get};
pub use reciprocity::reciprocity;
pub use storm::{StormSize, storm};

/// A scenario by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Objects are put, copied and read under loss, delay and churn.
    PutGet,
    /// Holders send wrong bytes.
    Liar,
    /// Tabs lose the relay that introduced them.
    Mesh,
    /// Everything at once, then healing.
    Storm,
    /// Coded objects outlive everyone who held them.
    Alive,
    /// Tabs with a coded object are closed faster than others notice.
    Closing,
    /// Two devices of one owner write one database, each while the other is away.
    Devices,
    /// Some give, some only take, and there is not enough for all.
    Reciprocity,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PutGet,
        Self::Liar,
        Self::Mesh,
        Self::Storm,
        Self::Alive,
        Self::Closing,
        Self::Devices,
        Self::Reciprocity,
    ];

    /// Runs it in a world of `seed`.
    pub fn run(self, seed: u64) -> Result<Report, ClusterError> {
        match self {
            Self::PutGet => put_get(seed, Size::STANDARD),
            Self::Liar => liar(seed),
            Self::Mesh => mesh(seed),
            Self::Storm => storm(seed, StormSize::STANDARD),
            Self::Alive => alive(seed),
            Self::Closing => closing(seed),
            Self::Devices => devices(seed),
            Self::Reciprocity => reciprocity(seed),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PutGet => "put-get",
            Self::Liar => "liar",
            Self::Mesh => "mesh",
            Self::Storm => "storm",
            Self::Alive => "alive",
            Self::Closing => "closing",
            Self::Devices => "devices",
            Self::Reciprocity => "reciprocity",
        })
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.to_string() == name);
        found.ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(Self::to_string).collect();
            format!("there is no scenario `{name}`, only {}", known.join(", "))
        })
    }
}
