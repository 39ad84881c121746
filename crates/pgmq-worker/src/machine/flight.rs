//! The messages in flight, their leases and their slots: the state that the parts of the machine share.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::calls::Calls;
use crate::machine::command::{BatchId, CancelReason, Command, Notice};
use crate::machine::config::Config;
use crate::machine::deadlines::Deadlines;
use crate::machine::leases::Leases;
use crate::machine::message::{Message, Run, State, Upkeep};
use crate::machine::store::{Key, Store};
use crate::machine::time::after;

/// The messages in flight.
#[derive(Debug)]
pub(super) struct Flight {
    /// The settings.
    pub(super) config: Config,
    /// The messages.
    pub(super) store: Store,
    /// The leases that are extended.
    pub(super) kept: Leases,
    /// The leases that run out by themselves.
    pub(super) left: Leases,
    /// The times at which handlers are cancelled; without a timeout, at which they count as stuck.
    pub(super) timeouts: Deadlines,
    /// The times at which cancelled handlers count as stuck.
    pub(super) graces: Deadlines,
    /// The calls of handlers.
    pub(super) calls: Calls,
    /// The numbers of messages by state.
    pub(super) counts: Counts,
    /// The number of messages with which handlers have ended so far.
    pub(super) ended: usize,
    /// The source of jitter.
    pub(super) rng: fastrand::Rng,
    /// The commands that are decided already.
    out: VecDeque<Command>,
    /// The number of the next batch.
    next_batch: u64,
}

/// The numbers of messages by state.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    /// The messages that wait for a slot.
    pub(super) ready: usize,
    /// The suspects among those that wait for a slot.
    pub(super) suspects: usize,
    /// The messages whose handlers run.
    pub(super) running: usize,
    /// The messages whose handlers are stuck, among those that run.
    pub(super) stuck: usize,
    /// The messages that wait to be settled.
    pub(super) done: usize,
    /// The messages whose settlement is in flight.
    pub(super) settling: usize,
}

