//! The executor: one thread, tasks in the order in which they were woken, and time that jumps to
//! the next timer when nothing is left to run.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    future::Future,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use futures::future::LocalBoxFuture;

use super::SimClock;
use crate::UnixMs;

/// Where simulated wall clocks begin: 2025-01-01 00:00 UTC.
const START_UNIX_MS: u64 = 1_735_689_600_000;
/// Polls without time moving on after which a run is taken for a busy loop.
const POLLS_PER_INSTANT: u64 = 10_000_000;

/// Tasks that live and die together: those of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(u64);

/// Why a run ended before its future did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalled {
    /// Nothing can ever run again: every task waits for something that no task will do.
    Deadlock {
        /// Tasks that wait.
        tasks: usize,
    },
    /// The virtual time given to the run is over.
    TimeLimit(
        /// That time.
        Duration,
    ),
    /// Tasks wake each other without end while time stands still.
    BusyLoop {
        /// When.
        at: Duration,
    },
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadlock { tasks } => write!(f, "deadlock: {tasks} tasks wait for nothing"),
            Self::TimeLimit(limit) => write!(f, "not done within {limit:?} of virtual time"),
            Self::BusyLoop { at } => write!(f, "tasks wake each other without end at {at:?}"),
        }
    }
}

impl std::error::Error for Stalled {}

/// Runs futures in virtual time.
#[derive(Debug)]
pub struct Executor {
    shared: Rc<Shared>,
}

struct Task {
    group: Group,
    /// None while it is being polled.
    future: Option<LocalBoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

/// What the executor and its clocks share.
#[derive(Default)]
pub(super) struct Shared {
    time: Cell<Duration>,
    /// The same in milliseconds, for what asks from behind a `Send` bound.
    time_ms: Arc<AtomicU64>,
    next: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    dead: RefCell<BTreeSet<Group>>,
    /// Groups that stand still, with their tasks that were woken meanwhile, in order.
    frozen: RefCell<BTreeMap<Group, Vec<u64>>>,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct Ready(Mutex<VecDeque<u64>>);

impl Ready {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<u64>> {
        // Each change is a single push or pop, whole even after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.queue().push_back(self.task);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks at {:?}", self.tasks.borrow().len(), self.time.get())
    }
}

impl Shared {
    pub(super) fn time(&self) -> Duration {
        self.time.get()
    }

    pub(super) fn unix(&self) -> UnixMs {
        unix(&self.time_ms)
    }

    fn set_time(&self, time: Duration) {
        self.time.set(time);
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.time_ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn set_timer(&self, at: Duration, waker: Waker) -> u64 {
        let timer = self.number();
        self.timers.borrow_mut().insert((at, timer), waker);
        timer
    }

    pub(super) fn cancel_timer(&self, at: Duration, timer: u64) {
        let waker = self.timers.borrow_mut().remove(&(at, timer));
        drop(waker);
    }

    pub(super) fn spawn(&self, group: Group, future: LocalBoxFuture<'static, ()>) {
        if self.dead.borrow().contains(&group) {
            return;
        }
        let task = self.number();
        let ready = self.ready.clone();
        let waker = Arc::new(TaskWaker { task, queued: AtomicBool::new(false), ready });
        let entry = Task { group, future: Some(future), waker: waker.clone() };
        self.tasks.borrow_mut().insert(task, entry);
        waker.wake();
    }

    fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    /// Polls the task that has waited longest; false if none is ready.
    fn run_one(&self) -> bool {
        let Some(id) = self.ready.queue().pop_front() else { return false };
        if self.is_held(id) {
            return true;
        }
        let taken = self.tasks.borrow_mut().get_mut(&id).and_then(|task| {
            task.waker.queued.store(false, Ordering::Release);
            Some((task.future.take()?, task.waker.clone()))
        });
        // Finished or killed since it was woken.
        let Some((mut future, waker)) = taken else { return true };
        let waker = Waker::from(waker);
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            let mut tasks = self.tasks.borrow_mut();
            if let Some(task) = tasks.get_mut(&id) {
                task.future = Some(future);
                return true;
            }
            // Killed while it ran: it is dropped below, after the borrow.
            drop(tasks);
            drop(future);
        } else {
            let task = self.tasks.borrow_mut().remove(&id);
            drop(future);
            drop(task);
        }
        true
    }

    /// Keeps a task of a frozen group for later. It stays marked as queued, so it is kept once.
    fn is_held(&self, id: u64) -> bool {
        let mut frozen = self.frozen.borrow_mut();
        if frozen.is_empty() {
            return false;
        }
        let group = self.tasks.borrow().get(&id).map(|task| task.group);
        match group.and_then(|group| frozen.get_mut(&group)) {
            Some(held) => {
                held.push(id);
                true
            }
            None => false,
        }
    }

