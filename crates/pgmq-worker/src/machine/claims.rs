//! Reading messages: the number, and the time.

use std::time::{Duration, Instant};

use crate::machine::arrivals::Answer;
use crate::machine::command::{Command, Notice};
use crate::machine::config::Config;
use crate::machine::due::Due;
use crate::machine::event::{Fault, Wake};
use crate::machine::flight::Flight;
use crate::machine::time::{after, backoff, jitter};

/// The first wait between looks without a listener, and after a failure that passes.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait after a failure that passes.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The first wait after a failure that stays.
const FIRST_LASTING_WAIT: Duration = Duration::from_secs(1);
/// The longest wait after a failure that stays.
const LONGEST_LASTING_WAIT: Duration = Duration::from_secs(30);
/// The time for which a slot may be empty before a small claim is worth its statement.
const CRUMBS_WAIT: Duration = Duration::from_millis(2);
/// The time after the end of a throttle within which a message that it silenced is committed.
const AFTER_THROTTLE: Duration = Duration::from_millis(20);

/// The claims.
#[derive(Debug)]
pub(super) struct Claims {
    /// The claim in flight.
    asked: Option<Asked>,
    /// The number of claims so far.
    number: u64,
    /// The time of the next look.
    look_at: Instant,
    /// The time of the look for messages that the throttle silenced.
    again_at: Option<Instant>,
    /// The end of the wait after a failure.
    not_before: Option<Instant>,
    /// The number of failures in a row.
    pub(super) failures: u32,
    /// `true` after `Refused`, until a claim works.
    pub(super) is_refused: bool,
    /// The number of claims without a message in a row.
    empty: u32,
    /// The time since which a slot has been empty with no message for it.
    hungry_since: Option<Instant>,
    /// The time of the last claim that worked.
    pub(super) last: Option<Instant>,
    /// The knowledge about the next message.
    pub(super) due: Due,
}

/// A claim in flight.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The time at which it was given.
    at: Instant,
    /// The number of messages that it asks for.
    qty: usize,
    /// `true` if the answer may lack messages of which the machine has been told since.
    is_stale: bool,
}

