//! Handling everything that is in a queue now, on the task of the test.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pgmq_core::{AsyncQueue, Claim, Error, ErrorKind, Message, RawJson, statement};

use crate::erased::Registered;
use crate::failure::Failure;
use crate::into_handler::{IntoHandler, Runnable};
use crate::layer::{Layer, layered};
use crate::meta::{Meta, Source};
use crate::outcome::Outcome;
use crate::queue::Queue;
use crate::shell::backend::settle;
use crate::shell::change::Change;
use crate::shell::clock::Clock;
use crate::state::State;
use crate::testing::fate::{Court, Decided, Fate, Traits};
use crate::testing::perform::handle;

/// The number of messages that a drain handles, unless it is set.
const AT_MOST: usize = 1000;
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

/// The settings of a drain.
pub(crate) struct Plan {
    pub(crate) state: State,
    pub(crate) takes_delayed: bool,
    pub(crate) at_most: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { state: State::default(), takes_delayed: false, at_most: AT_MOST }
    }
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
    /// Returns the same errors as `create_queue`, `read_batch` and the operations that settle messages.
    /// An error of kind [`ErrorKind::InvalidArgument`] says that a setting is of no use, or that there are
    /// more messages than [`at_most`](Self::at_most).
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

/// One queue that is drained.
pub(crate) struct Drained {
    pub(crate) source: Arc<Source>,
    pub(crate) court: Court,
}

impl Drained {
    pub(crate) fn new(name: String, settings: Queue, traits: &Traits, state: &State) -> Result<Self, Error> {
        let court = Court::new(&name, settings, traits)
            .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
        let source = Source {
            dead_letter_queue: court.settings.dead_letter_queue_of(&name).into(),
            queue: name.into(),
            worker: "drain".into(),
            state: Arc::new(state.clone()),
            clock: Clock::System,
        };
        Ok(Self { source: Arc::new(source), court })
    }

    pub(crate) fn vt(&self) -> Duration {
        self.court.settings.visibility_timeout()
    }

    pub(crate) fn jobs(&self, messages: Vec<Message<RawJson>>) -> Vec<Arc<Meta>> {
        let now = Clock::System.now();
        let expires = now.checked_add(self.vt()).unwrap_or(now);
        let job = |message| Arc::new(Meta::new(Arc::clone(&self.source), message, expires));
        messages.into_iter().map(job).collect()
    }

    /// The messages that the handler is to see.
    pub(crate) fn to_handle(&self, jobs: &[Arc<Meta>]) -> Vec<Arc<Meta>> {
        jobs.iter().filter(|job| self.court.before(job).is_none()).cloned().collect()
    }

    /// The decisions on all messages, from the outcomes of those that the handler has seen.
    pub(crate) fn decide(
        &self,
        jobs: Vec<Arc<Meta>>,
        outcomes: Vec<Outcome>,
        decide: impl Fn(&Arc<Meta>, Outcome) -> Decided,
    ) -> Vec<(Arc<Meta>, Decided)> {
        let mut outcomes = outcomes.into_iter();
        let decided = jobs.into_iter().filter_map(|job| {
            let decided = match self.court.before(&job) {
                Some(decided) => decided,
                None => decide(&job, outcomes.next()?),
            };
            Some((job, decided))
        });
        decided.collect()
    }
}

/// The course of a drain: what it may still handle, and what it has.
pub(crate) struct Course {
    at_most: usize,
    pub(crate) left: usize,
    pub(crate) report: DrainReport,
}

impl Course {
    pub(crate) fn new(at_most: usize) -> Self {
        Self { at_most, left: at_most, report: DrainReport::default() }
    }

    /// The number of messages to read: at the limit, one that shows that there are too many.
    pub(crate) fn next(&self, batch: usize) -> u32 {
        u32::try_from(batch.min(self.left).max(1)).unwrap_or(u32::MAX)
    }