    /// Jumps to the next timer and wakes it; false if there is none.
    fn advance(&self, limit: Duration) -> bool {
        let first = self.timers.borrow().keys().next().copied();
        let Some((at, _)) = first else { return false };
        if at > limit {
            self.set_time(limit);
            return true;
        }
        self.set_time(at.max(self.time.get()));
        // All timers of this instant, in the order in which they were set.
        loop {
            let due = match self.timers.borrow_mut().first_entry() {
                Some(entry) if entry.key().0 <= at => entry.remove(),
                _ => return true,
            };
            due.wake();
        }
    }
}

fn unix(time_ms: &AtomicU64) -> UnixMs {
    UnixMs(START_UNIX_MS.saturating_add(time_ms.load(Ordering::Relaxed)))
}

impl Default for Executor {
    fn default() -> Self {
        Self::new()
    }
}

impl Executor {
    /// An executor at virtual time 0 (2025-01-01 00:00 UTC on simulated wall clocks).
    pub fn new() -> Self {
        Self { shared: Rc::default() }
    }

    /// A clock whose tasks belong to a new group.
    pub fn clock(&self) -> (SimClock, Group) {
        let group = Group(self.shared.number());
        (SimClock::new(Rc::downgrade(&self.shared), group), group)
    }

    /// Drops every task of `group` where it stands, as a crash does. What its clock spawns later is
    /// dropped too.
    pub fn kill(&self, group: Group) {
        self.shared.dead.borrow_mut().insert(group);
        self.shared.frozen.borrow_mut().remove(&group);
        let doomed: Vec<Task> = {
            let mut tasks = self.shared.tasks.borrow_mut();
            let ids: Vec<u64> =
                tasks.iter().filter(|(_, task)| task.group == group).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| tasks.remove(id)).collect()
        };
        // Dropped outside the borrow: destructors may wake or spawn.
        drop(doomed);
    }

    /// Stops every task of `group` where it stands, as a browser stops a hidden tab: time goes on, and
    /// timers that fire meanwhile are noticed at [`Executor::thaw`].
    pub fn freeze(&self, group: Group) {
        if !self.shared.dead.borrow().contains(&group) {
            self.shared.frozen.borrow_mut().entry(group).or_default();
        }
    }

    /// Lets the tasks of `group` run again.
    pub fn thaw(&self, group: Group) {
        let held = self.shared.frozen.borrow_mut().remove(&group).unwrap_or_default();
        self.shared.ready.queue().extend(held);
    }

    /// Virtual time since the beginning.
    pub fn time(&self) -> Duration {
        self.shared.time()
    }

    /// The wall clock for what must be `Send`, a record check for instance.
    pub fn wall_clock(&self) -> impl Fn() -> UnixMs + Send + Sync + 'static {
        let time_ms = self.shared.time_ms.clone();
        move || unix(&time_ms)
    }

    /// Runs everything until `future` completes, for at most `limit` of virtual time from now.
    pub fn run_until<T: 'static>(
        &self,
        limit: Duration,
        future: impl Future<Output = T> + 'static,
    ) -> Result<T, Stalled> {
        let output = Rc::new(RefCell::new(None));
        let slot = output.clone();
        let (_, group) = self.clock();
        let root = async move {
            let value = future.await;
            *slot.borrow_mut() = Some(value);
        };
        self.shared.spawn(group, Box::pin(root));
        let result = self.drive(limit, &output);
        if result.is_err() {
            self.kill(group);
        }
        result
    }

    fn drive<T>(&self, limit: Duration, output: &RefCell<Option<T>>) -> Result<T, Stalled> {
        let end = self.shared.time().saturating_add(limit);
        let mut polls = 0;
        loop {
            if let Some(value) = output.borrow_mut().take() {
                return Ok(value);
            }
            if self.shared.run_one() {
                polls += 1;
                if polls > POLLS_PER_INSTANT {
                    return Err(Stalled::BusyLoop { at: self.shared.time() });
                }
                continue;
            }
            polls = 0;
            if self.shared.time() >= end {
                return Err(Stalled::TimeLimit(limit));
            }
            if !self.shared.advance(end) {
                return Err(Stalled::Deadlock { tasks: self.shared.tasks.borrow().len() });
            }
        }
    }
}

