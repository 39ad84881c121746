//! The commands of a machine.

use std::time::Duration;

use pgmq_core::Claim;

/// The number of a batch of messages that are settled or extended in one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BatchId(pub(crate) u64);

/// The number of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClaimId(pub(crate) u64);

/// A task for the shell, which needs no statement. Each command is answered by the event that its
/// documentation names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// Run the handler on these messages, and answer with `Returned` for each. More than one message is given
    /// only to a handler of batches. Two messages of one id never run at the same time.
    Start(Vec<Claim>),
    /// Tell the handler of a message to end, at most once for each message. `Returned` is still to come.
    Cancel {
        /// The message.
        claim: Claim,
        /// The reason, for the handler.
        why: CancelReason,
    },
    /// Forget a message that does not run: its lease is lost, its handler has finished it, or it cannot be
    /// settled. Every claimed message ends in exactly one of this, the answer to a settlement, and `Stopped`.
    Drop(Claim),
    /// Stop the handler of a message if that is possible, and answer with `Abandoned`.
    Abandon(Claim),
    /// Tell the user.
    Tell(Notice),
    /// The machine has stopped, and gives no more commands. Messages of a claim that is answered later are
    /// left to their leases.
    Stopped(Unfinished),
}

/// A line of statements, each of which the shell takes when it can send it: a statement that is taken late
/// has more messages in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The [`Look`]s.
    Looks,
    /// The [`Settle`]s.
    Settlements,
    /// The [`Extend`]s.
    Extensions,
}

/// A statement that looks at the queue. At most two claims and one question are in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Read up to `qty` messages, and answer with `Claimed` or `ClaimFailed`. Their leases are counted from
    /// the moment at which the shell takes the statement.
    Claim {
        /// The number of the claim.
        id: ClaimId,
        /// The number of messages.
        qty: usize,
        /// The visibility timeout.
        vt: Duration,
    },
    /// Ask when the next message becomes visible, and answer with `Due` or `DueFailed`.
    Due,
}

/// Tell the server what has become of messages, and answer with `Settled` or `SettleFailed`. At most two are
/// in flight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settle {
    /// The number of the batch.
    pub(crate) batch: BatchId,
    /// The messages, and what has become of them.
    pub(crate) what: Settlement,
}

/// Extend the leases of messages, and answer with `Extended` or `ExtendFailed`. At most one is in flight. The
/// leases are counted from the moment at which the shell takes the statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Extend {
    /// The number of the batch.
    pub(crate) batch: BatchId,
    /// The messages.
    pub(crate) claims: Vec<Claim>,
    /// The visibility timeout.
    pub(crate) vt: Duration,
}

/// A change of messages in one statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Settlement {
    /// `delete_batch`, of the ids alone: the claims need not be current.
    Delete(Vec<Claim>),
    /// `archive_batch`, of the ids alone.
    Archive(Vec<Claim>),
    /// `hold_each`: retries with their backoff, snoozes, and releases with no time at all.
    Hold(Vec<(Claim, Duration)>),
    /// `move_batch` to the same queue.
    Resend {
        /// The messages.
        claims: Vec<Claim>,
        /// The time after which they are visible.
        after: Duration,
    },
    /// `move_batch` to the dead-letter queue, with the reasons that the shell keeps.
    Bury(Vec<Claim>),
    /// `forward`, with the message that the shell keeps.
    Forward(Claim),
}

impl Settlement {
    /// The claims of the messages.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        match self {
            Settlement::Hold(holds) => holds.iter().map(|(claim, _)| *claim).collect(),
            Settlement::Delete(claims)
            | Settlement::Archive(claims)
            | Settlement::Resend { claims, .. }
            | Settlement::Bury(claims) => claims.clone(),
            Settlement::Forward(claim) => vec![*claim],
        }
    }

    /// Returns `true` if the statement names another queue as well, which may be the one that is missing.
    pub(crate) fn names_another_queue(&self) -> bool {
        matches!(self, Settlement::Bury(_) | Settlement::Forward(_))
    }
}

/// The reason for which a handler is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelReason {
    /// The handler has run for longer than its timeout.
    TimedOut,
    /// The lease has run out, or another worker has read the message. What the handler still does to the
    /// message, other than finish it, has no effect.
    LeaseLost,
    /// The worker stops, and the time to drain is over.
    Shutdown,
}

/// A fact for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A message is buried because it was read too often, before or after its handler ran.
    /// Precedes the `Bury` of the message, for which the shell has no verdict.
    Exhausted(Claim),
    /// The lease of a message was lost: another worker has read it, or its time is over.
    Lost(Claim),
    /// A message was no longer there when it was to be finished.
    AlreadyGone(Claim),
    /// A handler has not ended within the grace after its cancellation; without a timeout, within ten
    /// visibility timeouts.
    Stuck(Claim),
    /// A message could not be settled, and its lease is left to run out. `Drop` follows.
    NotSettled(Claim),
    /// The server refuses to read from the queue, for a reason that stays. Told once until a claim works.
    Refused,
    /// A claim works again after `Refused`.
    Recovered,
}

/// The messages that a stop has left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// Their handlers did not end in time. A handler that was stopped is not in the list.
    pub(crate) running: Vec<Claim>,
    /// Their handlers ended, and the server was not told in time.
    pub(crate) unsettled: Vec<Claim>,
}
