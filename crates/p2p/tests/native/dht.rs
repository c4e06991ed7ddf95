//! Records and providers between nodes that do not know each other.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use craftec_core::limits;
use craftec_p2p::{NetError, Network, Record};
use futures::StreamExt;

use crate::setup::{
    Anything, Check, ECHO, PATIENCE, SECOND, address, config, dht_key, echo, eventually, hidden,
    rpc, run, start,
};

fn record(n: u8, value: &str) -> Record {
    Record { key: dht_key(n), value: value.as_bytes().to_vec() }
}

#[test]
fn a_provider_is_found_through_a_third_node_and_reached() {
    run(async {
        let relay = start(config(1)).await;
        let known = vec![address(&relay, "quic")];
        let (mut a, mut b) = (config(2), config(3));
        (a.relays, b.relays) = (known.clone(), known);
        let (a, b) = (start(a).await, start(b).await);
        rpc(&a).serve(ECHO, echo());
        a.provide(dht_key(7)).await.unwrap();
        let found = eventually("finds the provider", || {
            let mut found = b.providers(dht_key(7));
            async move { found.next().await.ok_or(NetError::Dht("nobody".to_owned())) }
        })
        .await;
        assert_eq!(found, a.local_peer());
        // Nobody told b where a is, but the DHT.
        let answer = rpc(&b).request(found, ECHO, "hello", PATIENCE).await.unwrap();
        assert_eq!(answer, "hello");
        a.stop_providing(dht_key(7));
        assert_eq!(b.providers(dht_key(8)).count().await, 0);
    });
}

#[test]
fn records_are_checked_where_they_are_stored_and_where_they_are_read() {
    run(async {
        let check = Arc::new(Check::default());
        let mut server = config(1);
        server.check = check.clone();
        let server = start(server).await;
        let known = vec![address(&server, "tcp")];
        let (mut writer, mut liar) = (config(2), config(3));
        (writer.relays, liar.relays) = (known.clone(), known.clone());
        liar.check = Arc::new(Anything);
        let (writer, liar) = (start(writer).await, start(liar).await);
        writer.put_record(record(1, "ok 1")).await.unwrap();
        assert!(check.0.load(Ordering::Relaxed) > 0, "the server asked its check");
        let read = eventually("finds the record", || {
            let reading = server.records(dht_key(1));
            async move {
                let read = reading.await?;
                if read.is_empty() { Err(NetError::Dht("none".to_owned())) } else { Ok(read) }
            }
        })
        .await;
        assert_eq!(read, [record(1, "ok 1")]);
        // An honest node does not even try; a liar is not believed.
        let wrong = writer.put_record(record(2, "wrong")).await;
        assert!(matches!(wrong, Err(NetError::Dht(_))), "{wrong:?}");
        let _ = liar.put_record(record(2, "wrong")).await;
        let _ = liar.put_record(record(1, "wrong too")).await;
        assert_eq!(server.records(dht_key(2)).await.unwrap(), []);
        assert_eq!(writer.records(dht_key(2)).await.unwrap(), []);
        // What the liar holds itself is asked for, and refused.
        assert_eq!(writer.records(dht_key(1)).await.unwrap(), [record(1, "ok 1")]);
        // A newer one replaces it, an older one does not.
        writer.put_record(record(1, "ok and newer")).await.unwrap();
        let _ = liar.put_record(record(1, "ok")).await;
        let older = writer.put_record(record(1, "ok")).await;
        assert!(matches!(older, Err(NetError::Dht(_))), "{older:?}");
        let mut late = config(4);
        late.relays = known;
        let late = start(late).await;
        let all = late.records(dht_key(1)).await.unwrap();
        assert!(all.contains(&record(1, "ok and newer")), "{all:?}");
        let long = Record { key: dht_key(3), value: vec![0; limits::RECORD_BYTES + 1] };
        assert!(matches!(writer.put_record(long).await, Err(NetError::Limit(_))));
        let full =
            Record { key: dht_key(3), value: [b"ok", &[0; limits::RECORD_BYTES - 2][..]].concat() };
        writer.put_record(full.clone()).await.unwrap();
        assert_eq!(late.records(dht_key(3)).await.unwrap(), [full]);
    });
}

#[test]
fn alone_the_dht_fails_clearly_and_later_announces_by_itself() {
    run(async {
        let lone = start(hidden(2, Vec::new())).await;
        let begun = Instant::now();
        let put = lone.put_record(record(1, "ok")).await;
        assert!(matches!(put, Err(NetError::Dht(_))), "{put:?}");
        assert_eq!(lone.providers(dht_key(1)).count().await, 0);
        assert!(begun.elapsed() < SECOND * 8);
        // Not done, but not forgotten either.
        let _ = lone.provide(dht_key(1)).await;
        let relay = start(config(1)).await;
        lone.connect(&address(&relay, "quic")).await.unwrap();
        let found = eventually("is announced", || {
            let mut found = relay.providers(dht_key(1));
            async move { found.next().await.ok_or(NetError::Dht("nobody".to_owned())) }
        })
        .await;
        assert_eq!(found, lone.local_peer());
        eventually("has the record", || {
            let reading = relay.records(dht_key(1));
            async move { reading.await?.pop().ok_or(NetError::Dht("none".to_owned())) }
        })
        .await;
    });
}
