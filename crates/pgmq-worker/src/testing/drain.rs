//! Handling everything that is in a queue now, on the task of the test.

use std::fmt;
use std::sync::Arc;

use pgmq_core::{AsyncQueue, Claim, Message, RawJson, statement};

use crate::erased::Registered;
use crate::into_handler::{IntoHandler, Runnable};
use crate::layer::{Layer, layered};
use crate::queue::Queue;
use crate::shell::backend::settle;
use crate::shell::change::Change;
use crate::testing::drained::{Course, Drained, Plan};
use crate::testing::fate::Traits;
use crate::testing::perform::handle;
use crate::testing::report::DrainReport;

/// The number of hidden messages that are looked for at once.
pub(crate) const LOOK: u32 = 1000;

/// Handles everything that is in a queue now, on this task, with the reads and changes that a worker would
/// make. Ends when nothing is visible any more, and reports what has become of the messages.
///
/// The queue is any async one: that of a pool, or one that is bound to a transaction, so that a test can roll
/// everything back. The names of queues, their settings and handlers, the layers and the state are those that
/// a [`Worker`](crate::Worker) gets.
///
/// ```no_run
/// use pgmq_tokio::PGMQueue;
/// use pgmq_worker::testing::drain;
/// use pgmq_worker::{Job, Queue};
///
/// async fn send_email(job: Job<String>) -> Result<(), &'static str> {
///     if job.contains('@') { Ok(()) } else { Err("no address") }
/// }
///
/// # async fn example(queue: PGMQueue) -> Result<(), pgmq_tokio::Error> {
/// let mut session = queue.session().await?;
/// let mut transaction = session.transaction().await?;
/// let in_transaction = queue.with(&mut transaction);
/// in_transaction.send("emails", "ada@example.org").await?;
/// in_transaction.send("emails", "nobody").await?;
///
/// let report = drain(&in_transaction).queue("emails", Queue::new(), send_email).run().await?;
/// assert_eq!(report.done().len(), 1);
/// assert_eq!(report.failures(), ["queue emails: message 2 (read 1): no address"]);
/// transaction.rollback().await?;
/// # Ok(())
/// # }
/// ```
///
/// Handlers run one after the other. Their timeouts have no effect, and leases are not extended. A handler
/// that finishes its message in a transaction of its own waits for ever for one in which the queue is
/// drained.
pub fn drain<Q: AsyncQueue>(queue: &Q) -> Drain<'_, Q> {
    Drain { queue, handlers: Vec::new(), layers: Vec::new(), plan: Plan::default() }
}

/// A drain of queues, made by [`drain`].
#[must_use = "nothing is handled until `run` is called"]
pub struct Drain<'q, Q> {
    queue: &'q Q,
    handlers: Vec<(String, Queue, Registered)>,
    layers: Vec<Arc<dyn Layer>>,
    plan: Plan,
}

/// The methods of a `Drain`, which has its settings in the field `plan`.
macro_rules! drain_methods {
    () => {
        /// Handles the messages of a queue. Several queues are drained in turns, until all of them are empty.
        pub fn queue<Kind>(
            mut self,
            name: impl Into<String>,
            settings: $crate::queue::Queue,
            handler: impl IntoHandler<Kind, Typed: Runnable>,
        ) -> Self {
            self.handlers.push((name.into().to_lowercase(), settings, handler.into_handler().into_any().0));
            self
        }

        /// Puts a layer around all handlers. The first layer is the outermost.
        pub fn layer(mut self, layer: impl Layer + 'static) -> Self {
            self.layers.push(::std::sync::Arc::new(layer));
            self
        }

        /// Shares a value with all handlers, which get it by its type.
        pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
            self.plan.state.insert(value);
            self
        }

        /// Handles messages that are hidden as well, as if their time had come: those that were sent with a
        /// delay, and those that are to be retried or were snoozed, also by this drain. A handler that always
        /// fails thus gets to its dead letter at once.
        ///
        /// A message that is hidden because another consumer has it is taken as well.
        pub fn with_delayed(mut self, takes_delayed: bool) -> Self {
            self.plan.takes_delayed = takes_delayed;
            self
        }

        /// Sets the number of messages after which the drain fails, counting each read, so that a handler
        /// which sends to its own queue, or snoozes for ever, does not run for ever. The default is 1000.
        pub fn at_most(mut self, messages: usize) -> Self {
            self.plan.at_most = messages;
            self
        }
    };
}
pub(crate) use drain_methods;

