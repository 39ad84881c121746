//! One sync handler alone: what it returns, and what becomes of the message.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;

use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::sync::erased::Registered;
use crate::sync::into_handler::{IntoHandler, Runnable};
use crate::sync::layer::{Layer, layered};
use crate::testing::fate::Traits;
use crate::testing::perform::{Given, Performed, perform_methods};

/// Runs a handler alone on one message, as a worker would, and shows what becomes of the message. The payload
/// goes through JSON and back, so that mistakes in its `serde` attributes are found.
///
/// The handler is whatever a worker can have: a function of a [`&Job`](crate::sync::Job) or of a
/// [`&Batch`](crate::sync::Batch), which gets a batch of one message, a type with one of the traits, or a
/// [`Router`](crate::sync::Router). Timeouts have no effect.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::sync::Job;
/// use pgmq_worker::sync::testing::perform;
/// use pgmq_worker::testing::Fate;
/// use pgmq_worker::{Failure, Outcome};
///
/// fn charge(job: &Job<i64>) -> Result<(), Failure> {
///     match **job {
///         0 => Err(Failure::from("there is nothing to charge").permanent()),
///         amount if amount < *job.state::<i64>() => Ok(()),
///         _ => Err("the provider is busy".into()),
///     }
/// }
///
/// let performed = perform(charge, &5).state(100_i64).run();
/// assert_eq!(performed.outcome, Outcome::Done);
/// assert_eq!(performed.fate, Fate::Deleted);
///
/// let performed = perform(charge, &500).state(100_i64).reads(3).run();
/// assert_eq!(performed.fate, Fate::Retried { after: Duration::from_secs(20) });
///
/// let performed = perform(charge, &0).run();
/// assert!(matches!(performed.fate, Fate::DeadLettered { .. }));
/// ```
///
/// # Panics
///
/// If the payload cannot be written as JSON.
pub fn perform<Kind, T: Serialize + ?Sized>(
    handler: impl IntoHandler<Kind, Typed: Runnable>,
    payload: &T,
) -> Perform {
    Perform::new(handler.into_handler().into_any().0, Given::new([payload]))
}

/// Runs a handler of batches alone on one batch, as a worker would, and shows what becomes of each message.
/// The ids of the messages are counted from 1.
///
/// A handler of single messages runs on one message after the other.
///
/// ```
/// use pgmq_worker::BatchOutcome;
/// use pgmq_worker::sync::Batch;
/// use pgmq_worker::sync::testing::perform_batch;
/// use pgmq_worker::testing::Fate;
///
/// fn index(batch: &Batch<String>) -> BatchOutcome {
///     batch.outcomes(|job| if job.is_empty() { Err("an empty document") } else { Ok(()) })
/// }
///
/// let performed = perform_batch(index, &["one", ""]).run();
/// assert_eq!(performed[0].fate, Fate::Deleted);
/// assert!(matches!(performed[1].fate, Fate::Retried { .. }));
/// ```
///
/// # Panics
///
/// If a payload cannot be written as JSON.
pub fn perform_batch<Kind, T: Serialize>(
    handler: impl IntoHandler<Kind, Typed: Runnable>,
    payloads: &[T],
) -> Perform<Vec<Performed>> {
    Perform::new(handler.into_handler().into_any().0, Given::new(payloads))
}

/// A handler that is to run alone, made by [`perform`] and [`perform_batch`].
#[must_use = "the handler runs when `run` is called"]
pub struct Perform<R = Performed> {
    handler: Registered,
    layers: Vec<Arc<dyn Layer>>,
    given: Given,
    returns: PhantomData<fn() -> R>,
}

impl<R> Perform<R> {
    fn new(handler: Registered, given: Given) -> Self {
        Self { handler, layers: Vec::new(), given, returns: PhantomData }
    }

    perform_methods!();

    fn all(self) -> Vec<Performed> {
        let Self { handler, layers, given, .. } = self;
        let handler = layered(handler, &layers.into());
        let traits = Traits { takes_batches: handler.takes_batches(), max_reads: handler.max_reads() };
        let prepared = given.prepare(&traits);
        let outcomes = handle(&handler, prepared.jobs());
        prepared.performed(outcomes, |job| handler.rules(job))
    }
}

/// Runs a handler on messages, and returns an outcome for each.
pub(super) fn handle(handler: &Registered, jobs: Vec<Arc<Meta>>) -> Vec<Outcome> {
    match handler {
        _ if jobs.is_empty() => Vec::new(),
        Registered::One(handler) => jobs.into_iter().map(|job| handler.handle(job)).collect(),
        Registered::Batch(handler) => handler.handle_batch(jobs),
    }
}

impl Perform {
    /// Runs the handler.
    ///
    /// # Panics
    ///
    /// If the settings are of no use. A panic of the handler is an outcome.
    pub fn run(self) -> Performed {
        // There is one message, and each message has an outcome.
        self.all().remove(0)
    }
}

impl Perform<Vec<Performed>> {
    /// Runs the handler. The results are in the order of the messages.
    ///
    /// # Panics
    ///
    /// If the settings are of no use. A panic of the handler is an outcome.
    pub fn run(self) -> Vec<Performed> {
        self.all()
    }
}

impl<R> fmt::Debug for Perform<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Perform({} messages)", self.given.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;
    use crate::sync::handler::Batch;
    use crate::sync::job::Job;
    use crate::testing::fate::Fate;

    #[test]
    fn panics_and_decode_errors_have_their_fates() {
        let handler = |job: &Job<u32>| assert_ne!(**job, 13, "unlucky");
        assert_eq!(perform(handler, &12).run().fate, Fate::Deleted);
        let performed = perform(handler, &13).reads(10).run();
        assert!(matches!(performed.fate, Fate::DeadLettered { reason: Reason::Panic, .. }));
        let performed = perform(handler, "text").run();
        assert!(matches!(performed.fate, Fate::DeadLettered { reason: Reason::Decode, .. }));
    }

    #[test]
    fn a_batch_has_a_fate_for_each_message() {
        let handler = |batch: &Batch<u32>| batch.outcomes(|job| (**job > 1).then_some(()).ok_or("one"));
        let performed = perform_batch(handler, &[1, 2]).run();
        assert!(matches!(performed[0].fate, Fate::Retried { .. }));
        assert_eq!(performed[1].fate, Fate::Deleted);
    }
}
