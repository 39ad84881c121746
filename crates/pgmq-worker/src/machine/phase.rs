//! The phases of a machine, and its way to the end.

use std::time::Instant;

use crate::machine::command::{CancelReason, Command, Unfinished};
use crate::machine::event::StopLimits;
use crate::machine::flight::Flight;
use crate::machine::message::{Abandoning, Run, State, Upkeep};
use crate::machine::store::Key;
use crate::machine::time::after;

/// The phase of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages are claimed and started.
    Running,
    /// Nothing is claimed or started; what runs goes on.
    Paused,
    /// The machine stops, and handlers may end by themselves until then.
    Draining {
        /// The end of the phase.
        until: Instant,
    },
    /// Handlers were cancelled, and may end until then.
    Cancelling {
        /// The end of the phase.
        until: Instant,
    },
    /// No handler counts any more, and messages are settled until then.
    Flushing {
        /// The end of the phase.
        until: Instant,
    },
    /// The machine has stopped.
    Stopped,
}

impl Phase {
    /// Returns `true` if the machine stops or has stopped.
    pub(crate) fn stops(self) -> bool {
        !matches!(self, Phase::Running | Phase::Paused)
    }

    /// The end of the phase.
    pub(super) fn until(self) -> Option<Instant> {
        match self {
            Phase::Draining { until } | Phase::Cancelling { until } | Phase::Flushing { until } => {
                Some(until)
            }
            Phase::Running | Phase::Paused | Phase::Stopped => None,
        }
    }
}

/// The phase, and the limits of a stop.
#[derive(Debug)]
pub(super) struct Phases {
    /// The phase.
    pub(super) now: Phase,
    /// The limits of the stop, once it was asked for.
    limits: Option<StopLimits>,
}

impl Phases {
    /// Creates the phase `Running`.
    pub(super) fn new() -> Self {
        Self { now: Phase::Running, limits: None }
    }

    /// Begins to stop, or shortens the limits.
    pub(super) fn stop(&mut self, limits: StopLimits, now: Instant) {
        let limits = match self.limits {
            None => limits,
            Some(first) => StopLimits {
                drain: first.drain.min(limits.drain),
                grace: first.grace.min(limits.grace),
                flush: first.flush.min(limits.flush),
            },
        };
        self.limits = Some(limits);
        self.now = match self.now {
            Phase::Running | Phase::Paused => Phase::Draining { until: after(now, limits.drain) },
            Phase::Draining { until } => Phase::Draining { until: until.min(after(now, limits.drain)) },
            Phase::Cancelling { until } => Phase::Cancelling { until: until.min(after(now, limits.grace)) },
            Phase::Flushing { until } => Phase::Flushing { until: until.min(after(now, limits.flush)) },
            Phase::Stopped => Phase::Stopped,
        };
    }

    /// Goes on to the next phase if it is time. `claims` is `true` if the answer to a claim is awaited, which
    /// brings messages to release.
    pub(super) fn advance(&mut self, flight: &mut Flight, claims: bool, now: Instant) {
        let Some(limits) = self.limits else { return };
        if let Phase::Draining { until } = self.now {
            if flight.counts.running == 0 {
                self.now = Phase::Flushing { until: after(now, limits.flush) };
            } else if until <= now {
                self.now = Phase::Cancelling { until: after(now, limits.grace) };
                for key in running(flight) {
                    flight.cancel(key, CancelReason::Shutdown, now);
                }
            }
        }
        if let Phase::Cancelling { until } = self.now {
            if flight.counts.running == 0 {
                self.now = Phase::Flushing { until: after(now, limits.flush) };
            } else if until <= now {
                self.now = Phase::Flushing { until: after(now, limits.flush) };
                for key in running(flight) {
                    abandon(flight, key);
                }
            }
        }
        if let Phase::Flushing { until } = self.now {
            let awaits_handlers = || flight.store.iter().any(|(_, m)| is_awaited(m.state));
            let is_over = flight.counts.done + flight.counts.settling == 0 && !claims && !awaits_handlers();
            if is_over || until <= now {
                self.now = Phase::Stopped;
                let unfinished = unfinished(flight);
                flight.give(Command::Stopped(unfinished));
            }
        }
    }
}

/// The messages whose handlers run.
fn running(flight: &Flight) -> Vec<Key> {
    flight.store.iter().filter(|(_, message)| message.run().is_some()).map(|(key, _)| key).collect()
}

/// Asks the shell to stop a handler.
fn abandon(flight: &mut Flight, key: Key) {
    let Some(message) = flight.store.get(key) else { return };
    if let State::Running(run) = message.state {
        let claim = message.claim;
        flight.change(key, State::Running(Run { abandoning: Abandoning::Asked, ..run }));
        flight.give(Command::Abandon(claim));
    }
}

/// Leaves behind a handler that the shell could not stop. It may still write, so its lease runs out.
pub(super) fn leave_behind(flight: &mut Flight, key: Key) {
    let Some(message) = flight.store.get(key) else { return };
    if let State::Running(run) = message.state {
        let is_kept = message.upkeep == Upkeep::Kept;
        flight.change(key, State::Running(Run { abandoning: Abandoning::LeftBehind, ..run }));
        if is_kept {
            flight.set_upkeep(key, Upkeep::Left);
        }
    }
}

/// Returns `true` if the shell is still to tell whether it could stop the handler.
fn is_awaited(state: State) -> bool {
    matches!(state, State::Running(Run { abandoning: Abandoning::Asked, .. }))
}

/// The messages that are left.
fn unfinished(flight: &Flight) -> Unfinished {
    let mut unfinished = Unfinished::default();
    for (_, message) in flight.store.iter() {
        match message.state {
            State::Running(_) => unfinished.running.push(message.claim),
            State::Ready | State::Done(_) | State::Settling(_) => unfinished.unsettled.push(message.claim),
        }
    }
    unfinished
}
