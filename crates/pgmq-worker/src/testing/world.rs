//! A whole worker without a database, and with a clock that the test turns.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_timer::Delay;

use crate::erased::BoxFuture;
use crate::layer::{Layer, Next, NextBatch};
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::shell::backend::Backend;
use crate::shell::clock::{Clock, Turned};
use crate::shell::spawn::Spawner;
use crate::testing::executor::{Executor, Round};
use crate::testing::memory::MemoryQueue;
use crate::worker::Builder;

/// The time of the world after which [`World::run`] stops waiting for its future.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A world for workers, without a database and without waiting: queues in memory, and a clock that stands
/// still until the test lets time [pass](Self::pass).
///
/// The workers are those that run in production, with all their settings, retries, leases and timeouts; only
/// the database and the clock differ. They run on the task of the test while it lets time pass, so a test has
/// the same result each time it runs. Nothing is left to chance: retries have no jitter.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::testing::World;
/// use pgmq_worker::{Job, Queue};
///
/// async fn send_email(job: Job<String>) -> Result<(), &'static str> {
///     if job.reads() < 3 { Err("the mail server is busy") } else { Ok(()) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), pgmq_worker::StartError> {
/// let world = World::with_queues(["emails"]);
/// let worker = world.worker().queue("emails", Queue::new(), send_email).start().await?;
///
/// world.send("emails", "to Ada");
/// world.pass(Duration::from_secs(14)).await;
/// assert_eq!(world.queue_length("emails"), 1, "the retries are after 5 and 10 seconds");
/// world.pass(Duration::from_secs(1)).await;
/// assert_eq!(world.queue_length("emails"), 0);
///
/// assert!(world.run(worker.stop()).await.is_clean());
/// # Ok(())
/// # }
/// ```
///
/// # Limits
///
/// The queues are those of a [`MemoryQueue`], with its limits: [`queue`](Self::queue) returns it, for
/// handlers that are generic over a queue.
///
/// A handler that waits for anything but the world, such as a socket or a timer of its runtime, is not waited
/// for: the clock is turned meanwhile. Let it wait by [`sleep`](Self::sleep), or grant it real time by
/// [`patience`](Self::patience). The clock stands still while a handler computes, however long that takes,
/// and a handler that blocks its thread blocks the test.
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
    executor: Executor,
    handlers: Arc<Handlers>,
}

/// The handlers that run, and those of them that wait for the clock of the world.
#[derive(Default)]
struct Handlers {
    running: AtomicUsize,
    sleeping: AtomicUsize,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// The methods of both worlds, which have a queue in memory and a clock in the field `inner`.
macro_rules! world_methods {
    () => {
        /// Creates a world with these queues: see [`create_queue`](Self::create_queue).
        ///
        /// # Panics
        ///
        /// If a name is not that of a queue.
        pub fn with_queues<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
            let world = Self::new();
            for name in names {
                world.create_queue(name.as_ref());
            }
            world
        }

        /// The queues, as a back end.
        pub fn queue(&self) -> $crate::testing::memory::MemoryQueue {
            self.inner.queue.clone()
        }

        /// Creates a queue that notifies of messages, with the throttle that PGMQ sets.
        ///
        /// To create one that does not notify, use the [`queue`](Self::queue).
        ///
        /// # Panics
        ///
        /// If the name is not that of a queue.
        pub fn create_queue(&self, name: &str) {
            let queue = &self.inner.queue;
            let created = ::pgmq_core::Queue::create_queue(queue, name)
                .and_then(|()| ::pgmq_core::Queue::enable_notify(queue, name));
            created.unwrap_or_else(|error| panic!("{error}"));
        }

        /// Sends a message, and returns its id.
        ///
        /// # Panics
        ///
        /// If the queue does not exist, or the payload cannot be written as JSON.
        pub fn send<T: ::serde::Serialize + ?Sized>(&self, queue: &str, payload: &T) -> i64 {
            self.send_with(queue, payload, &::pgmq_core::SendOptions::new())
        }

        /// Sends a message with headers or a delay, and returns its id.
        ///
        /// # Panics
        ///
        /// If the queue does not exist, or the payload or the headers cannot be written as JSON.
        pub fn send_with<T: ::serde::Serialize + ?Sized>(
            &self,
            queue: &str,
            payload: &T,
            options: &::pgmq_core::SendOptions,
        ) -> i64 {
            ::pgmq_core::Queue::send_with(&self.inner.queue, queue, payload, options)
                .unwrap_or_else(|error| panic!("{error}"))
        }

        /// All messages of a queue, visible or not, in the order of their ids.
        pub fn messages(&self, queue: &str) -> Vec<::pgmq_core::Message<::pgmq_core::RawJson>> {
            self.inner.queue.messages(queue)
        }

        /// The number of messages in a queue, visible or not.
        pub fn queue_length(&self, queue: &str) -> usize {
            self.messages(queue).len()
        }

        /// The messages in the dead-letter queue of a queue, unless the worker's settings give it another
        /// name than `<queue>_dlq`.
        pub fn dead_letters(&self, queue: &str) -> Vec<::pgmq_core::Message<::pgmq_core::RawJson>> {
            self.messages(&format!("{queue}_dlq"))
        }

        /// The messages in the archive of a queue, in the order of their ids.
        pub fn archived(&self, queue: &str) -> Vec<::pgmq_core::Message<::pgmq_core::RawJson>> {
            self.inner.queue.archived(queue)
        }

        /// Lets the next operation of this group fail, without having done anything. Further calls are for
        /// the operations after it.
        pub fn fail_next(&self, op: $crate::testing::memory::Op, kind: ::pgmq_core::ErrorKind) {
            self.inner.queue.fail_next(op, kind);
        }

        /// Lets the next operation of this group be done, and its answer be lost, as by a broken connection.
        pub fn lose_next(&self, op: $crate::testing::memory::Op) {
            self.inner.queue.lose_next(op);
        }

        /// Lets all operations of this group fail, until [`recover`](Self::recover).
        pub fn fail(&self, op: $crate::testing::memory::Op, kind: ::pgmq_core::ErrorKind) {
            self.inner.queue.fail(op, kind);
        }

        /// Ends all faults.
        pub fn recover(&self) {
            self.inner.queue.recover();
        }

        /// Lets another worker read a message, visible or not, so that the worker which has it loses the
        /// lease. The other worker hides it for 30 seconds, and does nothing with it. Returns `false` if it
        /// is not there.
        pub fn take_away(&self, queue: &str, msg_id: i64) -> bool {
            self.inner.queue.take_away(queue, msg_id)
        }

        /// The time that has passed since the world was made.
        pub fn passed(&self) -> ::std::time::Duration {
            self.inner.clock.passed()
        }
    };
}
pub(crate) use world_methods;

