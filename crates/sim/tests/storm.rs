//! A small storm, as a test of the scenario itself: everything that it promises to do happens, and a
//! seed is a trace. The large ones run in the step `simulator` of `make test`.

use std::time::Duration;

use craftec_sim::scenario::{StormSize, storm};

const SMALL: StormSize = StormSize {
    relays: 8,
    tabs: 5,
    bent: 1,
    warped: 1,
    weak_disks: 2,
    objects: 8,
    names: 2,
    versions: 3,
    gets: 12,
    resolves: 12,
    storm: Duration::from_secs(60),
};

#[test]
fn a_small_storm_passes_and_everything_in_it_happens() {
    let first = storm(3, SMALL).unwrap();
    assert_eq!(first.failures, Vec::<String>::new());
    for happened in
        ["objects", "gets", "resolves", "crashes", "freezes", "partitions", "forgeries", "floods"]
    {
        assert!(first.number(happened) > 0, "no {happened}: {first}");
    }
    assert_eq!(storm(3, SMALL).unwrap(), first, "one seed, two runs");
}