    /// Counts messages that were read.
    pub(crate) fn took(
        &mut self,
        queue: &str,
        messages: Vec<Message<RawJson>>,
    ) -> Result<Vec<Message<RawJson>>, Error> {
        match self.left.checked_sub(messages.len()) {
            Some(left) => self.left = left,
            None => {
                let text = format!(
                    "the drain has handled {} messages, and queue {queue:?} has more; a handler may send to its \
                     own queue or snooze for ever, otherwise set a higher limit with at_most",
                    self.at_most
                );
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        }
        Ok(messages)
    }

    /// Adds a message to the report.
    pub(crate) fn add(&mut self, job: &Meta, decided: Decided, was_there: bool) {
        let Decided { outcome, fate, failure, .. } = decided;
        self.report.messages.push(DrainedMessage {
            queue: job.queue().to_owned(),
            msg_id: job.id(),
            reads: job.reads(),
            outcome,
            fate,
            failure,
            was_there,
        });
    }
}

/// The messages that a drain has handled, in their order. A message that was handled twice is there twice.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct DrainReport {
    /// All messages.
    pub messages: Vec<DrainedMessage>,
}

/// A message that a drain has handled.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DrainedMessage {
    /// The queue.
    pub queue: String,
    /// The id of the message.
    pub msg_id: i64,
    /// The number of times that it was read, this one included.
    pub reads: i32,
    /// The outcome of the handler.
    pub outcome: Outcome,
    /// The fate of the message.
    pub fate: Fate,
    /// The failure, if there is one.
    pub failure: Option<Failure>,
    /// `false` if the message was gone when it was to be settled, or another consumer had read it since: the
    /// fate is not what has become of it.
    pub was_there: bool,
}

impl DrainReport {
    /// The ids of the messages whose work is done: they are deleted, archived, forwarded, or finished by
    /// their handlers.
    pub fn done(&self) -> Vec<i64> {
        self.ids(|fate| {
            matches!(fate, Fate::Deleted | Fate::Archived | Fate::Forwarded { .. } | Fate::Finished)
        })
    }

    /// The ids of the messages that are to be retried.
    pub fn retried(&self) -> Vec<i64> {
        self.ids(|fate| matches!(fate, Fate::Retried { .. }))
    }

    /// The ids of the messages that are snoozed.
    pub fn snoozed(&self) -> Vec<i64> {
        self.ids(|fate| matches!(fate, Fate::Snoozed { .. } | Fate::Released))
    }

    /// The ids that the messages in dead-letter queues had before.
    pub fn dead(&self) -> Vec<i64> {
        self.ids(|fate| matches!(fate, Fate::DeadLettered { .. }))
    }

    /// The ids of the messages that were deleted although their work is not done.
    pub fn discarded(&self) -> Vec<i64> {
        self.ids(|fate| matches!(fate, Fate::Discarded))
    }

    /// The ids of the messages that were gone when they were to be settled, or that another consumer had read
    /// since. The other lists are without them.
    pub fn lost(&self) -> Vec<i64> {
        self.messages.iter().filter(|message| !message.was_there).map(|message| message.msg_id).collect()
    }

    /// The failures, with the queue, the message and the number of reads in front of their texts.
    pub fn failures(&self) -> Vec<String> {
        let failures = self.messages.iter().filter_map(|message| {
            let DrainedMessage { queue, msg_id, reads, failure, .. } = message;
            Some(format!("queue {queue}: message {msg_id} (read {reads}): {}", failure.as_ref()?))
        });
        failures.collect()
    }

    /// The part of the report that is about one queue.
    #[must_use]
    pub fn of(&self, queue: &str) -> Self {
        let queue = queue.to_lowercase();
        let messages = self.messages.iter().filter(|message| message.queue == queue);
        Self { messages: messages.cloned().collect() }
    }

    fn ids(&self, has: impl Fn(&Fate) -> bool) -> Vec<i64> {
        let messages = self.messages.iter().filter(|message| message.was_there && has(&message.fate));
        messages.map(|message| message.msg_id).collect()
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} done, {} retried, {} snoozed, {} dead, {} discarded, {} lost",
            self.done().len(),
            self.retried().len(),
            self.snoozed().len(),
            self.dead().len(),
            self.discarded().len(),
            self.lost().len()
        )?;
        self.failures().iter().try_for_each(|failure| write!(f, "\n{failure}"))
    }
}
