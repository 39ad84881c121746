//! Starting messages that are ready, on slots that are free.

use std::collections::VecDeque;
use std::time::Instant;

use crate::machine::beats::Beats;
use crate::machine::command::Command;
use crate::machine::flight::Flight;
use crate::machine::message::{Abandoning, Run, State};
use crate::machine::store::Key;
use crate::machine::time::{after, earlier};

/// The messages that wait for a slot. Those that are gone stay in the queues until they come to the front.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// The messages that wait, in the order in which they came.
    ready: VecDeque<Key>,
    /// The messages that were read too often to be trusted, which start last and alone: a message that ends
    /// the process then takes no others with it.
    suspects: VecDeque<Key>,
    /// The suspect that runs.
    alone: Option<Key>,
    /// `true` if nothing is to be claimed for the sake of a suspect.
    pub(super) stops_claims: bool,
    /// The time at which a batch that is not full starts.
    lingers_until: Option<Instant>,
}

impl Slots {
    /// Adds a message that is ready.
    pub(super) fn push(&mut self, key: Key, is_suspect: bool) {
        match is_suspect {
            true => self.suspects.push_back(key),
            false => self.ready.push_back(key),
        }
    }

    /// Removes the messages that are ready.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Key> + use<> {
        std::mem::take(&mut self.ready).into_iter().chain(std::mem::take(&mut self.suspects))
    }

    /// Removes messages that are gone from the ends at which others are taken.
    fn trim(&mut self, flight: &Flight) {
        let is_gone = |key: &Key| flight.store.get(*key).is_none_or(|m| m.state != State::Ready);
        while self.ready.front().is_some_and(is_gone) {
            self.ready.pop_front();
        }
        while self.suspects.front().is_some_and(is_gone) {
            self.suspects.pop_front();
        }
        while self.suspects.back().is_some_and(is_gone) {
            self.suspects.pop_back();
        }
        // A stuck handler must not stop the queue forever.
        let runs = |key| flight.store.get(key).and_then(|m| m.run()).is_some_and(|run| !run.is_stuck);
        self.alone = self.alone.filter(|&key| runs(key));
    }

    /// Notes whether claims are to stop: while a suspect runs, and once one has waited for so long that the
    /// others are to come to an end first.
    pub(super) fn observe(&mut self, flight: &Flight, now: Instant) {
        self.trim(flight);
        self.stops_claims =
            self.alone.is_some() || self.suspect_waits_until(flight).is_some_and(|at| at <= now);
    }

    /// The time at which the first suspect has waited for a lease.
    fn suspect_waits_until(&self, flight: &Flight) -> Option<Instant> {
        let first = flight.store.get(*self.suspects.front()?)?;
        Some(after(first.arrived, flight.config.vt))
    }

    /// The time at which a batch that is not full starts, or a suspect has waited for long enough.
    pub(super) fn wake_at(&self, flight: &Flight) -> Option<Instant> {
        let suspect = if self.stops_claims { None } else { self.suspect_waits_until(flight) };
        earlier(self.lingers_until, suspect)
    }

    /// The next messages to start, if there is a slot for them.
    pub(super) fn next(&mut self, flight: &mut Flight, now: Instant) -> Option<Command> {
        self.trim(flight);
        self.lingers_until = None;
        if !has_room(flight) {
            return None;
        }
        let first = flight.store.get(*self.ready.front()?)?;
        let trusted = flight.counts.ready - flight.counts.suspects;
        let lingers_until = after(first.arrived, flight.config.linger);
        if trusted < flight.config.batch && lingers_until > now {
            self.lingers_until = Some(lingers_until);
            return None;
        }
        let mut keys = Vec::new();
        while keys.len() < flight.config.batch
            && let Some(&key) = self.ready.front()
        {
            // The oldest wait for their extension. If it fails, all is late, and they end soon.
            if !Beats::is_fresh(flight, key, now) {
                if flight.store.get(key).is_none_or(|m| m.state != State::Ready) {
                    self.ready.pop_front();
                    continue;
                }
                break;
            }
            self.ready.pop_front();
            keys.push(key);
        }
        (!keys.is_empty()).then(|| start(flight, &keys, now))
    }

    /// The next suspect to start, if everything else is over.
    pub(super) fn next_suspect(&mut self, flight: &mut Flight, now: Instant) -> Option<Command> {
        let trusted = flight.counts.ready - flight.counts.suspects;
        // Stuck handlers may never end.
        let active = flight.counts.running - flight.counts.stuck;
        let (&first, &last) = (self.suspects.front()?, self.suspects.back()?);
        // A message that ends the process each time would come before the same others each time, until these
        // have no reads left. So after every other read, the order is reversed.
        let is_reversed = flight.store.get(first).is_some_and(|message| message.claim.read_ct % 2 != 0);
        let key = if is_reversed { last } else { first };
        if trusted > 0 || active > 0 || !has_room(flight) || !Beats::is_fresh(flight, key, now) {
            return None;
        }
        match is_reversed {
            true => self.suspects.pop_back(),
            false => self.suspects.pop_front(),
        };
        self.alone = Some(key);
        Some(start(flight, &[key], now))
    }
}

/// Returns `true` if a slot is free. While a suspect runs nothing else is ready, because it started last and
/// nothing has been claimed since.
fn has_room(flight: &Flight) -> bool {
    flight.calls.len() < flight.config.concurrency
}

/// Starts a handler with these messages.
fn start(flight: &mut Flight, keys: &[Key], now: Instant) -> Command {
    let call = flight.calls.begin(keys.len());
    let timeout = flight.config.timeout;
    let run = Run {
        call,
        ends: after(now, timeout.unwrap_or_else(|| flight.config.vt.saturating_mul(10))),
        has_timeout: timeout.is_some(),
        is_cancelled: false,
        is_stuck: false,
        abandoning: Abandoning::No,
    };
    let mut claims = Vec::with_capacity(keys.len());
    for &key in keys {
        flight.change(key, State::Running(run));
        flight.watch(run.ends, key);
        claims.extend(flight.store.get(key).map(|message| message.claim));
    }
    Command::Start(claims)
}
