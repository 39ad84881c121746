//! A machine whose events and commands a test writes down one by one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::Machine;
use crate::machine::command::{BatchId, CancelReason, ClaimId, Notice, Settlement};
use crate::machine::config::Config;
use crate::machine::event::{Event, Fault, StopLimits, Verdict};
use crate::machine::tests::commands::{Command, next};

/// A machine and its clock.
pub(super) struct Rig {
    pub(super) machine: Machine,
    pub(super) now: Instant,
    /// The claims in flight.
    asked: VecDeque<ClaimId>,
}

/// The first claim of a message.
pub(super) fn first(id: i64) -> Claim {
    Claim::new(id, 1)
}

/// The first claims of messages.
pub(super) fn firsts(ids: impl IntoIterator<Item = i64>) -> Vec<Claim> {
    ids.into_iter().map(first).collect()
}

/// A number of milliseconds.
pub(super) fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// A number of seconds.
pub(super) fn s(time: u64) -> Duration {
    Duration::from_secs(time)
}

/// The limits of a stop, in seconds.
pub(super) fn limits(drain: u64, grace: u64, flush: u64) -> StopLimits {
    StopLimits { drain: s(drain), grace: s(grace), flush: s(flush) }
}

/// The cancellation of a handler.
pub(super) fn cancel(id: i64, why: CancelReason) -> Command {
    Command::Cancel { claim: first(id), why }
}

/// The notice.
pub(super) fn tell(notice: Notice) -> Command {
    Command::Tell(notice)
}

/// The settlements among commands.
pub(super) fn settlements(commands: &[Command]) -> Vec<Settlement> {
    let settlements = commands.iter().filter_map(|command| match command {
        Command::Settle { what, .. } => Some(what.clone()),
        _ => None,
    });
    settlements.collect()
}

/// The extended claims among commands.
pub(super) fn extended(commands: &[Command]) -> Vec<Claim> {
    let extended = commands.iter().filter_map(|command| match command {
        Command::Extend { claims, .. } => Some(claims.clone()),
        _ => None,
    });
    extended.flatten().collect()
}

/// The started claims among commands.
pub(super) fn started(commands: &[Command]) -> Vec<Claim> {
    let started = commands.iter().filter_map(|command| match command {
        Command::Start(claims) => Some(claims.clone()),
        _ => None,
    });
    started.flatten().collect()
}

/// The number of messages that the claim among commands asks for.
pub(super) fn claimed(commands: &[Command]) -> Option<usize> {
    commands.iter().find_map(|command| match command {
        Command::Claim { qty, .. } => Some(*qty),
        _ => None,
    })
}

/// The only settlement among commands, or the only extension.
pub(super) fn batch(commands: &[Command]) -> BatchId {
    let settles = commands.iter().any(|command| matches!(command, Command::Settle { .. }));
    let batches = commands.iter().filter_map(|command| match command {
        Command::Settle { batch, .. } => Some(*batch),
        Command::Extend { batch, .. } if !settles => Some(*batch),
        _ => None,
    });
    match batches.collect::<Vec<_>>().as_slice() {
        [batch] => *batch,
        other => panic!("{} batches in {commands:?}", other.len()),
    }
}

impl Rig {
    /// Creates a machine.
    pub(super) fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(config, now, 7), now, asked: VecDeque::new() }
    }

    /// Creates a machine that was given these messages by its first claim.
    pub(super) fn with(config: Config, claims: Vec<Claim>) -> (Self, Vec<Command>) {
        let mut rig = Self::new(config);
        assert!(claimed(&rig.poll()).is_some());
        let commands = rig.claimed(claims);
        (rig, commands)
    }

    /// Creates a machine with a handler for each of these messages, on a queue that has no others.
    pub(super) fn running(config: Config, ids: &[i64]) -> Self {
        let (mut rig, commands) = Self::with(config, firsts(ids.iter().copied()));
        assert_eq!(started(&commands).len(), ids.len());
        assert!(commands.contains(&Command::LookDue), "{commands:?}");
        rig.on(Event::Due(None));
        rig
    }

    /// Takes all commands.
    pub(super) fn poll(&mut self) -> Vec<Command> {
        let commands: Vec<_> = std::iter::from_fn(|| next(&mut self.machine, self.now)).take(1_000).collect();
        assert!(commands.len() < 1_000, "commands come forever");
        self.asked.extend(commands.iter().filter_map(|command| match command {
            Command::Claim { id, .. } => Some(*id),
            _ => None,
        }));
        assert!(self.machine.wake_at(self.now).is_none_or(|at| at > self.now));
        commands
    }

    /// Gives an event, and takes all commands.
    pub(super) fn on(&mut self, event: Event) -> Vec<Command> {
        self.machine.on(self.now, event);
        self.poll()
    }

    /// The event of the answer to the oldest claim in flight, or to one that was never given.
    pub(super) fn answer(&mut self, got: Vec<Claim>) -> Event {
        Event::Claimed { id: self.asked.pop_front().unwrap_or(ClaimId(0)), got }
    }

    /// Answers the oldest claim in flight.
    pub(super) fn claimed(&mut self, got: Vec<Claim>) -> Vec<Command> {
        let event = self.answer(got);
        self.on(event)
    }

    /// Fails the oldest claim in flight.
    pub(super) fn claim_fails(&mut self, fault: Fault) -> Vec<Command> {
        let id = self.asked.pop_front().unwrap_or(ClaimId(0));
        self.on(Event::ClaimFailed { id, fault })
    }

    /// Lets time pass, waking at the times that the machine asks for, and takes all commands.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Command> {
        let end = self.now + time;
        let mut commands = self.poll();
        while let Some(at) = self.machine.wake_at(self.now).filter(|&at| at <= end) {
            self.now = at;
            commands.extend(self.poll());
        }
        self.now = end;
        commands.extend(self.poll());
        commands
    }

    /// Lets time pass in one leap, and takes all commands.
    pub(super) fn leap(&mut self, time: Duration) -> Vec<Command> {
        self.now += time;
        self.poll()
    }

    /// Ends a handler of a first claim.
    pub(super) fn returns(&mut self, id: i64, verdict: Verdict) -> Vec<Command> {
        self.on(Event::Returned { claim: first(id), verdict })
    }

    /// Answers a settlement.
    pub(super) fn settled(&mut self, batch: BatchId, hit: &[i64]) -> Vec<Command> {
        self.on(Event::Settled { batch, hit: hit.to_vec() })
    }

    /// Fails a settlement.
    pub(super) fn settle_fails(&mut self, batch: BatchId, fault: Fault) -> Vec<Command> {
        self.on(Event::SettleFailed { batch, fault })
    }

    /// Answers an extension.
    pub(super) fn extended(&mut self, batch: BatchId, alive: &[i64]) -> Vec<Command> {
        self.on(Event::Extended { batch, alive: alive.to_vec() })
    }
}
