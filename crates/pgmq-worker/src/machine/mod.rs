//! The machine that decides for one queue. It does no I/O, and knows no clock and no payloads: a shell tells
//! it what happened and when, and does what it asks for.

mod arrivals;
mod beats;
mod calls;
mod claims;
pub(crate) mod command;
pub(crate) mod config;
mod deadlines;
mod due;
pub(crate) mod event;
mod flight;
mod leases;
mod message;
pub(crate) mod phase;
mod prefetch;
mod settling;
mod slots;
pub(crate) mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod time;

use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::arrivals::{arrive, refuse, void};
use crate::machine::beats::Beats;
use crate::machine::claims::Claims;
use crate::machine::command::{ClaimId, Command, Extend, Line, Look, Notice, Settle};
use crate::machine::config::Config;
use crate::machine::event::{Event, Verdict};
use crate::machine::flight::Flight;
use crate::machine::message::{Abandoning, Fate};
use crate::machine::phase::{Phase, Phases, leave_behind};
use crate::machine::settling::Settling;
use crate::machine::slots::Slots;
use crate::machine::snapshot::Snapshot;
use crate::machine::time::{after, earlier};

/// Decides for one queue what to claim, start, extend and settle.
///
/// The shell tells it each [`Event`] with [`on`](Self::on), takes commands from [`poll`](Self::poll) until
/// there is none, and calls `poll` again at [`wake_at`](Self::wake_at) or after the next event. Whenever it
/// can send a statement of a line that the machine [`wants`](Self::wants), it takes that from
/// [`look`](Self::look), [`settlement`](Self::settlement) or [`extension`](Self::extension). The times that
/// the machine is given never go back.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The messages in flight.
    flight: Flight,
    /// The reading of messages.
    claims: Claims,
    /// The start of handlers.
    slots: Slots,
    /// The settlements.
    settling: Settling,
    /// The extensions of leases.
    beats: Beats,
    /// The phase.
    phases: Phases,
}

impl Machine {
    /// Creates a machine that runs. Equal events and seeds lead to equal commands.
    pub(crate) fn new(config: Config, now: Instant, seed: u64) -> Self {
        Self {
            flight: Flight::new(config, seed),
            claims: Claims::new(now),
            slots: Slots::default(),
            settling: Settling::default(),
            beats: Beats::default(),
            phases: Phases::new(),
        }
    }

    /// Takes note of an event. Events after `Stopped` have no effect.
    pub(crate) fn on(&mut self, now: Instant, event: Event) {
        if self.phases.now == Phase::Stopped {
            return;
        }
        let Self { flight, claims, settling, .. } = self;
        match event {
            Event::Claimed { id, got } => self.claimed(id, &got, now),
            Event::ClaimFailed { id, fault } => claims.failed(flight, id, fault, now),
            Event::Woken(wake) => claims.wake(flight, wake, now),
            Event::Notifies(throttle) => claims.notifies(flight, throttle, now),
            Event::Due(due) => claims.due(due, now),
            Event::DueFailed(fault) => claims.due.failed(fault, now),
            Event::Timeout { claim, timeout } => flight.set_timeout(claim, timeout, now),
            Event::Returned { claim, verdict } => self.returned(claim, verdict, now),
            Event::Abandoned { claim, is_stopped } => self.abandoned(claim, is_stopped, now),
            Event::Settled { batch, hit } => {
                if let Some(wait) = settling.settled(flight, batch, &hit) {
                    claims.will_be_visible(after(now, wait));
                }
            }
            Event::SettleFailed { batch, fault } => settling.failed(flight, batch, fault, now),
            Event::Extended { batch, alive } => {
                if self.beats.extended(flight, batch, &alive, now) {
                    settling.extend_is_over(flight);
                }
            }
            Event::ExtendFailed { batch } => {
                if self.beats.failed(flight, batch, now) {
                    settling.extend_is_over(flight);
                }
            }
            Event::QueueMissing => {
                let all: Vec<_> = flight.store.iter().map(|(key, _)| key).collect();
                all.into_iter().for_each(|key| void(flight, key, now));
            }
            Event::Pause => {
                if self.phases.now == Phase::Running {
                    self.phases.now = Phase::Paused;
                    self.release_ready();
                }
            }
            Event::Resume => {
                if self.phases.now == Phase::Paused {
                    self.phases.now = Phase::Running;
                }
            }
            Event::Stop(limits) => {
                self.phases.stop(limits, now);
                self.release_ready();
            }
        }
    }

