//! Handling everything that is in a queue now, on the thread of the test.

use std::fmt;
use std::sync::Arc;

use pgmq_core::{Claim, Message, Queue, RawJson, statement};

use crate::sync::erased::Registered;
use crate::sync::into_handler::{IntoHandler, Runnable};
use crate::sync::layer::{Layer, layered};
use crate::sync::shell::backend::settle;
use crate::sync::testing::perform::handle;
use crate::testing::drain::{LOOK, drain_methods};
use crate::testing::drained::{Course, Drained, Plan};
use crate::testing::fate::Traits;
use crate::testing::report::DrainReport;

/// Handles everything that is in a queue now, on this thread, with the reads and changes that a worker would
/// make. Ends when nothing is visible any more, and reports what has become of the messages.
///
/// The queue is any sync one: that of a pool, or one that is bound to a transaction, so that a test can roll
/// everything back. The names of queues, their settings and handlers, the layers and the state are those that
/// a [`Worker`](crate::sync::Worker) gets.
///
/// ```no_run
/// use pgmq_postgres::PGMQueue;
/// use pgmq_worker::Queue;
/// use pgmq_worker::sync::Job;
/// use pgmq_worker::sync::testing::drain;
///
/// fn send_email(job: &Job<String>) -> Result<(), &'static str> {
///     if job.contains('@') { Ok(()) } else { Err("no address") }
/// }
///
/// # fn example(queue: PGMQueue) -> Result<(), pgmq_postgres::Error> {
/// let mut session = queue.session()?;
/// let mut transaction = session.transaction()?;
/// let in_transaction = queue.with(&mut transaction);
/// in_transaction.send("emails", "ada@example.org")?;
/// in_transaction.send("emails", "nobody")?;
///
/// let report = drain(&in_transaction).queue("emails", Queue::new(), send_email).run()?;
/// assert_eq!(report.done().len(), 1);
/// assert_eq!(report.failures(), ["queue emails: message 2 (read 1): no address"]);
/// transaction.rollback()?;
/// # Ok(())
/// # }
/// ```
///
/// Handlers run one after the other. Their timeouts have no effect, and leases are not extended. A handler
/// that finishes its message in a transaction of its own waits for ever for one in which the queue is
/// drained.
pub fn drain<Q: Queue>(queue: &Q) -> Drain<'_, Q> {
    Drain { queue, handlers: Vec::new(), layers: Vec::new(), plan: Plan::default() }
}

/// A drain of queues, made by [`drain`].
#[must_use = "nothing is handled until `run` is called"]
pub struct Drain<'q, Q> {
    queue: &'q Q,
    handlers: Vec<(String, crate::queue::Queue, Registered)>,
    layers: Vec<Arc<dyn Layer>>,
    plan: Plan,
}

impl<Q: Queue> Drain<'_, Q> {
    drain_methods!();

    /// Handles the messages. The dead-letter queues are created if they are missing.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `create_queue`, `read_batch` and the operations that settle messages. An
    /// error of kind [`InvalidArgument`](pgmq_core::ErrorKind::InvalidArgument) says that a setting is of no
    /// use, or that there are more messages than [`at_most`](Self::at_most).
    pub fn run(self) -> Result<DrainReport, Q::Error> {
        let Self { queue, handlers, layers, plan } = self;
        let (layers, mut course) = (layers.into(), Course::new(plan.at_most));
        let mut draining = Vec::with_capacity(handlers.len());
        for (name, settings, handler) in handlers {
            let handler = layered(handler, &layers);
            let traits = Traits { takes_batches: handler.takes_batches(), max_reads: handler.max_reads() };
            let drained = Drained::new(name, settings, &traits, &plan.state)?;
            queue.create_queue(&drained.source.dead_letter_queue)?;
            draining.push((drained, handler));
        }
        loop {
            let before = course.left;
            for (drained, handler) in &draining {
                let name = &*drained.source.queue;
                loop {
                    let qty = course.next(drained.court.batch);
                    let mut messages = queue.read_batch::<RawJson>(name, drained.vt(), qty)?;
                    if messages.is_empty() && plan.takes_delayed && release_all(queue, name)? {
                        messages = queue.read_batch::<RawJson>(name, drained.vt(), qty)?;
                    }
                    if messages.is_empty() {
                        break;
                    }
                    let jobs = drained.jobs(course.took(name, messages)?);
                    let outcomes = handle(handler, drained.to_handle(&jobs));
                    let decided = drained.decide(jobs, outcomes, |job, outcome| {
                        drained.court.after(job, outcome, handler.rules(job))
                    });
                    for (job, decided) in decided {
                        let hit = match decided.change(&job) {
                            Some(change) => !settle(queue, name, &change)?.is_empty(),
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

/// Makes all messages of a queue visible. Returns `true` if there is one.
fn release_all<Q: Queue>(queue: &Q, name: &str) -> Result<bool, Q::Error> {
    let mut last = 0;
    let mut found = false;
    loop {
        let messages: Vec<Message<RawJson>> = queue.run(statement::peek_all(name, last, LOOK))?;
        let Some(message) = messages.last() else { return Ok(found) };
        last = message.msg_id;
        let claims: Vec<Claim> = messages.iter().map(Message::claim).collect();
        found |= !queue.hold(name, &claims, 0)?.is_empty();
    }
}
