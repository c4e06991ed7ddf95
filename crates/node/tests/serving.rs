//! What a node sends to others: held to what its person allows, counted over restarts, and never in
//! the way of what the node does for itself.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use common::{bytes, get, put, run};
use craftec_api::{Command, ErrorCode, Limit, Reply, Role, Serving};
use craftec_node::{Config, Session};
use craftec_platform::sim::SimDisk;

async fn serving(session: &Session) -> Serving {
    let Ok(Reply::Status(status)) = session.call(Command::Status).await else { panic!() };
    status.serving.expect("it says so")
}

async fn limit(session: &Session, rate: Limit, monthly: Limit) {
    let done = session.call(Command::ServeLimits { rate, monthly }).await;
    assert_eq!(done, Ok(Reply::Done));
}

#[test]
fn a_rate_holds_others_back_and_not_oneself() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let content = bytes(1, 24 << 20);
        let cid = put(&a.session(), &content, 0).await;
        limit(&a.session(), Limit::Bytes(200_000), Limit::Unlimited).await;
        let start = world.seconds();
        assert!(get(&a.session(), cid, "").await == Ok(content.clone()));
        assert_eq!(world.seconds(), start, "the node's own reading takes no time");
        assert!(get(&b.session(), cid, "").await == Ok(content.clone()));
        // 24 MiB less the burst of 32 s of 200 kB, at 200 kB/s.
        let took = world.seconds() - start;
        assert!((85..=130).contains(&took), "{took} s");
        assert!(serving(&a.session()).await.sent >= content.len() as u64);
        // The other way round nothing is held back.
        let theirs = bytes(2, 24 << 20);
        let cid = put(&b.session(), &theirs, 0).await;
        let start = world.seconds();
        assert!(get(&a.session(), cid, "").await == Ok(theirs));
        assert!(world.seconds() - start < 5);
    });
}

#[test]
fn copies_that_we_ask_for_are_not_held_back() {
    run(|world| async move {
        let (a, b) = (world.node(1).await, world.node(2).await);
        limit(&a.session(), Limit::Bytes(1), Limit::Bytes(1)).await;
        world.link(a.keys().peer_id(), b.keys().peer_id());
        let content = bytes(1, 8 << 20);
        let cid = put(&a.session(), &content, 1).await;
        world.sleep(20).await;
        let Ok(Reply::Stat(stat)) = a.session().call(Command::Stat { cid }).await else { panic!() };
        assert_eq!(stat.health.signed, 1, "{:?}", stat.holders);
        assert!(serving(&a.session()).await.sent >= 8 << 20, "it counts all the same");
    });
}

#[test]
fn a_month_that_is_used_up_ends_serving_until_the_next() {
    run(|world| async move {
        let disk = SimDisk::new();
        let a = world.node_on(1, &disk, Config::new(Role::Relay)).await;
        let b = world.node(2).await;
        let ids = [a.keys().peer_id(), b.keys().peer_id()];
        world.link(ids[0], ids[1]);
        let content = bytes(1, 3 << 20);
        let first = put(&a.session(), &content, 0).await;
        let second = put(&a.session(), &bytes(2, 3 << 20), 0).await;
        limit(&a.session(), Limit::Unlimited, Limit::Bytes(2 << 20)).await;
        let error = async |cid| get(&b.session(), cid, "").await.expect_err("the month is used up");
        assert_eq!(error(second).await.code, ErrorCode::Unavailable);
        let sent = serving(&a.session()).await.sent;
        assert!((2 << 20..4 << 20).contains(&sent), "{sent}");
        assert!(get(&a.session(), first, "").await == Ok(content.clone()));

        // A restart remembers the limit and the count; so does the node that a tab hands over to.
        a.stop().await;
        drop(a);
        world.leave(ids[0]);
        world.come_back(ids[0]);
        let a = world.node_on(9, &disk, Config::new(Role::Relay)).await;
        world.link(ids[0], ids[1]);
        let now = serving(&a.session()).await;
        assert_eq!((now.sent, now.monthly), (sent, Some(2 << 20)));
        assert_eq!(error(first).await.code, ErrorCode::Unavailable);

        limit(&a.session(), Limit::Default, Limit::Default).await;
        let now = serving(&a.session()).await;
        assert_eq!((now.rate, now.monthly), (None, None), "a native node has no limit by itself");
        world.sleep(61).await;
        assert!(get(&b.session(), first, "").await == Ok(content));
    });
}

#[test]
fn a_tab_is_careful_by_itself_and_a_configuration_counts_until_a_person_decides() {
    run(|world| async move {
        let tab = world.node_on(1, &SimDisk::new(), Config::new(Role::Tab)).await;
        let now = serving(&tab.session()).await;
        assert_eq!((now.rate, now.monthly, now.sent), (Some(2_000_000), Some(20_000_000_000), 0));
        assert!(now.month_ends_ms > 1_735_689_600_000);
        let mut config = Config::new(Role::Relay);
        (config.serve_rate, config.serve_monthly) = (Some(5), Some(6));
        let disk = SimDisk::new();
        let relay = world.node_on(2, &disk, config.clone()).await;
        let now = serving(&relay.session()).await;
        assert_eq!((now.rate, now.monthly), (Some(5), Some(6)));
        limit(&relay.session(), Limit::Unlimited, Limit::Bytes(7)).await;
        drop(relay);
        let relay = world.node_on(2, &disk, config).await;
        let now = serving(&relay.session()).await;
        assert_eq!((now.rate, now.monthly), (None, Some(7)));
    });
}
