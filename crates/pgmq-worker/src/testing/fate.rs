//! The fate of messages: what a worker does with them after their handlers.

use std::sync::Arc;
use std::time::Duration;

use pgmq_core::RawJson;

use crate::dead_letter::Burial;
use crate::failure::{Failure, Reason};
use crate::machine::command::{BatchId, Settlement};
use crate::machine::event::Verdict;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::queue::Queue;
use crate::retry::Dice;
use crate::rules::On;
use crate::settings::{Facts, SettingsError};
use crate::shell::change::Change;
use crate::shell::requests::Settling;
use crate::verdict::{Kept, rule};

/// The fate of a message: what a worker does with it after the handler.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// The work is done, and the message is deleted.
    Deleted,
    /// The message is moved to the archive.
    Archived,
    /// The message is deleted, although the work is not done.
    Discarded,
    /// The handler has failed, and the message is tried again.
    Retried {
        /// The time until then. A worker that runs adds the random part of the retry policy.
        after: Duration,
    },
    /// The message comes back, without a failure.
    Snoozed {
        /// The time until then.
        after: Duration,
    },
    /// The message becomes visible at once, since the stop of the worker has cancelled the handler.
    Released,
    /// The message is moved to the dead-letter queue.
    DeadLettered {
        /// The header `x-dlq-reason`.
        reason: Reason,
        /// The header `x-dlq-error`.
        error: String,
    },
    /// The message is deleted, and another one is sent.
    Forwarded {
        /// The queue of the new message.
        to: String,
        /// The new message.
        message: RawJson,
    },
    /// The handler has finished the message in a transaction of its own.
    Finished,
}

/// The rules by which the messages of one queue are decided on.
pub(crate) struct Court {
    pub(crate) settings: Queue,
    /// The number of reads after which a message is not handled any more.
    max_reads: i32,
    /// The largest number of messages in a call of the handler.
    pub(crate) batch: usize,
}

/// The facts about a handler that the rules depend on.
pub(crate) struct Traits {
    pub(crate) takes_batches: bool,
    pub(crate) max_reads: Option<u32>,
}

/// A message that is decided on.
pub(crate) struct Decided {
    pub(crate) outcome: Outcome,
    pub(crate) fate: Fate,
    /// The failure, also where the outcome has none, such as for the receipt of another message.
    pub(crate) failure: Option<Failure>,
    /// The change that the server has to make.
    pub(crate) settling: Option<Settling>,
}

impl Court {
    pub(crate) fn new(queue: &str, settings: Queue, traits: &Traits) -> Result<Self, SettingsError> {
        let facts = Facts {
            default_concurrency: 1,
            takes_batches: traits.takes_batches,
            max_reads: traits.max_reads,
        };
        let config = settings.config(queue, &facts)?;
        Ok(Self { settings, max_reads: config.max_reads, batch: config.batch })
    }

    /// The decision on a message that was read too often to be handled; `None` if it is to be handled.
    pub(crate) fn before(&self, job: &Arc<Meta>) -> Option<Decided> {
        if job.reads() <= self.max_reads {
            return None;
        }
        let burial = Burial::unfinished(job);
        let why = Failure::from(burial.error.clone()).because(burial.reason);
        let outcome = Outcome::DeadLetter { why: why.clone() };
        let fate = Fate::DeadLettered { reason: burial.reason, error: burial.error.clone() };
        let settling = Some(settling(job, Settlement::Bury(vec![job.claim()]), Kept::Burial(burial)));
        Some(Decided { outcome, fate, failure: Some(why), settling })
    }

    /// The decision on a message whose handler has ended.
    pub(crate) fn after(&self, job: &Arc<Meta>, outcome: Outcome, rules: Option<&On>) -> Decided {
        let ruling = rule(outcome.clone(), job, self.settings.policy(rules), &mut Dice::even());
        let claims = || vec![job.claim()];
        let (fate, what) = match (ruling.verdict, &ruling.kept) {
            (Verdict::Delete, _) => {
                let is_discarded = matches!(outcome, Outcome::Discard { .. });
                let fate = if is_discarded { Fate::Discarded } else { Fate::Deleted };
                (fate, Some(Settlement::Delete(claims())))
            }
            (Verdict::Archive, _) => (Fate::Archived, Some(Settlement::Archive(claims()))),
            (Verdict::Retry(after), _) => {
                (Fate::Retried { after }, Some(Settlement::Hold(vec![(job.claim(), after)])))
            }
            (Verdict::Hold(after), _) => {
                let is_snoozed = matches!(outcome, Outcome::Snooze { .. });
                let fate = if is_snoozed { Fate::Snoozed { after } } else { Fate::Released };
                (fate, Some(Settlement::Hold(vec![(job.claim(), after)])))
            }
            (Verdict::Resend(after), _) => {
                (Fate::Snoozed { after }, Some(Settlement::Resend { claims: claims(), after }))
            }
            (Verdict::Bury, Kept::Burial(Burial { reason, error })) => {
                let fate = Fate::DeadLettered { reason: *reason, error: error.clone() };
                (fate, Some(Settlement::Bury(claims())))
            }
            (Verdict::Forward, Kept::Forward { to, message, .. }) => {
                let fate = Fate::Forwarded { to: to.clone(), message: message.clone() };
                (fate, Some(Settlement::Forward(job.claim())))
            }
            // A verdict comes with what it needs, so only `Finished` is reached.
            (Verdict::Finished | Verdict::Bury | Verdict::Forward, _) => (Fate::Finished, None),
        };
        let settling = what.map(|what| settling(job, what, ruling.kept));
        Decided { outcome, fate, failure: ruling.failure, settling }
    }
}

impl Decided {
    /// The change that the server has to make.
    pub(crate) fn change(&self, job: &Meta) -> Option<Change> {
        self.settling.as_ref().map(|settling| Change::of(settling, job.source()))
    }
}

fn settling(job: &Arc<Meta>, what: Settlement, kept: Kept) -> Settling {
    Settling { batch: BatchId(0), what, held: vec![(Arc::clone(job), kept)] }
}
