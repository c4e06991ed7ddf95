//! Give and take among real nodes: over days of scarcity, and over the loss of a book.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use craftec_api::{Command, Reply};
use craftec_obj::store::Meta;
use craftec_p2p::Role;
use craftec_platform::sim::Damage;
use craftec_sim::{Cluster, ClusterError, Report, Weather, scenario::reciprocity};
use serde_bytes::ByteBuf;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
#[ignore = "half an hour: three days of fifteen nodes, twice; run it with --release"]
fn who_gives_is_served_and_who_only_takes_is_not() {
    let reports: Vec<Report> = (1..3).map(|seed| reciprocity(seed).unwrap()).collect();
    for report in &reports {
        println!("{report}");
        assert_eq!(report.failures, Vec::<String>::new());
    }
    let all = Report::merge(&reports);
    let ratio = |name| all.ratio(name);
    // Where nobody has given anything yet, both fare alike.
    let gap = ratio("first_contributor_share") - ratio("first_rider_share");
    assert!(gap.abs() < 0.15, "{gap}");
    assert!(ratio("contributor_share") > 0.85, "{all}");
    assert!(ratio("rider_share") < 0.45, "{all}");
    assert!(ratio("contributor_speed") > 1.5 * ratio("rider_speed"), "{all}");
    assert!(ratio("newcomer_first_hold_s") < 600.0, "{all}");
}

async fn put(cluster: &Cluster, index: usize, bytes: usize) -> Result<(), ClusterError> {
    let session = cluster.session(index)?;
    let open = Command::PutOpen { replicas: Some(1), redundancy: None, name: None };
    let Ok(Reply::Handle { handle }) = session.call(open).await else { panic!("no handle") };
    let bytes = ByteBuf::from(vec![7; bytes]);
    session.call(Command::PutChunk { handle, bytes }).await.unwrap();
    session.call(Command::PutClose { handle }).await.unwrap();
    Ok(())
}

/// One node keeps something for another, which then loses its book, and is reminded of it by the
/// receipt that it once gave.
async fn forgetful(cluster: Cluster) -> Result<(), ClusterError> {
    cluster.start(2, Role::Relay).await?;
    cluster.connect(0, 1).await?;
    let (owner, holder) = (cluster.peer(0)?, cluster.peer(1)?);
    put(&cluster, 0, 500_000).await?;
    cluster.sleep(HOUR * 30).await;
    let before = cluster.ledger(0)?.entry(&holder).unwrap();
    let kept = before.theirs.stored_byte_hours;
    assert!((500_000 * 29..=500_000 * 31).contains(&kept), "{kept}");
    let told = cluster.ledger(1)?.entry(&owner).unwrap();
    let receipt = told.receipt.unwrap().receipt;
    assert_eq!((receipt.giver, receipt.to), (owner, holder));
    assert!(receipt.totals.stored_byte_hours >= kept * 9 / 10, "{receipt:?}");
    // Both saw the same.
    assert!(told.ours.stored_byte_hours.abs_diff(kept) <= 500_000, "{:?}", told.ours);

    for (key, _) in cluster.store(0)?.meta_scan(Meta::Ledger).unwrap() {
        cluster.store(0)?.meta_delete(Meta::Ledger, key).unwrap();
    }
    cluster.crash(0, Damage::Kept);
    cluster.boot(0).await?;
    assert_eq!(cluster.ledger(0)?.entry(&holder), None);
    cluster.connect(0, 1).await?;
    cluster.sleep(HOUR * 2).await;
    let after = cluster.ledger(0)?.entry(&holder).unwrap();
    assert!(after.theirs.covers(&receipt.totals), "{:?} after {receipt:?}", after.theirs);
    assert_eq!(after.since_ms, before.since_ms);
    Ok(())
}

#[test]
fn a_receipt_reminds_its_giver_of_what_it_lost() {
    Cluster::run(3, Weather::CALM, HOUR * 48, forgetful).unwrap();
}
