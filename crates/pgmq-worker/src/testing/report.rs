//! The report of a drain.

use std::fmt;

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::testing::fate::Fate;

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