    /// The next command; `None` if there is nothing to do before [`wake_at`](Self::wake_at) or the next
    /// event, apart from statements.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Command> {
        self.advance(now);
        let Self { flight, claims, slots, phases, .. } = self;
        if let Some(command) = flight.next_command() {
            return Some(command);
        }
        if phases.now != Phase::Running {
            return None;
        }
        if let Some(start) = slots.next(flight, now) {
            return Some(start);
        }
        claims.observe(flight, now);
        slots.observe(flight, now);
        // A suspect starts after everything that could be claimed.
        let claims_soon = !slots.stops_claims && claims.next_at(flight).is_some_and(|at| at <= now);
        if !claims.is_in_flight() && !claims_soon {
            return slots.next_suspect(flight, now);
        }
        None
    }

    /// Returns `true` if handlers may begin: not while the queue is paused, or stops.
    pub(crate) fn may_begin(&self) -> bool {
        self.phases.now == Phase::Running
    }

    /// Returns `true` if a statement of this line is due. Valid after `poll` returned `None`.
    pub(crate) fn wants(&self, line: Line, now: Instant) -> bool {
        self.line_at(line, now).is_some_and(|at| at <= now)
    }

    /// The next look at the queue, if one is due.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Look> {
        self.advance(now);
        let Self { flight, claims, slots, phases, .. } = self;
        if phases.now != Phase::Running {
            return None;
        }
        claims.observe(flight, now);
        slots.observe(flight, now);
        if !slots.stops_claims
            && let Some(claim) = claims.next(flight, now)
        {
            return Some(claim);
        }
        claims.due.ask(now).then_some(Look::Due)
    }

    /// The next settlement, if one is due.
    pub(crate) fn settlement(&mut self, now: Instant) -> Option<Settle> {
        self.advance(now);
        let Self { flight, settling, phases, .. } = self;
        match phases.now {
            Phase::Stopped => None,
            phase => settling.next(flight, now, phase.stops()),
        }
    }

    /// The next extension of leases, if one is due.
    pub(crate) fn extension(&mut self, now: Instant) -> Option<Extend> {
        self.advance(now);
        let Self { flight, beats, phases, .. } = self;
        match phases.now {
            Phase::Stopped => None,
            _ => beats.next(flight, now),
        }
    }

    /// The time at which there is something to do without a further event. Statements that are due already do
    /// not count. Valid after `poll` returned `None`.
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let Self { flight, slots, phases, .. } = self;
        if phases.now == Phase::Stopped {
            return None;
        }
        let mut wake = phases.now.until();
        for at in [flight.kept.first(), flight.left.first(), flight.timeouts.first(), flight.graces.first()] {
            wake = earlier(wake, at);
        }
        if phases.now == Phase::Running {
            wake = earlier(wake, slots.wake_at(flight));
        }
        for line in [Line::Looks, Line::Settlements, Line::Extensions] {
            wake = earlier(wake, self.line_at(line, now).filter(|&at| at > now));
        }
        wake
    }

    /// The time of the next statement of a line, which is `now` or earlier if it is due.
    fn line_at(&self, line: Line, now: Instant) -> Option<Instant> {
        let Self { flight, claims, slots, settling, beats, phases } = self;
        match (line, phases.now) {
            (_, Phase::Stopped) => None,
            (Line::Settlements, phase) => settling.next_at(flight, now, phase.stops()),
            (Line::Extensions, _) => beats.next_at(flight),
            (Line::Looks, Phase::Running) => {
                let claim = if slots.stops_claims { None } else { claims.next_at(flight) };
                earlier(claim, claims.due.next_at())
            }
            (Line::Looks, _) => None,
        }
    }

    /// Takes note of the time, first of all, so that after a leap of the clock nothing starts whose lease is
    /// over.
    fn advance(&mut self, now: Instant) {
        let Self { flight, claims, phases, .. } = self;
        if phases.now != Phase::Stopped {
            flight.expire(now);
            flight.time_out(now);
            phases.advance(flight, claims.is_in_flight(), now);
        }
    }

    /// The state, for health checks and gauges.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let counts = self.flight.counts;
        Snapshot {
            phase: self.phases.now,
            ready: counts.ready,
            running: counts.running,
            stuck: counts.stuck,
            done: counts.done,
            settling: counts.settling,
            lease_end: earlier(self.flight.kept.first(), self.flight.left.first()),
            last_claim: self.claims.last,
            claim_failures: self.claims.failures,
            is_refused: self.claims.is_refused,
        }
    }

    /// The time for which a message is certainly hidden from other consumers; `None` if its lease is lost.
    #[cfg(test)]
    pub(crate) fn lease_left(&self, claim: Claim, now: Instant) -> Option<Duration> {
        self.flight.lease_left(claim, now)
    }

    /// Takes in the messages of a claim.
    fn claimed(&mut self, id: ClaimId, got: &[Claim], now: Instant) {
        let Self { flight, claims, slots, settling, phases, .. } = self;
        let Some(answer) = claims.answered(flight, id, got.len(), now) else { return };
        // The leases are over already. A later claim may have brought the messages again, which this one must
        // not touch.
        if answer.is_late(&flight.config, now) {
            got.iter().for_each(|&claim| refuse(flight, claim, answer, now));
            return;
        }
        let starts = phases.now == Phase::Running;
        // Empty unless the queue was recreated. The server names no claim twice, but that is cheap to know.
        let mut ignored = Vec::new();
        for &claim in got {
            if !ignored.contains(&claim) && !arrive(flight, slots, settling, claim, answer, starts, now) {
                ignored.push(claim);
            }
        }
    }

    /// Takes the verdict of a handler.
    fn returned(&mut self, claim: Claim, verdict: Verdict, now: Instant) {
        let Self { flight, settling, .. } = self;
        flight.expire(now);
        let Some(key) = flight.store.find(claim) else { return };
        let Some(message) = flight.store.get(key).filter(|message| message.run().is_some()) else { return };
        let (is_lost, is_void) = (message.is_lost(), message.is_void);
        let fate = Fate::of(verdict, claim.read_ct, flight.config.max_reads);
        match fate.filter(|fate| !is_void && (!is_lost || fate.finishes())) {
            Some(fate) => {
                if fate == Fate::Bury && verdict != Verdict::Bury {
                    flight.tell(Notice::Exhausted(claim));
                }
                settling.finish(flight, key, fate);
            }
            None => flight.drop_message(key),
        }
    }

    /// Takes the end of an attempt to stop a handler.
    fn abandoned(&mut self, claim: Claim, is_stopped: bool, now: Instant) {
        let Self { flight, settling, .. } = self;
        flight.expire(now);
        let Some(key) = flight.store.find(claim) else { return };
        let Some(message) = flight.store.get(key) else { return };
        if message.run().is_none_or(|run| run.abandoning != Abandoning::Asked) {
            return;
        }
        match (is_stopped, message.is_lost()) {
            (true, false) => settling.finish(flight, key, Fate::Hold(Duration::ZERO)),
            (true, true) => flight.drop_message(key),
            (false, _) => leave_behind(flight, key),
        }
    }

    /// Releases the messages that have not begun.
    fn release_ready(&mut self) {
        let Self { flight, slots, settling, .. } = self;
        for key in slots.take_all() {
            if flight.store.get(key).is_some_and(|message| message.state == message::State::Ready) {
                settling.finish(flight, key, Fate::Hold(Duration::ZERO));
            }
        }
    }
}
