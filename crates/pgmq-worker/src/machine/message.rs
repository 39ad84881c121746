//! A message that the machine holds, and its states.

use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::command::ClaimId;
use crate::machine::event::Verdict;

/// A claimed message.
#[derive(Debug)]
pub(super) struct Message {
    /// Its claim, which names it.
    pub(super) claim: Claim,
    /// The claim that brought it.
    pub(super) brought_by: ClaimId,
    /// The time at which it came.
    pub(super) arrived: Instant,
    /// The end of its lease, never later than the server's.
    pub(super) expires: Instant,
    /// The care for its lease.
    pub(super) upkeep: Upkeep,
    /// `true` if it is in the `Extend` in flight.
    pub(super) is_extending: bool,
    /// `true` if it was read often enough to be handled last and alone.
    pub(super) is_suspect: bool,
    /// `true` if the queue was recreated since: the id now names another message, which must not be deleted.
    pub(super) is_void: bool,
    /// The number of failed settlements.
    pub(super) failures: u32,
    /// The state.
    pub(super) state: State,
}

/// The care for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// The lease is extended.
    Kept,
    /// The lease runs out by itself, and its end is noticed.
    Left,
    /// A `Hold` in flight sets the time. An extension that comes after it would hide the message for longer.
    Suspended,
    /// The lease is over.
    Lost,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The message waits for a slot.
    Ready,
    /// The handler runs.
    Running(Run),
    /// The message waits to be settled.
    Done(Fate),
    /// The settlement is in flight.
    Settling(Fate),
}

/// The run of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The call of the handler, which several messages share in a batch.
    pub(super) call: usize,
    /// The end of the handler's time: it is then cancelled, or counts as stuck if it has no timeout.
    pub(super) ends: Instant,
    /// `true` if the handler has a timeout.
    pub(super) has_timeout: bool,
    /// `true` if the handler was cancelled.
    pub(super) is_cancelled: bool,
    /// `true` if the handler did not end in time.
    pub(super) is_stuck: bool,
    /// The progress of abandoning the handler.
    pub(super) abandoning: Abandoning,
}

/// The progress of abandoning a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abandoning {
    /// The handler is not abandoned.
    No,
    /// The shell has been asked to stop the handler.
    Asked,
    /// The shell could not stop the handler, which is left behind.
    LeftBehind,
}

/// The end of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The message is hidden for this time.
    Hold(Duration),
    /// The message is sent once more, visible after this time.
    Resend(Duration),
    /// The message is moved to the dead-letter queue.
    Bury,
    /// The message is replaced by the next step's message.
    Forward,
    /// The message is deleted.
    Delete,
    /// The message is archived.
    Archive,
}

/// A kind of settlement; one statement settles messages of one kind. Those that other workers can go on with
/// come first, which is the order in which a stop settles them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// `Hold`, each message for its own time.
    Hold,
    /// `Resend`, all with this delay.
    Resend(Duration),
    /// `Bury`.
    Bury,
    /// `Forward`, one at a time.
    Forward,
    /// `Delete`.
    Delete,
    /// `Archive`.
    Archive,
}

impl Message {
    /// Returns `true` if the lease is over.
    pub(super) fn is_lost(&self) -> bool {
        self.upkeep == Upkeep::Lost
    }

    /// The run, if the handler runs.
    pub(super) fn run(&self) -> Option<Run> {
        match self.state {
            State::Running(run) => Some(run),
            _ => None,
        }
    }
}

impl Fate {
    /// The fate that a verdict on a message with this number of reads asks for; `None` if it is over already.
    pub(super) fn of(verdict: Verdict, reads: i32, max_reads: i32) -> Option<Fate> {
        Some(match verdict {
            Verdict::Delete => Fate::Delete,
            Verdict::Archive => Fate::Archive,
            Verdict::Retry(_) if reads >= max_reads => Fate::Bury,
            Verdict::Retry(after) | Verdict::Hold(after) => Fate::Hold(after.min(LONGEST)),
            Verdict::Resend(after) => Fate::Resend(whole_seconds(after.min(LONGEST))),
            Verdict::Bury => Fate::Bury,
            Verdict::Forward => Fate::Forward,
            Verdict::Finished => return None,
        })
    }

    /// The kind of its settlement.
    pub(super) fn kind(self) -> Kind {
        match self {
            Fate::Hold(_) => Kind::Hold,
            Fate::Resend(after) => Kind::Resend(after),
            Fate::Bury => Kind::Bury,
            Fate::Forward => Kind::Forward,
            Fate::Delete => Kind::Delete,
            Fate::Archive => Kind::Archive,
        }
    }

    /// Returns `true` for an end that needs no current claim: the first consumer to finish a message finishes
    /// it for all.
    pub(super) fn finishes(self) -> bool {
        matches!(self, Fate::Delete | Fate::Archive)
    }
}

/// The longest time that the server can count, which is 68 years.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

/// Rounds up to the whole seconds that the server counts, so that more messages share a statement.
fn whole_seconds(time: Duration) -> Duration {
    match time.subsec_nanos() {
        0 => time,
        _ => Duration::from_secs(time.as_secs().saturating_add(1)),
    }
}
