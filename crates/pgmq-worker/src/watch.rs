//! Watching the messages of a worker that runs.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use pgmq_core::Claim;

use crate::failure::Reason;
use crate::shell::clock::Clock;
use crate::shell::limit::within;
use crate::sync::shell::limit::wait;

/// The time for which a watch waits for an event, unless it is set.
const LIMIT: Duration = Duration::from_secs(10);
/// The number of events that an error shows.
const SHOWN: usize = 20;

/// An event of a message, once the server knows of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MessageEvent {
    /// The queue.
    pub queue: Arc<str>,
    /// The id of the message.
    pub msg_id: i64,
    /// The number of times that it was read, by the read that the event is about.
    pub reads: i32,
    /// The change that has happened to the message.
    pub happened: Happened,
}

/// A change that has happened to a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Happened {
    /// The message is deleted, as it is done or was discarded.
    Deleted,
    /// The message is in the archive.
    Archived,
    /// The message is deleted, and another one is sent.
    Forwarded {
        /// The queue of the new message.
        to: String,
    },
    /// The handler has finished the message in a transaction of its own.
    Finished,
    /// The handler has failed, and the message is tried again.
    Retried {
        /// The time until then.
        after: Duration,
        /// The text of the failure.
        error: String,
    },
    /// The message comes back without a failure: it is snoozed, or released.
    Snoozed {
        /// The time until then.
        after: Duration,
    },
    /// The message is in the dead-letter queue.
    DeadLettered {
        /// The header `x-dlq-reason`.
        reason: Reason,
        /// The header `x-dlq-error`.
        error: String,
    },
    /// The lease of the message is lost.
    Lost,
    /// The message was no longer there when it was to be finished.
    AlreadyGone,
    /// The handler does not end, although it was cancelled.
    Stuck,
    /// The message could not be settled, and comes again.
    NotSettled,
}

impl MessageEvent {
    pub(crate) fn of(queue: &Arc<str>, claim: Claim, happened: Happened) -> Self {
        Self { queue: Arc::clone(queue), msg_id: claim.msg_id, reads: claim.read_ct, happened }
    }

    /// Returns `true` if the work on this message is done: it is deleted, archived, forwarded or finished.
    pub fn is_done_for(&self, msg_id: i64) -> bool {
        let is_done = matches!(
            self.happened,
            Happened::Deleted | Happened::Archived | Happened::Forwarded { .. } | Happened::Finished
        );
        is_done && self.msg_id == msg_id
    }

    /// Returns `true` if this message is to be retried.
    pub fn is_retried_for(&self, msg_id: i64) -> bool {
        matches!(self.happened, Happened::Retried { .. }) && self.msg_id == msg_id
    }

    /// Returns `true` if this message is in the dead-letter queue.
    pub fn is_dead_for(&self, msg_id: i64) -> bool {
        matches!(self.happened, Happened::DeadLettered { .. }) && self.msg_id == msg_id
    }
}

impl fmt::Display for MessageEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} (read {}) ", self.msg_id, self.reads)?;
        match &self.happened {
            Happened::Deleted => f.write_str("is deleted"),
            Happened::Archived => f.write_str("is archived"),
            Happened::Forwarded { to } => write!(f, "is forwarded to {to}"),
            Happened::Finished => f.write_str("is finished by its handler"),
            Happened::Retried { after, error } => write!(f, "is retried after {after:?}: {error}"),
            Happened::Snoozed { after } => write!(f, "is snoozed for {after:?}"),
            Happened::DeadLettered { reason, error } => write!(f, "is a dead letter ({reason}): {error}"),
            Happened::Lost => f.write_str("has lost its lease"),
            Happened::AlreadyGone => f.write_str("was already gone"),
            Happened::Stuck => f.write_str("has a handler that does not end"),
            Happened::NotSettled => f.write_str("is not settled"),
        }
    }
}