impl World {
    world_methods!();

    /// Creates a world without queues.
    pub fn new() -> Self {
        let clock = Turned::new();
        let inner = Inner {
            queue: MemoryQueue::by(Clock::Turned(Arc::clone(&clock))),
            clock,
            executor: Executor::default(),
            handlers: Arc::default(),
        };
        Self { inner: Arc::new(inner), patience: Duration::ZERO }
    }

    /// Waits for handlers that wait for something outside of the world, for up to this real time, before the
    /// clock is turned. The default is zero.
    ///
    /// A handler that waits for a cancellation is one of them, and costs this time whenever the clock is
    /// turned.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Begins to build a worker of this world. It runs while the world [passes](Self::pass).
    ///
    /// There can be several, which compete for the messages.
    pub fn worker(&self) -> Builder {
        // The tasks hold the spawner. A strong reference would keep the world alive for ever.
        let world: Weak<Inner> = Arc::downgrade(&self.inner);
        let spawner = Spawner::new(move |task| {
            if let Some(world) = world.upgrade() {
                world.executor.spawn(task);
            }
        });
        let count = Count(Arc::clone(&self.inner.handlers));
        let clock = Clock::Turned(Arc::clone(&self.inner.clock));
        Builder::by(Arc::new(Backend(self.queue())), spawner, clock).layer(count)
    }

    /// Waits for this time of the world: for handlers.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + use<> {
        let sleep = self.inner.clock.sleep_until(self.passed().saturating_add(time));
        let handlers = Arc::clone(&self.inner.handlers);
        async move {
            let _sleeping = Counted::new(&handlers, |handlers| &handlers.sleeping);
            sleep.await;
        }
    }

    /// Lets this time pass, with all that happens within it, and until everything waits that can run now.
    ///
    /// # Panics
    ///
    /// If a handler calls it.
    pub async fn pass(&self, time: Duration) {
        let until = self.passed().saturating_add(time);
        let _: Option<Infallible> = self.go(until, pending()).await;
    }

    /// Runs a future, such as the stop of a worker, and lets the time pass that it takes.
    ///
    /// # Panics
    ///
    /// If it does not end within a day of the world's time, or if a handler calls it.
    pub async fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let until = self.passed().saturating_add(DAY);
        match self.go(until, future).await {
            Some(value) => value,
            None => panic!("the future has not ended within a day of the world's time"),
        }
    }

    /// Runs the tasks and the future, and turns the clock whenever all of them wait.
    async fn go<T>(&self, until: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut patience = None;
        poll_fn(|context| {
            loop {
                match self.inner.executor.run(future.as_mut(), context) {
                    Round::Ready(value) => return Poll::Ready(Some(value)),
                    Round::Quiet => {}
                    Round::Busy => {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                if !self.patience.is_zero() && self.inner.handlers.are_elsewhere() {
                    let delay = patience.get_or_insert_with(|| Delay::new(self.patience));
                    if Pin::new(delay).poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    patience = None;
                }
                let next = self.inner.clock.next().filter(|next| *next <= until);
                self.inner.clock.turn(next.unwrap_or(until));
                if next.is_none() {
                    return Poll::Ready(None);
                }
            }
        })
        .await
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("passed", &self.passed()).field("queue", &self.inner.queue).finish()
    }
}

impl Handlers {
    /// Returns `true` if a handler waits for something else than the clock of the world.
    fn are_elsewhere(&self) -> bool {
        self.running.load(Ordering::Relaxed) > self.sleeping.load(Ordering::Relaxed)
    }
}

/// A handler that is counted until this is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(handlers: &'a Handlers, counter: fn(&Handlers) -> &AtomicUsize) -> Self {
        let counter = counter(handlers);
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The layer that counts the handlers.
struct Count(Arc<Handlers>);

impl Layer for Count {
    fn around<'a>(&'a self, _: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let _running = Counted::new(&self.0, |handlers| &handlers.running);
            next.run().await
        })
    }

    fn around_batch<'a>(&'a self, _: &'a [Arc<Meta>], next: NextBatch<'a>) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let _running = Counted::new(&self.0, |handlers| &handlers.running);
            next.run().await
        })
    }
}
