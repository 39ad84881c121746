//! The events that a machine learns of.

use std::time::Duration;

use pgmq_core::Claim;

use crate::machine::command::{BatchId, ClaimId};

/// An event, which the shell reports to the machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The answer to [`Look::Claim`](super::command::Look::Claim): the messages that were read.
    ///
    /// The shell keeps the messages under their claims before it tells the machine. The same id may come with
    /// another number of reads while an earlier claim of it is still kept. If a claim is kept already, as
    /// after the queue was recreated, the shell leaves what it has as it is.
    Claimed {
        /// The number of the claim.
        id: ClaimId,
        /// The messages.
        got: Vec<Claim>,
    },
    /// A claim failed. If the server has read messages nevertheless, their leases run out by themselves.
    ClaimFailed {
        /// The number of the claim.
        id: ClaimId,
        /// The reason.
        fault: Fault,
    },
    /// Something suggests that there are messages.
    Woken(Wake),
    /// The server notifies of inserts with this throttle, and a listener is connected; `None` if either is
    /// not so, as is the case before the first event of this kind.
    Notifies(Option<Duration>),
    /// The answer to [`Look::Due`](super::command::Look::Due): the time until the next message
    /// becomes visible; `None` if the queue is empty.
    Due(Option<Duration>),
    /// The look failed.
    DueFailed(Fault),
    /// The handler of a message has begun, and has a timeout of its own, instead of that of the queue.
    Timeout {
        /// The message.
        claim: Claim,
        /// The time after which the handler is cancelled.
        timeout: Duration,
    },
    /// A handler has ended with this verdict on a message.
    Returned {
        /// The message.
        claim: Claim,
        /// The verdict.
        verdict: Verdict,
    },
    /// The answer to [`Command::Abandon`](super::command::Command::Abandon). `is_stopped` is `true` if the
    /// handler was stopped for certain, so that another worker may begin at once.
    Abandoned {
        /// The message.
        claim: Claim,
        /// `false` if the handler may still run, as a thread can.
        is_stopped: bool,
    },
    /// The answer to [`Settle`](super::command::Settle): the ids that were there, and whose
    /// claim was current where that counts. The shell forgets all messages of the batch, hit or not.
    Settled {
        /// The batch.
        batch: BatchId,
        /// The ids.
        hit: Vec<i64>,
    },
    /// A batch was not settled, or the answer was lost. Every settlement can be repeated.
    SettleFailed {
        /// The batch.
        batch: BatchId,
        /// The reason.
        fault: Fault,
    },
    /// The answer to [`Extend`](super::command::Extend): the ids whose claim is current.
    Extended {
        /// The batch.
        batch: BatchId,
        /// The ids.
        alive: Vec<i64>,
    },
    /// The leases of a batch were not extended, or the answer was lost.
    ExtendFailed {
        /// The batch.
        batch: BatchId,
    },
    /// The queue is not there. One that is created under its name gives the same ids to other messages, so no
    /// message is settled any more.
    QueueMissing,
    /// The user pauses the queue. Messages that have not begun are released.
    Pause,
    /// The user resumes the queue.
    Resume,
    /// The user stops the queue. A second event can only make the limits shorter.
    Stop(StopLimits),
}

/// The limits of a stop, each from the end of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StopLimits {
    /// The time for handlers to end by themselves.
    pub(crate) drain: Duration,
    /// The time for handlers to end after they were cancelled.
    pub(crate) grace: Duration,
    /// The time to tell the server what has become of the messages.
    pub(crate) flush: Duration,
}

/// The reason to look for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The server has notified of an insert. The throttle of the queue may have silenced later inserts.
    Notified,
    /// The listener is connected again, and may have missed notifications.
    Reconnected,
    /// The program knows of a message, such as one that it has sent itself.
    Kicked,
}

/// The reason for which the server could not do what the machine asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The failure passes by itself, such as a lost connection.
    Transient,
    /// The failure stays until somebody does something, such as a missing queue or a missing permission.
    Lasting,
}

/// The end that a handler wants for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Delete it. The first consumer to finish a message deletes it, so no claim is needed.
    Delete,
    /// Archive it, under the same rule.
    Archive,
    /// Try again after this time; at the limit of reads, bury it.
    Retry(Duration),
    /// Hide it for this time. Unlike a retry, it is never buried.
    Hold(Duration),
    /// Send it again, to the end of its queue, visible after this time. It then counts as never read.
    Resend(Duration),
    /// Move it to the dead-letter queue.
    Bury,
    /// Delete it, and send the next step's message.
    Forward,
    /// Nothing: the handler has finished the message in a transaction of its own.
    Finished,
}