/// The events of one queue of a worker, from the moment at which the watch began. Made by
/// [`Handle::watch`](crate::Handle::watch).
///
/// Begin to watch before you send: then no event is missed.
///
/// ```no_run
/// # use pgmq_tokio::PGMQueue;
/// # use pgmq_worker::Worker;
/// # async fn example(queue: PGMQueue, worker: Worker) -> Result<(), Box<dyn std::error::Error>> {
/// let mut emails = worker.handle().watch("emails").ok_or("no such queue")?;
/// let id = queue.send("emails", "hello").await?;
/// emails.until(|event| event.is_done_for(id)).await?;
/// # Ok(())
/// # }
/// ```
///
/// In a [`World`](crate::testing::World), the wait is run by the world, whose time the limit is:
/// `world.run(emails.until(..)).await`.
///
/// Events are kept until they are looked at, so do not keep a watch that you do not use.
pub struct Watch {
    queue: Arc<str>,
    events: Receiver<MessageEvent>,
    clock: Clock,
    limit: Duration,
}

impl Watch {
    pub(crate) fn new(queue: Arc<str>, events: Receiver<MessageEvent>, clock: Clock) -> Self {
        Self { queue, events, clock, limit: LIMIT }
    }

    /// Sets the longest time that a wait takes; the default is 10 seconds.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Waits for an event that matches, and returns it. The events before it are passed over.
    ///
    /// # Errors
    ///
    /// [`NotSeen`], if there is no such event within the limit, or before the worker has stopped. It lists
    /// the events that there were.
    pub async fn until(
        &mut self,
        mut matches: impl FnMut(&MessageEvent) -> bool,
    ) -> Result<MessageEvent, NotSeen> {
        let mut passed = Passed::default();
        let found = within(&self.clock, self.limit, find(&self.events, &mut passed, &mut matches)).await;
        self.result(found, passed)
    }

    /// Blocks until there is an event that matches, and returns it. The twin of [`until`](Self::until) for
    /// sync code.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`until`](Self::until).
    pub fn until_blocking(
        &mut self,
        mut matches: impl FnMut(&MessageEvent) -> bool,
    ) -> Result<MessageEvent, NotSeen> {
        let mut passed = Passed::default();
        let deadline = self.clock.now().checked_add(self.limit);
        let found = wait(&self.clock, deadline, find(&self.events, &mut passed, &mut matches));
        self.result(found, passed)
    }

    /// The result of a search: an event, nothing before the end of the worker, or nothing in time.
    fn result(&self, found: Option<Option<MessageEvent>>, passed: Passed) -> Result<MessageEvent, NotSeen> {
        let limit = match found {
            Some(Some(event)) => return Ok(event),
            Some(None) => None,
            None => Some(self.limit),
        };
        Err(NotSeen { queue: Arc::clone(&self.queue), limit, passed })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({}, {} events)", self.queue, self.events.len())
    }
}

/// The next event that matches; `None` if there will be no more.
async fn find(
    events: &Receiver<MessageEvent>,
    passed: &mut Passed,
    matches: &mut impl FnMut(&MessageEvent) -> bool,
) -> Option<MessageEvent> {
    loop {
        let event = events.recv().await.ok()?;
        if matches(&event) {
            return Some(event);
        }
        passed.add(event);
    }
}

/// The last of the events that did not match.
#[derive(Debug, Clone, Default, PartialEq)]
struct Passed {
    count: usize,
    last: VecDeque<MessageEvent>,
}

impl Passed {
    fn add(&mut self, event: MessageEvent) {
        self.count += 1;
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }
}

/// There was no event that a watch has waited for.
#[derive(Debug, Clone, PartialEq)]
pub struct NotSeen {
    queue: Arc<str>,
    /// The limit that is over; `None` if the worker has stopped.
    limit: Option<Duration>,
    passed: Passed,
}

impl NotSeen {
    /// The last events that did not match.
    pub fn passed(&self) -> impl Iterator<Item = &MessageEvent> {
        self.passed.last.iter()
    }
}

impl fmt::Display for NotSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, limit, passed } = self;
        match limit {
            Some(limit) => write!(f, "queue {queue}: no event matched within {limit:?}")?,
            None => write!(f, "queue {queue}: the worker has stopped, and no event matched before")?,
        }
        match passed.count {
            0 => f.write_str("; there was none at all")?,
            count if count > passed.last.len() => write!(f, "; the last of {count} were:")?,
            _ => f.write_str("; there were:")?,
        }
        passed.last.iter().try_for_each(|event| write!(f, "\n  {event}"))
    }
}

impl std::error::Error for NotSeen {}
