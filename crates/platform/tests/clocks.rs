//! The native clock and the entropies do what their ports promise.

#![cfg(not(target_arch = "wasm32"))]

use std::{
    cell::Cell,
    future::pending,
    rc::Rc,
    time::{Duration, Instant},
};

use craftec_platform::{
    Clock, Elapsed, Entropy,
    native::{NativeClock, OsEntropy},
    sim::SimEntropy,
    timeout,
};

#[test]
fn a_native_node_sleeps_spawns_and_times_out() {
    let begun = Instant::now();
    NativeClock::run(async {
        let clock = NativeClock::new();
        assert!(clock.now().0 > 1_700_000_000_000);
        let done = Rc::new(Cell::new(false));
        let (flag, sleeper) = (done.clone(), clock.clone());
        clock.spawn(Box::pin(async move {
            sleeper.sleep(Duration::from_millis(10)).await;
            flag.set(true);
        }));
        let limit = Duration::from_millis(50);
        assert_eq!(timeout(&clock, limit, pending::<()>()).await, Err(Elapsed(limit)));
        assert!(done.get(), "a spawned task runs meanwhile");
        assert_eq!(timeout(&clock, limit, async { 7 }).await, Ok(7));
        assert!(clock.monotonic() >= limit);
    })
    .unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn seeds_name_streams_and_the_system_does_not_repeat() {
    let draw = |entropy: &dyn Entropy| (entropy.next_u64(), entropy.next_u64());
    assert_eq!(draw(&SimEntropy::new(1)), draw(&SimEntropy::new(1)));
    assert_ne!(draw(&SimEntropy::new(1)), draw(&SimEntropy::new(2)));
    assert_ne!(draw(&SimEntropy::stream(1, 1)), draw(&SimEntropy::stream(1, 2)));
    assert_ne!(draw(&OsEntropy), draw(&OsEntropy));
    let entropy = SimEntropy::new(3);
    assert!((0..1000).all(|_| entropy.below(7) < 7));
    assert_eq!(entropy.below(0), 0);
    let hits = (0..10_000).filter(|_| entropy.chance(100_000)).count();
    assert!((800..1200).contains(&hits), "{hits} of 10,000 at one in ten");
}