/// Ends all tasks, so that what they hold is dropped with the executor.
impl Drop for Executor {
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut *self.shared.tasks.borrow_mut());
        drop(tasks);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, task::Poll};

    use futures::{channel::oneshot, future::poll_fn};

    use super::*;
    use crate::{Clock, timeout};

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn time_jumps_and_timers_fire_in_order() {
        let executor = Executor::new();
        let (clock, _) = executor.clock();
        let log = Rc::new(RefCell::new(Vec::new()));
        for (name, ms) in [("c", 300), ("a", 100), ("b", 100), ("z", 0)] {
            let (log, clock) = (log.clone(), clock.clone());
            clock.clone().spawn(Box::pin(async move {
                clock.sleep(Duration::from_millis(ms)).await;
                log.borrow_mut().push((name, clock.monotonic().as_millis()));
            }));
        }
        let sleeper = clock.clone();
        executor.run_until(HOUR, async move { sleeper.sleep(HOUR / 2).await }).unwrap();
        assert_eq!(*log.borrow(), [("z", 0), ("a", 100), ("b", 100), ("c", 300)]);
        assert_eq!(executor.time(), HOUR / 2);
        assert_eq!(clock.now().0, START_UNIX_MS + 1_800_000);
    }

    #[test]
    fn timeouts_work_in_virtual_time() {
        let executor = Executor::new();
        let (clock, _) = executor.clock();
        let limit = Duration::from_secs(10);
        let late =
            executor.run_until(HOUR, async move { timeout(&clock, limit, pending::<()>()).await });
        assert_eq!(late, Ok(Err(crate::Elapsed(limit))));
        assert_eq!(executor.time(), limit);
        assert!(executor.shared.timers.borrow().is_empty());
    }

    #[test]
    fn runs_that_cannot_end_say_why() {
        let executor = Executor::new();
        let (clock, _) = executor.clock();
        assert!(matches!(
            executor.run_until(HOUR, pending::<()>()),
            Err(Stalled::Deadlock { tasks: 1 })
        ));
        let sleeper = clock.clone();
        let forever = async move {
            loop {
                sleeper.sleep(Duration::from_secs(1)).await;
            }
        };
        assert_eq!(executor.run_until::<()>(HOUR, forever), Err(Stalled::TimeLimit(HOUR)));
        let busy = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(executor.run_until(HOUR, busy), Err(Stalled::BusyLoop { at: HOUR }));
    }

    #[test]
    fn a_frozen_group_stands_still_and_goes_on_where_it_was() {
        let executor = Executor::new();
        let (tab, group) = executor.clock();
        let (other, _) = executor.clock();
        let log = Rc::new(RefCell::new(Vec::new()));
        for (name, ms) in [("b", 200), ("a", 100)] {
            let (log, clock) = (log.clone(), tab.clone());
            tab.spawn(Box::pin(async move {
                clock.sleep(Duration::from_millis(ms)).await;
                log.borrow_mut().push((name, clock.monotonic().as_millis()));
            }));
        }
        let wait = |ms| {
            let clock = other.clone();
            async move { clock.sleep(Duration::from_millis(ms)).await }
        };
        executor.run_until(HOUR, wait(10)).unwrap();
        executor.freeze(group);
        executor.run_until(HOUR, wait(1_000)).unwrap();
        assert!(log.borrow().is_empty());
        executor.thaw(group);
        executor.run_until(HOUR, wait(1_000)).unwrap();
        assert_eq!(*log.borrow(), [("a", 1_010), ("b", 1_010)]);
        executor.freeze(group);
        executor.kill(group);
        executor.thaw(group);
        assert!(executor.shared.frozen.borrow().is_empty());
    }

    #[test]
    fn killing_a_group_drops_its_tasks_and_no_others() {
        let executor = Executor::new();
        let (victim, group) = executor.clock();
        let (other, _) = executor.clock();
        let (dead, death) = oneshot::channel::<()>();
        let (alive, life) = oneshot::channel::<()>();
        victim.spawn(Box::pin(async move {
            pending::<()>().await;
            drop(dead);
        }));
        let clock = other.clone();
        other.spawn(Box::pin(async move {
            clock.sleep(Duration::from_secs(1)).await;
            alive.send(()).unwrap();
        }));
        let waiter = other.clone();
        executor
            .run_until(HOUR, async move { waiter.sleep(Duration::from_millis(1)).await })
            .unwrap();
        executor.kill(group);
        victim.spawn(Box::pin(async { panic!("a dead group runs nothing") }));
        assert!(executor.run_until(HOUR, death).unwrap().is_err());
        assert_eq!(executor.run_until(HOUR, life), Ok(Ok(())));
    }
}
