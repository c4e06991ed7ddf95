//! Work on a stack of its own pauses where it is due, and nowhere else.

#![cfg(not(target_arch = "wasm32"))]

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use craftec_platform::{Clock, Fiber, Pause, native::NativeClock};

/// At once.
const NOW: Duration = Duration::ZERO;
/// Not in this test.
const LATER: Duration = Duration::from_secs(3600);

#[test]
fn work_pauses_when_its_slice_is_over_and_goes_on_where_it_was() {
    let pause = Pause::default();
    let (inner, steps) = (pause.clone(), Rc::new(Cell::new(0)));
    let counted = steps.clone();
    let mut fiber = Fiber::new(&pause, move || {
        for _ in 0..3 {
            counted.set(counted.get() + 1);
            inner.when_due();
        }
        "done"
    });
    assert!(!fiber.is_paused(), "nothing of it is done yet");
    for step in 1..=3 {
        assert_eq!(fiber.resume(NOW), None);
        assert_eq!((steps.get(), fiber.is_paused()), (step, true));
        // Elsewhere than in the fiber it does nothing.
        pause.when_due();
    }
    assert_eq!(fiber.resume(LATER), Some("done"));
    assert!(!fiber.is_paused());
    assert_eq!(fiber.resume(LATER), None, "it has ended");
}

#[test]
fn work_that_has_time_does_not_pause() {
    let pause = Pause::default();
    let inner = pause.clone();
    let work = move || (0..100).inspect(|_| inner.when_due()).sum::<u32>();
    assert_eq!(Fiber::new(&pause, work).resume(LATER), Some(4950));
}

#[test]
fn fibers_take_turns_and_run_within_each_other() {
    let said = Rc::new(RefCell::new(Vec::new()));
    let make = |name: &'static str, pause: &Pause| {
        let (inner, said) = (pause.clone(), said.clone());
        Fiber::new(pause, move || {
            for turn in 0..2 {
                said.borrow_mut().push((name, turn));
                inner.when_due();
            }
        })
    };
    let (one, two) = (Pause::default(), Pause::default());
    let (mut a, mut b) = (make("a", &one), make("b", &two));
    while a.resume(NOW).is_none() | b.resume(NOW).is_none() {}
    assert_eq!(*said.borrow(), [("a", 0), ("b", 0), ("a", 1), ("b", 1)]);

    // What the outer one is asked from the inner one's stack is not its to do.
    let (outer, inner) = (Pause::default(), Pause::default());
    let (asked, mine) = (outer.clone(), inner.clone());
    let mut nested = Fiber::new(&outer, move || {
        let (asked_within, mine_within) = (asked.clone(), mine.clone());
        let mut within = Fiber::new(&mine, move || {
            asked_within.when_due();
            mine_within.when_due();
        });
        let paused = (within.resume(NOW).is_none(), within.resume(NOW).is_some());
        asked.when_due();
        paused
    });
    assert_eq!(nested.resume(NOW), None, "the outer one pauses by itself");
    assert_eq!(nested.resume(NOW), Some((true, true)), "the inner one paused once");
}

#[test]
fn a_panic_goes_to_who_resumed_it() {
    let pause = Pause::default();
    let mut fiber = Fiber::new(&pause, || -> () { panic!("on purpose") });
    assert!(catch_unwind(AssertUnwindSafe(|| fiber.resume(LATER))).is_err());
    assert!(!fiber.is_paused());
    // Another one runs as ever.
    assert_eq!(Fiber::new(&pause, || 7).resume(LATER), Some(7));
}

#[test]
fn another_thread_has_no_part_in_it() {
    let pause = Pause::default();
    let (inner, elsewhere) = (pause.clone(), pause.clone());
    let mut fiber = Fiber::new(&pause, move || {
        std::thread::spawn(move || elsewhere.when_due()).join().unwrap();
        inner.when_due();
        7
    });
    assert_eq!(fiber.resume(NOW), None);
    assert_eq!(fiber.resume(NOW), Some(7));
}

/// A task that gives way lets timers and other tasks go on, however often it does.
#[test]
fn who_gives_way_keeps_nobody_from_anything() {
    NativeClock::run(async {
        let clock = NativeClock::new();
        let ticks = Rc::new(Cell::new(0));
        let (ticking, counted) = (clock.clone(), ticks.clone());
        clock.spawn(Box::pin(async move {
            loop {
                ticking.sleep(Duration::from_millis(1)).await;
                counted.set(counted.get() + 1);
            }
        }));
        let end = clock.monotonic() + Duration::from_millis(200);
        while clock.monotonic() < end {
            std::thread::sleep(Duration::from_millis(5));
            clock.give_way().await;
        }
        assert!(ticks.get() > 10, "{} ticks in 200 ms", ticks.get());
    })
    .unwrap();
}