impl Claims {
    /// Creates the claims, with the first due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            asked: None,
            number: 0,
            look_at: now,
            again_at: None,
            not_before: None,
            failures: 0,
            is_refused: false,
            empty: 0,
            hungry_since: None,
            last: None,
            due: Due::default(),
        }
    }

    /// Returns `true` if a claim is in flight.
    pub(super) fn is_in_flight(&self) -> bool {
        self.asked.is_some()
    }

    /// Notes whether a slot is empty with nothing to run on it.
    pub(super) fn observe(&mut self, flight: &Flight, now: Instant) {
        let trusted = flight.counts.ready - flight.counts.suspects;
        let is_hungry = trusted == 0 && flight.calls.len() < flight.config.concurrency;
        self.hungry_since = if is_hungry { self.hungry_since.or(Some(now)) } else { None };
    }

    /// The time of the next claim, as far as it is known.
    pub(super) fn next_at(&self, flight: &Flight) -> Option<Instant> {
        let qty = quantity(flight);
        if self.asked.is_some() || qty == 0 {
            return None;
        }
        let look = self.again_at.map_or(self.look_at, |again| again.min(self.look_at));
        let look = self.not_before.map_or(look, |at| look.max(at));
        match qty >= crumbs(&flight.config) {
            true => Some(look),
            false => self.hungry_since.map(|since| look.max(after(since, CRUMBS_WAIT))),
        }
    }

    /// The next claim, if it is due.
    pub(super) fn next(&mut self, flight: &Flight, now: Instant) -> Option<Command> {
        if self.next_at(flight)? > now {
            return None;
        }
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.due.change();
        }
        let qty = quantity(flight);
        self.number += 1;
        self.asked = Some(Asked { at: now, qty, is_stale: false });
        Some(Command::Claim { qty, vt: flight.config.vt })
    }

    /// Takes the answer with this number of messages; `None` if none was awaited.
    pub(super) fn answered(&mut self, flight: &mut Flight, got: usize, now: Instant) -> Option<Answer> {
        let asked = self.asked.take()?;
        self.last = Some(now);
        self.failures = 0;
        self.not_before = None;
        if std::mem::take(&mut self.is_refused) {
            flight.tell(Notice::Recovered);
        }
        match got {
            0 => self.empty = self.empty.saturating_add(1),
            _ => {
                self.empty = 0;
                // The message that was to come next may be among these.
                self.due.change();
            }
        }
        self.look_at = if got >= asked.qty || asked.is_stale {
            now
        } else {
            let idle = self.idle_wait(flight);
            let known = self.due.claim_was_last(now);
            known.map_or(after(now, idle), |at| at.min(after(now, idle)))
        };
        Some(Answer { number: self.number, asked: asked.at })
    }

    /// Takes a failure.
    pub(super) fn failed(&mut self, flight: &mut Flight, fault: Fault, now: Instant) {
        if self.asked.take().is_none() {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        // The claim may have hidden messages all the same, which become visible when their leases end.
        self.due.change();
        self.look_at = now;
        let wait = match fault {
            Fault::Transient => backoff(FIRST_WAIT, self.failures, LONGEST_WAIT),
            Fault::Lasting => backoff(FIRST_LASTING_WAIT, self.failures, LONGEST_LASTING_WAIT),
        };
        self.not_before = Some(after(now, jitter(&mut flight.rng, wait)));
        if fault == Fault::Lasting && !std::mem::replace(&mut self.is_refused, true) {
            flight.tell(Notice::Refused);
        }
    }

    /// Looks at once. A notification is followed by a look after the throttle, which may have silenced later
    /// inserts.
    pub(super) fn wake(&mut self, flight: &Flight, wake: Wake, now: Instant) {
        self.look_at = now;
        self.empty = 0;
        self.due.change();
        if let Some(asked) = &mut self.asked {
            asked.is_stale = true;
        }
        if wake != Wake::Kicked && !flight.config.throttle.is_zero() {
            self.again_at = Some(after(now, flight.config.throttle.saturating_add(AFTER_THROTTLE)));
        }
        // The server is back.
        if wake == Wake::Reconnected {
            self.not_before = None;
        }
    }

    /// Takes the time until the next message becomes visible.
    pub(super) fn due(&mut self, due: Option<Duration>, now: Instant) {
        let Some(at) = self.due.answered(due, now) else { return };
        // A message that is visible and was not read is locked by another. Without a pause, the machine would
        // turn in a circle of claims and looks.
        let floor = match self.empty {
            0 => now,
            n => after(now, backoff(FIRST_WAIT, n, Duration::from_secs(1))),
        };
        self.look_at = self.look_at.min(at.max(floor));
    }

    /// Looks when a message that this worker has hidden becomes visible.
    pub(super) fn will_be_visible(&mut self, at: Instant) {
        self.look_at = self.look_at.min(at);
        self.due.will_be_visible(at);
    }

    /// The time until the next look at a queue that has nothing visible.
    fn idle_wait(&self, flight: &mut Flight) -> Duration {
        let wait = match flight.config.listens {
            true => flight.config.backstop,
            false => backoff(FIRST_WAIT, self.empty, flight.config.poll),
        };
        jitter(&mut flight.rng, wait)
    }
}

/// The number of messages to ask for.
fn quantity(flight: &Flight) -> usize {
    let Config { concurrency, prefetch, batch, max_claim, max_in_flight, .. } = flight.config;
    let counts = flight.counts;
    // The server does not keep up with settlements, so more messages would only be hidden.
    if (counts.done + counts.settling) > max_in_flight.saturating_mul(2) / 3 {
        return 0;
    }
    let free = concurrency.saturating_sub(flight.calls.len()).saturating_mul(batch);
    let wanted = free.saturating_add(prefetch).saturating_sub(counts.ready);
    wanted.min(max_claim).min(max_in_flight.saturating_sub(flight.store.len()))
}

/// The smallest number of messages that is worth a claim while others are at hand.
fn crumbs(config: &Config) -> usize {
    (config.max_claim.min(config.concurrency.saturating_mul(config.batch)) / 4).max(1)
}
