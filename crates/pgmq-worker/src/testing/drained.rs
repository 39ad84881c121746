//! The parts of a drain that sync and async ones have: the decisions, and the limit.

use std::sync::Arc;
use std::time::Duration;

use pgmq_core::{Error, ErrorKind, Message, RawJson};

use crate::meta::{Meta, Source};
use crate::outcome::Outcome;
use crate::queue::Queue;
use crate::shell::clock::Clock;
use crate::state::State;
use crate::testing::fate::{Court, Decided, Traits};
use crate::testing::report::{DrainReport, DrainedMessage};

/// The number of messages that a drain handles, unless it is set.
const AT_MOST: usize = 1000;

/// The settings of a drain.
pub(crate) struct Plan {
    pub(crate) state: State,
    pub(crate) takes_delayed: bool,
    pub(crate) at_most: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { state: State::default(), takes_delayed: false, at_most: AT_MOST }
    }
}

/// One queue that is drained.
pub(crate) struct Drained {
    pub(crate) source: Arc<Source>,
    pub(crate) court: Court,
}

impl Drained {
    pub(crate) fn new(name: String, settings: Queue, traits: &Traits, state: &State) -> Result<Self, Error> {
        let court = Court::new(&name, settings, traits)
            .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
        let source = Source {
            dead_letter_queue: court.settings.dead_letter_queue_of(&name).into(),
            queue: name.into(),
            worker: "drain".into(),
            state: Arc::new(state.clone()),
            clock: Clock::System,
        };
        Ok(Self { source: Arc::new(source), court })
    }

    pub(crate) fn vt(&self) -> Duration {
        self.court.settings.visibility_timeout()
    }

    pub(crate) fn jobs(&self, messages: Vec<Message<RawJson>>) -> Vec<Arc<Meta>> {
        let now = Clock::System.now();
        let expires = now.checked_add(self.vt()).unwrap_or(now);
        let job = |message| Arc::new(Meta::new(Arc::clone(&self.source), message, expires));
        messages.into_iter().map(job).collect()
    }

    /// The messages that the handler is to see.
    pub(crate) fn to_handle(&self, jobs: &[Arc<Meta>]) -> Vec<Arc<Meta>> {
        jobs.iter().filter(|job| self.court.before(job).is_none()).cloned().collect()
    }

    /// The decisions on all messages, from the outcomes of those that the handler has seen.
    pub(crate) fn decide(
        &self,
        jobs: Vec<Arc<Meta>>,
        outcomes: Vec<Outcome>,
        decide: impl Fn(&Arc<Meta>, Outcome) -> Decided,
    ) -> Vec<(Arc<Meta>, Decided)> {
        let mut outcomes = outcomes.into_iter();
        let decided = jobs.into_iter().filter_map(|job| {
            let decided = match self.court.before(&job) {
                Some(decided) => decided,
                None => decide(&job, outcomes.next()?),
            };
            Some((job, decided))
        });
        decided.collect()
    }
}

/// The course of a drain: what it may still handle, and what it has.
pub(crate) struct Course {
    at_most: usize,
    pub(crate) left: usize,
    pub(crate) report: DrainReport,
}

impl Course {
    pub(crate) fn new(at_most: usize) -> Self {
        Self { at_most, left: at_most, report: DrainReport::default() }
    }

    /// The number of messages to read: at the limit, one that shows that there are too many.
    pub(crate) fn next(&self, batch: usize) -> u32 {
        u32::try_from(batch.min(self.left).max(1)).unwrap_or(u32::MAX)
    }

    /// Counts messages that were read.
    pub(crate) fn took(
        &mut self,
        queue: &str,
        messages: Vec<Message<RawJson>>,
    ) -> Result<Vec<Message<RawJson>>, Error> {
        match self.left.checked_sub(messages.len()) {
            Some(left) => self.left = left,
            None => {
                let text = format!(
                    "the drain has handled {} messages, and queue {queue:?} has more; a handler may send to its \
                     own queue or snooze for ever, otherwise set a higher limit with at_most",
                    self.at_most
                );
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        }
        Ok(messages)
    }

    /// Adds a message to the report.
    pub(crate) fn add(&mut self, job: &Meta, decided: Decided, was_there: bool) {
        let Decided { outcome, fate, failure, .. } = decided;
        self.report.messages.push(DrainedMessage {
            queue: job.queue().to_owned(),
            msg_id: job.id(),
            reads: job.reads(),
            outcome,
            fate,
            failure,
            was_there,
        });
    }
}
