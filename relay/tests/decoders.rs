//! What is read of an HTTP request keeps its promises on anything: the bodies of the fuzz targets, on
//! random text and on damaged copies of real requests.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../fuzz/src/relay.rs"]
mod bodies;

use proptest::{prelude::*, sample::Index};

const HOSTS: [&str; 6] = [
    "app.craftec.localhost:4080",
    "nbcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstu.craftec.localhost",
    "bafkr4ihe5mgxgm6rsyacwqk6ia2ftiy5bbq5u2xtv2yzalrrvb5zzrmhue.craftec.localhost",
    "[::1]:80",
    "127.0.0.1",
    "localhost.",
];
const PATHS: [&str; 4] = ["/", "/a/b.html", "/a%20b/%e6%97%a5/", "/a/%2e%2e/b"];
const RANGES: [&str; 6] = [
    "bytes=0-",
    "bytes=5-9",
    "bytes=-7",
    "bytes=9-5",
    "bytes=0-1,3-4",
    "bytes=18446744073709551615-",
];

fn check(good: &[&str], body: fn(&[u8])) {
    good.iter().for_each(|text| body(text.as_bytes()));
    let damage = prop::collection::vec(any::<(Index, u8)>(), 1..4);
    proptest!(ProptestConfig::with_cases(2000), |(which in any::<Index>(), damage in damage)| {
        let mut bytes = good[which.index(good.len())].as_bytes().to_vec();
        for (at, byte) in &damage {
            let at = at.index(bytes.len());
            if byte % 2 == 0 { bytes[at] = *byte } else { bytes.insert(at, byte / 2) }
        }
        body(&bytes);
    });
}

#[test]
fn damaged_hosts_break_nothing() {
    check(&HOSTS, bodies::http_host);
}

#[test]
fn damaged_paths_break_nothing() {
    check(&PATHS, bodies::http_path);
}

#[test]
fn damaged_ranges_break_nothing() {
    let sized: Vec<String> = RANGES.iter().map(|range| format!("12345678{range}")).collect();
    check(&sized.iter().map(String::as_str).collect::<Vec<_>>(), bodies::http_range);
}

proptest! {
    #[test]
    fn any_bytes_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        bodies::http_host(&bytes);
        bodies::http_path(&bytes);
        bodies::http_range(&bytes);
    }
}