impl<Q: AsyncQueue> Drain<'_, Q> {
    drain_methods!();

    /// Handles the messages. The dead-letter queues are created if they are missing.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `create_queue`, `read_batch` and the operations that settle messages. An
    /// error of kind [`InvalidArgument`](pgmq_core::ErrorKind::InvalidArgument) says that a setting is of no
    /// use, or that there are more messages than [`at_most`](Self::at_most).
    pub async fn run(self) -> Result<DrainReport, Q::Error> {
        let Self { queue, handlers, layers, plan } = self;
        let (layers, mut course) = (layers.into(), Course::new(plan.at_most));
        let mut draining = Vec::with_capacity(handlers.len());
        for (name, settings, handler) in handlers {
            let handler = layered(handler, &layers);
            let traits = Traits { takes_batches: handler.takes_batches(), max_reads: handler.max_reads() };
            let drained = Drained::new(name, settings, &traits, &plan.state)?;
            queue.create_queue(&drained.source.dead_letter_queue).await?;
            draining.push((drained, handler));
        }
        loop {
            let before = course.left;
            for (drained, handler) in &draining {
                let name = &*drained.source.queue;
                loop {
                    let qty = course.next(drained.court.batch);
                    let mut messages = queue.read_batch::<RawJson>(name, drained.vt(), qty).await?;
                    if messages.is_empty() && plan.takes_delayed && release_all(queue, name).await? {
                        messages = queue.read_batch::<RawJson>(name, drained.vt(), qty).await?;
                    }
                    if messages.is_empty() {
                        break;
                    }
                    let jobs = drained.jobs(course.took(name, messages)?);
                    let outcomes = handle(handler, drained.to_handle(&jobs)).await;
                    let decided = drained.decide(jobs, outcomes, |job, outcome| {
                        drained.court.after(job, outcome, handler.rules(job))
                    });
                    for (job, decided) in decided {
                        let hit = match decided.change(&job) {
                            Some(change) => settled(queue, name, &change).await?,
                            None => true,
                        };
                        course.add(&job, decided, hit);
                    }
                }
            }
            if course.left == before {
                return Ok(course.report);
            }
        }
    }
}

impl<Q> fmt::Debug for Drain<'_, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues: Vec<_> = self.handlers.iter().map(|(name, ..)| name).collect();
        f.debug_struct("Drain").field("queues", &queues).finish_non_exhaustive()
    }
}

/// Makes a change of one message. Returns `true` if the message was there.
async fn settled<Q: AsyncQueue>(queue: &Q, name: &str, change: &Change) -> Result<bool, Q::Error> {
    Ok(!settle(queue, name, change).await?.is_empty())
}

/// Makes all messages of a queue visible. Returns `true` if there is one.
async fn release_all<Q: AsyncQueue>(queue: &Q, name: &str) -> Result<bool, Q::Error> {
    let mut last = 0;
    let mut found = false;
    loop {
        let messages: Vec<Message<RawJson>> = queue.run(statement::peek_all(name, last, LOOK)).await?;
        let Some(message) = messages.last() else { return Ok(found) };
        last = message.msg_id;
        let claims: Vec<Claim> = messages.iter().map(Message::claim).collect();
        found |= !queue.hold(name, &claims, 0).await?.is_empty();
    }
}
