//! `closing`: a coded object in tabs alone, which are closed without a word, faster than a browser
//! notices.
//!
//! Its author goes once it is spread, half of the holders go at once, and then one after the other makes
//! way for a tab that has nothing, until nobody is left who was there. Tabs that only read come and go
//! too: whoever looks for a new holder meets links to tabs that are gone. Must hold: every read is exact.

use std::{collections::VecDeque, time::Duration};

use craftec_api::Command;
use craftec_p2p::Role;
use craftec_platform::{Clock, sim::Damage};

use super::client;
use crate::{Cluster, ClusterError, Report, Weather};

/// Virtual time that a run may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// Holders at the start, the author among them.
const HOLDERS: usize = 8;
/// Holders that are replaced one after the other: all of the first, and as many again.
const ROUNDS: usize = 8;
/// Bytes of the object.
const BYTES: usize = 4 << 20;
/// From one replacement to the next; a browser notices after some twelve seconds that a peer is gone.
const PAUSE: Duration = Duration::from_secs(8);
/// How often holders look after it.
const MEND: Duration = Duration::from_secs(2);
/// How long the object may take to be spread.
const SPREAD: Duration = Duration::from_secs(60);

/// Runs the scenario in a world of `seed`.
pub fn closing(seed: u64) -> Result<Report, ClusterError> {
    Cluster::run(seed, Weather::CALM, LIMIT, scenario)
}

async fn scenario(cluster: Cluster) -> Result<Report, ClusterError> {
    cluster.mend_every(MEND);
    let readers = 2 + ROUNDS;
    cluster.start(HOLDERS + ROUNDS + readers, Role::Tab).await?;
    for index in 0..cluster.len() {
        // Those that are to come are linked to all from the start, as nobody could introduce them later.
        let bytes = if index < HOLDERS { None } else { Some(0) };
        client::call(&cluster, index, Command::LendSpace { bytes }).await?;
        for other in 0..index {
            client::join(&cluster, index, other).await?;
        }
    }
    let mut holders: VecDeque<usize> = (1..HOLDERS).collect();
    let mut spares = HOLDERS..HOLDERS + ROUNDS;
    let mut readers = HOLDERS + ROUNDS..cluster.len();
    let content = client::content(cluster.dice(), BYTES);
    let put = client::put_coded(&cluster.session(0)?, &content).await;
    let cid = put.map_err(|source| ClusterError::Refused { index: 0, source })?;
    let mut failures = client::await_spread(&cluster, &[(0, cid)], SPREAD).await?;
    cluster.crash(0, Damage::Kept);

    let mut gets = Vec::new();
    for round in 0..2 + ROUNDS {
        match round {
            0 => {}
            1 => holders.drain(..(HOLDERS - 1) / 2).for_each(|it| cluster.crash(it, Damage::Kept)),
            _ => {
                cluster.sleep(PAUSE).await;
                holders.pop_front().into_iter().for_each(|it| cluster.crash(it, Damage::Kept));
                if let Some(fresh) = spares.next() {
                    client::call(&cluster, fresh, Command::LendSpace { bytes: None }).await?;
                    holders.push_back(fresh);
                }
            }
        }
        let Some(reader) = readers.next() else { break };
        let begun = cluster.clock().monotonic();
        match client::get(&cluster.session(reader)?, cid).await {
            Ok(found) if found == content => gets.push(cluster.clock().monotonic() - begun),
            Ok(_) => failures.push(format!("round {round}: other bytes")),
            Err(error) => failures.push(format!("round {round}: {error}")),
        }
        cluster.crash(reader, Damage::Kept);
    }
    let trace = cluster.fabric().trace();
    Ok(Report {
        failures,
        numbers: vec![
            ("tabs", cluster.len() as u64),
            ("gets", gets.len() as u64),
            ("messages", trace.messages()),
            ("bytes", trace.bytes()),
        ],
        ratios: Vec::new(),
        times: vec![("get", gets)],
        trace: trace.hash(),
    })
}
