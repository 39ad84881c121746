//! A whole sync worker without a database, and with a clock that the test turns.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::shell::clock::{Clock, Turned};
use crate::shell::threads::Threads;
use crate::sync::shell::backend::Backend;
use crate::sync::worker::Builder;
use crate::testing::memory::MemoryQueue;
use crate::testing::world::world_methods;

/// The time of the world after which [`World::run`] stops waiting for its function.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The real time that a handler has, unless it is set.
const PATIENCE: Duration = Duration::from_secs(60);

/// A world for workers, without a database and without waiting: queues in memory, and a clock that stands
/// still until the test lets time [pass](Self::pass).
///
/// The workers are those that run in production, with their threads and all their settings, retries, leases
/// and timeouts; only the database and the clock differ. The clock is turned when all threads wait. Nothing
/// is left to chance: retries have no jitter. What happens at the same time of the world happens on several
/// threads, and in any order.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::Queue;
/// use pgmq_worker::sync::Job;
/// use pgmq_worker::sync::testing::World;
///
/// fn send_email(job: &Job<String>) -> Result<(), &'static str> {
///     if job.reads() < 3 { Err("the mail server is busy") } else { Ok(()) }
/// }
///
/// # fn main() -> Result<(), pgmq_worker::StartError> {
/// let world = World::with_queues(["emails"]);
/// let worker = world.worker().queue("emails", Queue::new(), send_email).start()?;
///
/// world.send("emails", "to Ada");
/// world.pass(Duration::from_secs(14));
/// assert_eq!(world.queue_length("emails"), 1, "the retries are after 5 and 10 seconds");
/// world.pass(Duration::from_secs(1));
/// assert_eq!(world.queue_length("emails"), 0);
///
/// assert!(world.run(|| worker.stop()).is_clean());
/// # Ok(())
/// # }
/// ```
///
/// # Limits
///
/// The queues are those of a [`MemoryQueue`], with its limits: [`queue`](Self::queue) returns it, for
/// handlers that are generic over a queue.
///
/// The clock stands still while a handler runs, also while it blocks on something outside of the world, but
/// not while it waits by [`Job::sleep`](crate::sync::Job::sleep) or
/// [`Job::wait_cancelled`](crate::sync::Job::wait_cancelled).
///
/// Clones are handles of the same world.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
    patience: Duration,
}

struct Inner {
    clock: Arc<Turned>,
    queue: MemoryQueue,
    /// Locked while time passes.
    passing: Mutex<()>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    world_methods!();

    /// Creates a world without queues.
    pub fn new() -> Self {
        let clock = Turned::new();
        let queue = MemoryQueue::by(Clock::Turned(Arc::clone(&clock)));
        Self { inner: Arc::new(Inner { clock, queue, passing: Mutex::default() }), patience: PATIENCE }
    }

    /// Sets the real time that handlers have until they end or wait for the world, after which
    /// [`pass`](Self::pass) panics. The default is a minute.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Begins to build a worker of this world.
    ///
    /// There can be several, which compete for the messages.
    pub fn worker(&self) -> Builder {
        Builder::by(Arc::new(Backend(self.queue())), Clock::Turned(Arc::clone(&self.inner.clock)))
    }

    /// Lets this time pass, with all that happens within it, and until everything waits that can run now.
    ///
    /// # Panics
    ///
    /// If a handler calls it, or if a handler blocks for longer than the [`patience`](Self::patience).
    pub fn pass(&self, time: Duration) {
        let until = self.passed().saturating_add(time);
        self.go(until, || false);
    }

    /// Runs a function, such as the stop of a worker, on a thread of its own, and lets the time pass that it
    /// takes.
    ///
    /// # Panics
    ///
    /// If it does not return within a day of the world's time, if it panics, if a handler calls this, or if
    /// a handler blocks for longer than the [`patience`](Self::patience). The panic is shown at once, and the
    /// call ends when the function does.
    pub fn run<T: Send>(&self, call: impl FnOnce() -> T + Send) -> T {
        let until = self.passed().saturating_add(DAY);
        let has_ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let counted = self.inner.clock.threads().begin();
            let calling = scope.spawn(|| {
                let counted = counted;
                counted.enter();
                let _ends = Ends(&has_ended);
                call()
            });
            let ended = || has_ended.load(Ordering::SeqCst);
            if !self.go(until, ended) {
                panic!("the function has not returned within a day of the world's time");
            }
            calling.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Turns the clock whenever all threads wait, until the time or the condition. Returns `true` if it was
    /// the condition.
    fn go(&self, until: Duration, ended: impl Fn() -> bool) -> bool {
        assert!(
            !Threads::is_this_counted(),
            "the world passes already: only the test may let it pass, and not a handler"
        );
        let _passing = self.inner.passing.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = &self.inner.clock;
        loop {
            assert!(
                clock.threads().quiet(self.patience),
                "a handler has neither ended nor waited for the world within {:?} of real time",
                self.patience
            );
            if ended() {
                return true;
            }
            let next = clock.next().filter(|next| *next <= until);
            clock.turn(next.unwrap_or(until));
            if next.is_none() {
                return false;
            }
        }
    }
}

/// Sets a flag at the end of a function, also by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("passed", &self.passed()).field("queue", &self.inner.queue).finish()
    }
}
