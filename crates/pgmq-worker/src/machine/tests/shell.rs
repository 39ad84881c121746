//! The books of a shell: what it keeps, runs and has in flight.

use std::time::Instant;

use pgmq_core::Claim;

use crate::machine::command::Settlement;
use crate::machine::event::{Event, Fault, Verdict};
use crate::machine::tests::commands::Command;

/// A message that the shell keeps.
#[derive(Debug)]
pub(super) struct Kept {
    /// The time at which it came.
    pub(super) since: Instant,
    /// The end of its lease, as the shell can know it.
    pub(super) lease: Instant,
    /// Its state.
    pub(super) state: Stage,
    /// `true` after `Cancel`.
    pub(super) is_cancelled: bool,
    /// `true` after `Notice::Lost`, when it is not ours any more.
    pub(super) is_lost: bool,
    /// `true` after `Notice::Stuck`.
    pub(super) is_stuck: bool,
    /// `true` after `Notice::Exhausted`.
    pub(super) is_exhausted: bool,
    /// `true` once the machine knows that its queue is not there.
    pub(super) is_gone: bool,
}

/// The state of a message that the shell keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    Ready,
    Running { call: u64 },
    Returned(Verdict),
    Stopped,
}

/// A handler.
#[derive(Debug)]
pub(super) struct Handler {
    /// The time at which it returns.
    pub(super) ends: Option<Instant>,
    /// `true` if it ignores a cancellation.
    pub(super) is_deaf: bool,
    /// The time at which the shell answers `Abandon`.
    pub(super) abandoned: Option<Instant>,
}

/// A command in flight.
#[derive(Debug)]
pub(super) struct Pending {
    /// The command.
    pub(super) command: Command,
    /// The time at which it was given.
    pub(super) asked: Instant,
    /// The time at which it runs, unless it ran.
    pub(super) runs: Option<Instant>,
    /// The time of its answer.
    pub(super) answers: Instant,
    /// The failure that is answered, if it fails.
    pub(super) fault: Option<Fault>,
    /// `true` if it has failed because the queue is not there.
    pub(super) is_missing: bool,
    /// The answer.
    pub(super) answer: Option<Event>,
}

/// Returns `true` if the command hides or releases the message.
pub(super) fn holds(command: &Command, claim: Claim) -> bool {
    match command {
        Command::Settle { what: Settlement::Hold(each), .. } => each.iter().any(|(c, _)| *c == claim),
        _ => false,
    }
}

/// The claims of a settlement.
pub(super) fn claims_of(what: &Settlement) -> Vec<Claim> {
    match what {
        Settlement::Hold(each) => each.iter().map(|&(claim, _)| claim).collect(),
        Settlement::Delete(claims)
        | Settlement::Archive(claims)
        | Settlement::Resend { claims, .. }
        | Settlement::Bury(claims) => claims.clone(),
        Settlement::Forward(claim) => vec![*claim],
    }
}