impl Flight {
    /// Creates the state without messages.
    pub(super) fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            store: Store::default(),
            kept: Leases::default(),
            left: Leases::default(),
            timeouts: Deadlines::default(),
            graces: Deadlines::default(),
            calls: Calls::default(),
            counts: Counts::default(),
            ended: 0,
            rng: fastrand::Rng::with_seed(seed),
            out: VecDeque::new(),
            next_batch: 0,
        }
    }

    /// Gives a command.
    pub(super) fn give(&mut self, command: Command) {
        self.out.push_back(command);
    }

    /// Gives a notice to the user.
    pub(super) fn tell(&mut self, notice: Notice) {
        self.give(Command::Tell(notice));
    }

    /// The next command that is decided already. Skips those to handlers that have returned since.
    pub(super) fn next_command(&mut self) -> Option<Command> {
        loop {
            let command = self.out.pop_front()?;
            match command {
                Command::Cancel { claim, .. } | Command::Abandon(claim) if !self.runs(claim) => {}
                command => return Some(command),
            }
        }
    }

    /// Returns `true` if the shell is still to be told to forget a message of this claim.
    pub(super) fn is_to_be_dropped(&self, claim: Claim) -> bool {
        self.out.iter().any(|command| *command == Command::Drop(claim))
    }

    /// Returns `true` if the handler of a message runs.
    fn runs(&self, claim: Claim) -> bool {
        let message = self.store.find(claim).and_then(|key| self.store.get(key));
        message.is_some_and(|message| message.run().is_some())
    }

    /// The number of a batch.
    pub(super) fn batch(&mut self) -> BatchId {
        self.next_batch += 1;
        BatchId(self.next_batch)
    }

    /// Adds a message, whose lease is kept.
    pub(super) fn add(&mut self, message: Message) -> Key {
        count(&mut self.counts, &message, true);
        let expires = message.expires;
        let key = self.store.insert(message);
        self.kept.add(expires, key);
        key
    }

    /// Changes the state of a message.
    pub(super) fn change(&mut self, key: Key, state: State) {
        let Some(message) = self.store.get_mut(key) else { return };
        count(&mut self.counts, message, false);
        let run = message.run();
        message.state = state;
        count(&mut self.counts, message, true);
        if let (Some(run), None) = (run, message.run()) {
            self.leave(run);
        }
    }

    /// Changes the care for a lease and its end.
    pub(super) fn set_lease(&mut self, key: Key, upkeep: Upkeep, expires: Instant) {
        let Some(message) = self.store.get_mut(key) else { return };
        if (message.upkeep, message.expires) == (upkeep, expires) {
            return;
        }
        match message.upkeep {
            Upkeep::Kept => self.kept.remove(message.expires),
            Upkeep::Left => self.left.remove(message.expires),
            Upkeep::Suspended | Upkeep::Lost => {}
        }
        message.upkeep = upkeep;
        message.expires = expires;
        match upkeep {
            Upkeep::Kept => self.kept.add(expires, key),
            Upkeep::Left => self.left.add(expires, key),
            Upkeep::Suspended | Upkeep::Lost => {}
        }
    }

    /// Changes the care for a lease.
    pub(super) fn set_upkeep(&mut self, key: Key, upkeep: Upkeep) {
        if let Some(message) = self.store.get(key) {
            let expires = message.expires;
            self.set_lease(key, upkeep, expires);
        }
    }

    /// Removes a message that the shell forgets by itself.
    pub(super) fn remove(&mut self, key: Key) {
        self.set_upkeep(key, Upkeep::Lost);
        if let Some(message) = self.store.remove(key) {
            count(&mut self.counts, &message, false);
            if let Some(run) = message.run() {
                self.leave(run);
            }
        }
    }

    /// Ends a run.
    fn leave(&mut self, run: Run) {
        self.calls.leave(run.call);
        self.ended = self.ended.wrapping_add(1);
    }

    /// Removes a message, and tells the shell to forget it.
    pub(super) fn drop_message(&mut self, key: Key) {
        if let Some(message) = self.store.get(key) {
            let claim = message.claim;
            self.remove(key);
            self.give(Command::Drop(claim));
        }
    }

    /// Reacts to the loss of a lease. A message that is finished is still finished: the first consumer that
    /// finishes it wins. Everything else needs a current claim.
    pub(super) fn lose(&mut self, key: Key, now: Instant) {
        let Some(message) = self.store.get(key) else { return };
        if message.is_lost() && !message.is_void {
            return;
        }
        let (claim, is_void, was_lost) = (message.claim, message.is_void, message.is_lost());
        match message.state {
            State::Running(_) => {
                self.set_upkeep(key, Upkeep::Lost);
                if !was_lost {
                    self.tell(Notice::Lost(claim));
                }
                self.cancel(key, CancelReason::LeaseLost, now);
            }
            // The answer to the settlement tells more.
            State::Settling(_) => self.set_upkeep(key, Upkeep::Lost),
            State::Done(fate) if fate.finishes() && !is_void => self.set_upkeep(key, Upkeep::Lost),
            State::Ready | State::Done(_) => {
                self.tell(Notice::Lost(claim));
                self.drop_message(key);
            }
        }
    }

    /// Reacts to the end of leases.
    pub(super) fn expire(&mut self, now: Instant) {
        for upkeep in [Upkeep::Kept, Upkeep::Left] {
            let leases = if upkeep == Upkeep::Kept { &self.kept } else { &self.left };
            if leases.first().is_none_or(|first| first > now) {
                continue;
            }
            for (end, key) in leases.until(now) {
                if self.store.get(key).is_some_and(|m| m.upkeep == upkeep && m.expires == end) {
                    self.lose(key, now);
                }
            }
        }
    }

    /// Cancels a handler, once.
    pub(super) fn cancel(&mut self, key: Key, why: CancelReason, now: Instant) {
        let Some(message) = self.store.get_mut(key) else { return };
        let State::Running(run) = &mut message.state else { return };
        if run.is_cancelled {
            return;
        }
        run.is_cancelled = true;
        let claim = message.claim;
        self.give(Command::Cancel { claim, why });
        if why == CancelReason::Shutdown {
            // The stop has a grace of its own, at the end of which the handler is abandoned.
            return;
        }
        let at = after(now, self.config.grace);
        let Self { graces, store, counts, .. } = self;
        graces.set(at, key, counts.running, |_, key| awaits_end(store, key));
    }

    /// Notes the end of the time of a handler that begins.
    pub(super) fn watch(&mut self, ends: Instant, key: Key) {
        let Self { timeouts, store, counts, .. } = self;
        timeouts.set(ends, key, counts.running, |at, key| awaits_timeout(store, at, key));
    }

    /// Sets the timeout of a handler that has begun, instead of that of the queue.
    pub(super) fn set_timeout(&mut self, claim: Claim, timeout: Duration, now: Instant) {
        let Some(key) = self.store.find(claim) else { return };
        let Some(message) = self.store.get_mut(key) else { return };
        let State::Running(run) = &mut message.state else { return };
        run.ends = after(now, timeout);
        run.has_timeout = true;
        let ends = run.ends;
        self.watch(ends, key);
    }

    /// Reacts to handlers that have not ended in time.
    pub(super) fn time_out(&mut self, now: Instant) {
        while let Some((at, key)) = self.timeouts.next_over(now) {
            if let Some(run) = awaits(&self.store, at, key) {
                match run.has_timeout {
                    true => self.cancel(key, CancelReason::TimedOut, now),
                    false => self.stick(key),
                }
            }
        }
        while let Some((_, key)) = self.graces.next_over(now) {
            if awaits_end(&self.store, key) {
                self.stick(key);
                // Let another worker try, unless the user knows that a handler comes back.
                if !self.config.keeps_stuck && self.store.get(key).is_some_and(|m| m.upkeep == Upkeep::Kept) {
                    self.set_upkeep(key, Upkeep::Left);
                }
            }
        }
        let store = &self.store;
        self.timeouts.trim(|at, key| awaits_timeout(store, at, key));
        self.graces.trim(|_, key| awaits_end(store, key));
    }

    /// Marks a handler as stuck, once.
    fn stick(&mut self, key: Key) {
        let Some(message) = self.store.get(key) else { return };
        if let State::Running(run) = message.state
            && !run.is_stuck
        {
            let claim = message.claim;
            self.change(key, State::Running(Run { is_stuck: true, ..run }));
            self.tell(Notice::Stuck(claim));
        }
    }

    /// The time for which the lease of a message lasts at least.
    #[cfg(test)]
    pub(super) fn lease_left(&self, claim: Claim, now: Instant) -> Option<Duration> {
        let message = self.store.get(self.store.find(claim)?)?;
        (!message.is_lost()).then(|| message.expires.saturating_duration_since(now))
    }
}

