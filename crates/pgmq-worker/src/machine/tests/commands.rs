//! The commands and the statements of a machine as one type, in the order in which a shell that is always
//! ready takes them.

use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::Machine;
use crate::machine::command::{
    self, BatchId, CancelReason, ClaimId, Extend, Look, Notice, Settle, Settlement, Unfinished,
};

/// A command or a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Start(Vec<Claim>),
    Cancel { claim: Claim, why: CancelReason },
    Drop(Claim),
    Abandon(Claim),
    Tell(Notice),
    Stopped(Unfinished),
    Claim { id: ClaimId, qty: usize, vt: Duration },
    LookDue,
    Settle { batch: BatchId, what: Settlement },
    Extend { batch: BatchId, claims: Vec<Claim>, vt: Duration },
}

/// The next command; without one, the next statement.
pub(super) fn next(machine: &mut Machine, now: Instant) -> Option<Command> {
    let command = machine.poll(now).map(Command::from);
    let command = command.or_else(|| machine.settlement(now).map(Command::from));
    let command = command.or_else(|| machine.extension(now).map(Command::from));
    command.or_else(|| machine.look(now).map(Command::from))
}

impl From<command::Command> for Command {
    fn from(command: command::Command) -> Self {
        match command {
            command::Command::Start(claims) => Self::Start(claims),
            command::Command::Cancel { claim, why } => Self::Cancel { claim, why },
            command::Command::Drop(claim) => Self::Drop(claim),
            command::Command::Abandon(claim) => Self::Abandon(claim),
            command::Command::Tell(notice) => Self::Tell(notice),
            command::Command::Stopped(unfinished) => Self::Stopped(unfinished),
        }
    }
}

impl From<Look> for Command {
    fn from(look: Look) -> Self {
        match look {
            Look::Claim { id, qty, vt } => Self::Claim { id, qty, vt },
            Look::Due => Self::LookDue,
        }
    }
}

impl From<Settle> for Command {
    fn from(Settle { batch, what }: Settle) -> Self {
        Self::Settle { batch, what }
    }
}

impl From<Extend> for Command {
    fn from(Extend { batch, claims, vt }: Extend) -> Self {
        Self::Extend { batch, claims, vt }
    }
}
