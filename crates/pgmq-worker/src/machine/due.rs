//! Knowledge about the time at which the next message becomes visible, which no notification tells.

use std::time::{Duration, Instant};

use crate::machine::event::Fault;
use crate::machine::time::{after, backoff, earlier};

/// The knowledge, and the question about it.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The knowledge.
    state: Knowledge,
    /// The number of failed questions in a row.
    failures: u32,
}

/// The knowledge about the next message that becomes visible.
#[derive(Debug, Default, Clone, Copy)]
enum Knowledge {
    /// Nothing is known, and it is not worth a question: claims bring messages, or the server cannot answer.
    #[default]
    Unknown,
    /// The next question is due then.
    Wanted(Instant),
    /// The question is in flight.
    Asked {
        /// `true` if the answer may be outdated when it comes.
        is_stale: bool,
        /// `true` if a claim has left nothing visible since, and needs the answer to a new question.
        is_needed: bool,
    },
    /// A message becomes visible then; `None` if the queue was empty.
    Known(Option<Instant>),
}

impl Due {
    /// Makes the knowledge void, because the queue has changed.
    pub(super) fn change(&mut self) {
        self.state = match self.state {
            Knowledge::Asked { is_needed, .. } => Knowledge::Asked { is_stale: true, is_needed },
            _ => Knowledge::Unknown,
        };
    }

    /// Records that a claim has left nothing that is visible. The time of the next message, if it is known;
    /// otherwise asks for it.
    pub(super) fn claim_was_last(&mut self, now: Instant) -> Option<Instant> {
        match self.state {
            Knowledge::Known(None) => return None,
            Knowledge::Known(Some(at)) if at > now => return Some(at),
            Knowledge::Asked { .. } => self.state = Knowledge::Asked { is_stale: true, is_needed: true },
            _ => self.state = Knowledge::Wanted(now),
        }
        None
    }

    /// Records that this worker has made a message visible at that time.
    pub(super) fn will_be_visible(&mut self, at: Instant) {
        match self.state {
            Knowledge::Known(known) => self.state = Knowledge::Known(earlier(known, Some(at))),
            _ => self.change(),
        }
    }

    /// Asks, if the question is due.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let is_due = self.next_at().is_some_and(|at| at <= now);
        if is_due {
            self.state = Knowledge::Asked { is_stale: false, is_needed: false };
        }
        is_due
    }

    /// Takes the answer. The time of the next message.
    pub(super) fn answered(&mut self, due: Option<Duration>, now: Instant) -> Option<Instant> {
        let Knowledge::Asked { is_stale, is_needed } = self.state else { return None };
        self.failures = 0;
        let at = due.map(|wait| after(now, wait));
        self.state = match (is_stale, is_needed) {
            (_, true) => Knowledge::Wanted(now),
            (true, false) => Knowledge::Unknown,
            (false, false) => Knowledge::Known(at),
        };
        at
    }

    /// Takes a failure. One that stays, such as that of a server without the statement, is not asked again
    /// before the queue changes.
    pub(super) fn failed(&mut self, fault: Fault, now: Instant) {
        let Knowledge::Asked { .. } = self.state else { return };
        self.failures = self.failures.saturating_add(1);
        let wait = backoff(Duration::from_millis(200), self.failures, Duration::from_secs(10));
        self.state = match fault {
            Fault::Transient => Knowledge::Wanted(after(now, wait)),
            Fault::Lasting => Knowledge::Known(None),
        };
    }

    /// The time of the next question.
    pub(super) fn next_at(&self) -> Option<Instant> {
        match self.state {
            Knowledge::Wanted(at) => Some(at),
            _ => None,
        }
    }
}