/// The run of a handler whose time ends then, and that was neither cancelled nor reported as stuck.
fn awaits(store: &Store, ends: Instant, key: Key) -> Option<Run> {
    let run = store.get(key)?.run()?;
    (run.ends == ends && !run.is_cancelled && !run.is_stuck).then_some(run)
}

/// Returns `true` if the end of a handler's time is still to come.
fn awaits_timeout(store: &Store, ends: Instant, key: Key) -> bool {
    awaits(store, ends, key).is_some()
}

/// Returns `true` if the handler of a message was cancelled, and its grace is not yet known to be over.
fn awaits_end(store: &Store, key: Key) -> bool {
    let message = store.get(key);
    // A handler without a timeout may have been stuck before the cancellation; its lease is still to be left.
    message.is_some_and(|m| {
        m.run().is_some_and(|run| run.is_cancelled && (!run.is_stuck || m.upkeep == Upkeep::Kept))
    })
}

/// Counts a message, or no longer.
fn count(counts: &mut Counts, message: &Message, is_there: bool) {
    let add = |number: &mut usize| match is_there {
        true => *number += 1,
        false => *number -= 1,
    };
    match message.state {
        State::Ready => {
            add(&mut counts.ready);
            if message.is_suspect {
                add(&mut counts.suspects);
            }
        }
        State::Running(run) => {
            add(&mut counts.running);
            if run.is_stuck {
                add(&mut counts.stuck);
            }
        }
        State::Done(_) => add(&mut counts.done),
        State::Settling(_) => add(&mut counts.settling),
    }
}
