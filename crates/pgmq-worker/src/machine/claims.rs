//! Reading messages: the number, and the time.

use std::time::{Duration, Instant};

use crate::machine::arrivals::Answer;
use crate::machine::command::{ClaimId, Look, Notice};
use crate::machine::config::Config;
use crate::machine::due::Due;
use crate::machine::event::{Fault, Wake};
use crate::machine::flight::Flight;
use crate::machine::prefetch::Demand;
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

/// The number of claims in flight at most.
const PLACES: usize = 2;

/// The claims.
#[derive(Debug)]
pub(super) struct Claims {
    /// The claims in flight.
    asked: Vec<Asked>,
    /// The number of claims so far.
    number: u64,
    /// `true` if the last claim brought all that it asked for, so that there are probably more.
    is_backlog: bool,
    /// The demand of the handlers.
    demand: Demand,
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
    /// The number of the claim.
    id: ClaimId,
    /// The time at which it was given.
    at: Instant,
    /// The number of messages that it asks for.
    qty: usize,
    /// The number of messages with which handlers had ended by then.
    ended: usize,
    /// `true` if the answer may lack messages of which the machine has been told since.
    is_stale: bool,
}

impl Claims {
    /// Creates the claims, with the first due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            asked: Vec::new(),
            number: 0,
            is_backlog: false,
            demand: Demand::default(),
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
        !self.asked.is_empty()
    }

    /// Notes whether a slot is empty with nothing to run on it.
    pub(super) fn observe(&mut self, flight: &Flight, now: Instant) {
        let trusted = flight.counts.ready - flight.counts.suspects;
        let is_hungry = trusted == 0 && flight.calls.len() < flight.config.concurrency;
        self.hungry_since = if is_hungry { self.hungry_since.or(Some(now)) } else { None };
    }

    /// The time of the next claim, as far as it is known.
    pub(super) fn next_at(&self, flight: &Flight) -> Option<Instant> {
        let qty = self.quantity(flight);
        if qty == 0 || !self.has_place(flight, qty) {
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
    pub(super) fn next(&mut self, flight: &Flight, now: Instant) -> Option<Look> {
        if self.next_at(flight)? > now {
            return None;
        }
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.due.change();
        }
        let qty = self.quantity(flight);
        self.number += 1;
        let id = ClaimId(self.number);
        self.asked.push(Asked { id, at: now, qty, ended: flight.ended, is_stale: false });
        Some(Look::Claim { id, qty, vt: flight.config.vt })
    }

    /// Returns `true` if a claim of this number of messages may be sent.
    ///
    /// A second claim hides the round trip and the work of the first. It is only sent for many messages, of
    /// which there probably are as many: a statement costs the server as much as dozens of its messages.
    fn has_place(&self, flight: &Flight, qty: usize) -> bool {
        match self.asked.len() {
            0 => true,
            taken => taken < PLACES && self.is_backlog && qty >= self.most(&flight.config).div_ceil(2),
        }
    }

    /// The number of messages to ask for, on top of those of the claims in flight.
    fn quantity(&self, flight: &Flight) -> usize {
        let Config { concurrency, batch, max_claim, max_in_flight, .. } = flight.config;
        let prefetch = self.demand.prefetch(&flight.config);
        let counts = flight.counts;
        // The server does not keep up with settlements, so more messages would only be hidden.
        if (counts.done + counts.settling) > max_in_flight.saturating_mul(2) / 3 {
            return 0;
        }
        let asked: usize = self.asked.iter().map(|asked| asked.qty).sum();
        let free = concurrency.saturating_sub(flight.calls.len()).saturating_mul(batch);
        let wanted = free.saturating_add(prefetch).saturating_sub(counts.ready + asked);
        wanted.min(max_claim).min(max_in_flight.saturating_sub(flight.store.len() + asked))
    }

    /// The largest number of messages that a claim asks for.
    fn most(&self, config: &Config) -> usize {
        let slots = config.concurrency.saturating_mul(config.batch);
        slots.saturating_add(self.demand.prefetch(config)).min(config.max_claim)
    }

    /// Removes a claim that was answered.
    fn remove(&mut self, id: ClaimId) -> Option<Asked> {
        let at = self.asked.iter().position(|asked| asked.id == id)?;
        Some(self.asked.remove(at))
    }

    /// Takes the answer with this number of messages; `None` if none was awaited.
    pub(super) fn answered(
        &mut self,
        flight: &mut Flight,
        id: ClaimId,
        got: usize,
        now: Instant,
    ) -> Option<Answer> {
        let asked = self.remove(id)?;
        self.demand.observe(flight.ended.wrapping_sub(asked.ended));
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
        self.is_backlog = got >= asked.qty;
        self.look_at = if self.is_backlog || asked.is_stale {
            now
        } else {
            let idle = self.idle_wait(flight);
            let known = self.due.claim_was_last(now);
            known.map_or(after(now, idle), |at| at.min(after(now, idle)))
        };
        Some(Answer { id, asked: asked.at })
    }

    /// Takes a failure.
    pub(super) fn failed(&mut self, flight: &mut Flight, id: ClaimId, fault: Fault, now: Instant) {
        if self.remove(id).is_none() {
            return;
        }
        self.is_backlog = false;
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
        for asked in &mut self.asked {
            asked.is_stale = true;
        }
        if wake != Wake::Kicked
            && let Some(at) = after_throttle(&flight.config, now)
        {
            self.again_at = Some(at);
        }
        // The server is back.
        if wake == Wake::Reconnected {
            self.not_before = None;
        }
    }

    /// Takes note of the throttle of notifications; `None` if there are none.
    pub(super) fn notifies(&mut self, flight: &mut Flight, throttle: Option<Duration>, now: Instant) {
        let before = std::mem::replace(&mut flight.config.throttle, throttle);
        match (before, throttle) {
            // A notification from before may silence messages that are sent now.
            (None, Some(_)) => self.again_at = after_throttle(&flight.config, now),
            // The next look is at the backstop, which is too late without notifications.
            (Some(_), None) => {
                self.look_at = now;
                self.empty = 0;
            }
            _ => {}
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
        let wait = match flight.config.throttle {
            Some(_) => flight.config.backstop,
            None => backoff(FIRST_WAIT, self.empty, flight.config.poll),
        };
        jitter(&mut flight.rng, wait)
    }
}

/// The time at which messages are there that a notification of now silences; `None` if it silences none.
fn after_throttle(config: &Config, now: Instant) -> Option<Instant> {
    let throttle = config.throttle.filter(|throttle| !throttle.is_zero())?;
    Some(after(now, throttle.saturating_add(AFTER_THROTTLE)))
}

/// The smallest number of messages that is worth a claim while others are at hand.
fn crumbs(config: &Config) -> usize {
    (config.max_claim.min(config.concurrency.saturating_mul(config.batch)) / 4).max(1)
}
