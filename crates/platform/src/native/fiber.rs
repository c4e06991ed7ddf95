//! Work that pauses in the middle of a call: it runs on a stack of its own, from which [`Pause::when_due`]
//! goes back to who resumed it.
#![allow(unsafe_code, reason = "who pauses knows its fiber by a pointer only")]

use std::{
    cell::{Cell, RefCell},
    fmt, ptr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use corosensei::{Coroutine, CoroutineResult, Yielder, stack::DefaultStack};

/// As much as a thread has. Only what is touched takes memory.
const STACK_BYTES: usize = 2 << 20;
/// Stacks that a thread keeps for the next fibers: to make one costs more than most work takes.
const STACKS: usize = 4;

thread_local! {
    static FREE: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
    /// The fiber on whose stack this thread is; none on its own.
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// A fiber that runs.
#[derive(Clone, Copy)]
struct Current {
    /// Where it pauses: compared, never followed.
    pause: *const Due,
    yielder: *const Yielder<(), ()>,
}

/// When a fiber is to pause.
type Due = Mutex<Option<Instant>>;

/// Where a fiber pauses. It can be given to what wants to be shared between threads; elsewhere than in its
/// fiber it does nothing.
#[derive(Clone, Default)]
pub struct Pause(Arc<Due>);

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pause")
    }
}

impl Pause {
    /// Goes back to who resumed the fiber, if its time is over, and returns once it is resumed.
    ///
    /// Nothing may be borrowed or locked here that somebody else on this thread could want meanwhile.
    pub fn when_due(&self) {
        let due = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        let current = CURRENT.get().filter(|current| ptr::eq(current.pause, Arc::as_ptr(&self.0)));
        if let Some(Current { yielder, .. }) = current {
            // SAFETY: it is on the stack that runs right now, below the function of its fiber, which has
            // not returned: whoever changes stacks changes `CURRENT`.
            unsafe { &*yielder }.suspend(());
            CURRENT.set(current);
        }
    }

    fn after(&self, slice: Duration) {
        let due = Instant::now() + slice;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(due);
    }
}

/// Work that is done in slices, between which its thread does something else.
///
/// One that is dropped while it is paused unwinds, which code of another language may not survive: resume
/// it to its end instead.
pub struct Fiber<T> {
    pause: Pause,
    left: Option<Left<T>>,
}

/// What is still to be done.
enum Left<T> {
    Sliced(Coroutine<(), (), T>),
    /// There was no memory for a stack.
    AtOnce(Box<dyn FnOnce() -> T>),
}

impl<T> fmt::Debug for Fiber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fiber(ended: {})", self.left.is_none())
    }
}

impl<T: 'static> Fiber<T> {
    /// Nothing of `work` is done yet. It pauses at `pause`, or nowhere if there is no memory for a stack.
    pub fn new(pause: &Pause, work: impl FnOnce() -> T + 'static) -> Self {
        let free = FREE.with_borrow_mut(Vec::pop);
        let stack = free.map_or_else(|| DefaultStack::new(STACK_BYTES), Ok);
        let left = match stack {
            Ok(stack) => {
                let place = pause.clone();
                Left::Sliced(Coroutine::with_stack(stack, move |yielder, ()| {
                    CURRENT.set(Some(Current { pause: Arc::as_ptr(&place.0), yielder }));
                    work()
                }))
            }
            Err(_) => Left::AtOnce(Box::new(work)),
        };
        Self { pause: pause.clone(), left: Some(left) }
    }

    /// Goes on for about `slice`: the result, once it has come to its end.
    pub fn resume(&mut self, slice: Duration) -> Option<T> {
        let mut fiber = match self.left.take()? {
            Left::Sliced(fiber) => fiber,
            Left::AtOnce(work) => return Some(work()),
        };
        self.pause.after(slice);
        let outer = Outer(CURRENT.get());
        let resumed = fiber.resume(());
        drop(outer);
        match resumed {
            CoroutineResult::Yield(()) => {
                self.left = Some(Left::Sliced(fiber));
                None
            }
            CoroutineResult::Return(done) => {
                let stack = fiber.into_stack();
                FREE.with_borrow_mut(|free| {
                    if free.len() < STACKS {
                        free.push(stack);
                    }
                });
                Some(done)
            }
        }
    }

    /// Whether it paused, and has to go on.
    pub fn is_paused(&self) -> bool {
        matches!(&self.left, Some(Left::Sliced(fiber)) if fiber.started())
    }
}

/// What runs once a fiber does not.
struct Outer(Option<Current>);

impl Drop for Outer {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
