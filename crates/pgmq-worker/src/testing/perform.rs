//! One handler alone: what it returns, and what becomes of the message.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use pgmq_core::{Message, RawJson};
use serde::Serialize;

use crate::erased::Registered;
use crate::failure::Failure;
use crate::into_handler::{IntoHandler, Runnable};
use crate::layer::{Layer, layered};
use crate::machine::command::CancelReason;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::queue::Queue;
use crate::rules::On;
use crate::state::State;
use crate::testing::fate::{Court, Fate, Traits};
use crate::testing::job::TestJob;

/// Runs a handler alone on one message, as a worker would, and shows what becomes of the message. The payload
/// goes through JSON and back, so that mistakes in its `serde` attributes are found.
///
/// The handler is whatever a worker can have: a function of a [`Job`](crate::Job) or of a
/// [`Batch`](crate::Batch), which gets a batch of one message, a type with one of the traits, or a
/// [`Router`](crate::Router). Timeouts have no effect.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::testing::{Fate, perform};
/// use pgmq_worker::{Failure, Job, Outcome};
///
/// async fn charge(job: Job<i64>) -> Result<(), Failure> {
///     match *job {
///         0 => Err(Failure::from("there is nothing to charge").permanent()),
///         amount if amount < *job.state::<i64>() => Ok(()),
///         _ => Err("the provider is busy".into()),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let performed = perform(charge, &5).state(100_i64).run().await;
/// assert_eq!(performed.outcome, Outcome::Done);
/// assert_eq!(performed.fate, Fate::Deleted);
///
/// let performed = perform(charge, &500).state(100_i64).reads(3).run().await;
/// assert_eq!(performed.fate, Fate::Retried { after: Duration::from_secs(20) });
///
/// let performed = perform(charge, &0).run().await;
/// assert!(matches!(performed.fate, Fate::DeadLettered { .. }));
/// assert_eq!(performed.failure().unwrap().to_string(), "there is nothing to charge");
/// # }
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
/// use pgmq_worker::testing::{Fate, perform_batch};
/// use pgmq_worker::{Batch, BatchOutcome};
///
/// async fn index(batch: Batch<String>) -> BatchOutcome {
///     batch.outcomes(|job| if job.is_empty() { Err("an empty document") } else { Ok(()) })
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let performed = perform_batch(index, &["one", ""]).run().await;
/// assert_eq!(performed[0].fate, Fate::Deleted);
/// assert!(matches!(performed[1].fate, Fate::Retried { .. }));
/// # }
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

/// The outcome of a handler, and the fate of the message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Performed {
    /// The outcome, also where the payload does not decode or the handler panics.
    pub outcome: Outcome,
    /// The fate of the message, by the settings of the queue.
    pub fate: Fate,
    failure: Option<Failure>,
}

impl Performed {
    /// The failure, if there is one.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

/// Everything that a handler is given.
pub(crate) struct Given {
    payloads: Vec<RawJson>,
    pub(crate) queue: String,
    pub(crate) reads: i32,
    pub(crate) headers: Option<RawJson>,
    pub(crate) state: State,
    pub(crate) cancelled: Option<CancelReason>,
    pub(crate) settings: Queue,
}

impl Given {
    pub(crate) fn new<T: Serialize>(payloads: impl IntoIterator<Item = T>) -> Self {
        let payload = |payload| {
            RawJson::new(&payload).unwrap_or_else(|error| panic!("the payload is no JSON: {error}"))
        };
        Self {
            payloads: payloads.into_iter().map(payload).collect(),
            queue: "test".to_owned(),
            reads: 1,
            headers: None,
            state: State::default(),
            cancelled: None,
            settings: Queue::new(),
        }
    }

    /// The rules, and the messages that the handler is to see.
    pub(crate) fn prepare(self, traits: &Traits) -> Prepared {
        let Self { payloads, queue, reads, headers, state, cancelled, settings } = self;
        let court = Court::new(&queue, settings, traits).unwrap_or_else(|error| panic!("{error}"));
        let dead_letter_queue = court.settings.dead_letter_queue_of(&queue);
        let job = |(payload, id)| {
            let mut message = Message::new(id, payload);
            message.read_ct = reads;
            message.headers.clone_from(&headers);
            let test = TestJob::of(message).queue(&queue).dead_letter_queue(&dead_letter_queue);
            test.shares(state.clone()).cancels(cancelled).meta()
        };
        let jobs: Vec<_> = payloads.into_iter().zip(1..).map(job).collect();
        Prepared { court, jobs }
    }
}

/// Messages that are ready for their handler.
pub(crate) struct Prepared {
    court: Court,
    jobs: Vec<Arc<Meta>>,
}

impl Prepared {
    /// The messages for the handler, unless they were read too often.
    pub(crate) fn jobs(&self) -> Vec<Arc<Meta>> {
        self.jobs.iter().filter(|job| self.court.before(job).is_none()).cloned().collect()
    }

    /// The decisions on all messages, from the outcomes of those that the handler has seen.
    pub(crate) fn performed<'r>(
        &self,
        outcomes: Vec<Outcome>,
        rules: impl Fn(&Meta) -> Option<&'r On>,
    ) -> Vec<Performed> {
        let mut outcomes = outcomes.into_iter();
        let decide = |job| match self.court.before(job) {
            Some(decided) => Some(decided),
            None => Some(self.court.after(job, outcomes.next()?, rules(job))),
        };
        let decided = self.jobs.iter().filter_map(decide);
        decided
            .map(|decided| Performed {
                outcome: decided.outcome,
                fate: decided.fate,
                failure: decided.failure,
            })
            .collect()
    }
}

/// The methods of a `Perform`, which has what the handler is given in the field `given`.
macro_rules! perform_methods {
    () => {
        /// Sets the name of the queue; the default is `test`.
        pub fn queue(mut self, name: impl Into<String>) -> Self {
            self.given.queue = name.into();
            self
        }

        /// Sets the settings of the queue, which decide on retries and dead letters.
        pub fn settings(mut self, settings: $crate::queue::Queue) -> Self {
            self.given.settings = settings;
            self
        }

        /// Sets the number of times that the message has been read; the default is 1. Above the limit of the
        /// settings, the handler does not run.
        pub fn reads(mut self, reads: i32) -> Self {
            self.given.reads = reads;
            self
        }

        /// Sets the headers.
        ///
        /// # Panics
        ///
        /// If they cannot be written as JSON.
        pub fn headers<H: ::serde::Serialize + ?Sized>(mut self, headers: &H) -> Self {
            let headers = ::pgmq_core::RawJson::new(headers);
            self.given.headers =
                Some(headers.unwrap_or_else(|error| panic!("the headers are no JSON: {error}")));
            self
        }

        /// Adds a value that the worker would share with its handlers.
        pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
            self.given.state.insert(value);
            self
        }

        /// Makes the message one that is cancelled already.
        pub fn cancelled(mut self, why: $crate::machine::command::CancelReason) -> Self {
            self.given.cancelled = Some(why);
            self
        }

        /// Puts a layer around the handler. The first layer is the outermost.
        pub fn layer(mut self, layer: impl Layer + 'static) -> Self {
            self.layers.push(::std::sync::Arc::new(layer));
            self
        }
    };
}
pub(crate) use perform_methods;

impl<R> Perform<R> {
    fn new(handler: Registered, given: Given) -> Self {
        Self { handler, layers: Vec::new(), given, returns: PhantomData }
    }

    perform_methods!();

    async fn all(self) -> Vec<Performed> {
        let Self { handler, layers, given, .. } = self;
        let handler = layered(handler, &layers.into());
        let traits = Traits { takes_batches: handler.takes_batches(), max_reads: handler.max_reads() };
        let prepared = given.prepare(&traits);
        let outcomes = handle(&handler, prepared.jobs()).await;
        prepared.performed(outcomes, |job| handler.rules(job))
    }
}

/// Runs a handler on messages, and returns an outcome for each.
pub(crate) async fn handle(handler: &Registered, jobs: Vec<Arc<Meta>>) -> Vec<Outcome> {
    match handler {
        _ if jobs.is_empty() => Vec::new(),
        Registered::One(handler) => {
            let mut outcomes = Vec::with_capacity(jobs.len());
            for job in jobs {
                outcomes.push(handler.handle(job).await);
            }
            outcomes
        }
        Registered::Batch(handler) => handler.handle_batch(jobs).await,
    }
}

impl Perform {
    /// Runs the handler.
    ///
    /// # Panics
    ///
    /// If the settings are of no use. A panic of the handler is an outcome.
    pub async fn run(self) -> Performed {
        // There is one message, and each message has an outcome.
        self.all().await.remove(0)
    }
}

impl Perform<Vec<Performed>> {
    /// Runs the handler. The results are in the order of the messages.
    ///
    /// # Panics
    ///
    /// If the settings are of no use. A panic of the handler is an outcome.
    pub async fn run(self) -> Vec<Performed> {
        self.all().await
    }
}

impl<R> fmt::Debug for Perform<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Perform({} messages)", self.given.payloads.len())
    }
}

impl Given {
    /// The number of messages.
    pub(crate) fn len(&self) -> usize {
        self.payloads.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::erased::BoxFuture;
    use crate::failure::Reason;
    use crate::handler::Batch;
    use crate::job::Job;
    use crate::layer::Next;
    use crate::retry::Retry;
    use crate::router::Router;
    use crate::testing::fate::Fate;

    async fn fails(_: Job<u32>) -> Result<(), &'static str> {
        Err("no")
    }

    #[tokio::test]
    async fn the_fate_follows_the_settings_and_the_reads() {
        let settings = || Queue::new().max_reads(3).retry(Retry::fixed(Duration::from_secs(7)).jitter(0.5));
        let fate = async |reads| perform(fails, &1).settings(settings()).reads(reads).run().await.fate;
        assert_eq!(fate(2).await, Fate::Retried { after: Duration::from_secs(7) });
        assert_eq!(fate(3).await, Fate::DeadLettered { reason: Reason::Exhausted, error: "no".to_owned() });
    }

    #[tokio::test]
    async fn a_message_that_was_read_too_often_does_not_reach_the_handler() {
        let handler = async |_: Job<u32>| Outcome::Archive;
        let performed = perform(handler, &1).reads(11).run().await;
        let error = "the message was read 11 times, and no handler has finished it";
        assert_eq!(performed.fate, Fate::DeadLettered { reason: Reason::Exhausted, error: error.to_owned() });
    }

    #[tokio::test]
    async fn a_payload_that_does_not_decode_is_a_dead_letter() {
        let performed = perform(fails, "text").run().await;
        assert!(matches!(performed.fate, Fate::DeadLettered { reason: Reason::Decode, .. }));
        assert!(performed.failure().unwrap().to_string().contains("invalid type"));
    }

    #[tokio::test]
    async fn a_batch_has_a_fate_for_each_message() {
        let handler = async |batch: Batch<u32>| batch.outcomes(|job| (**job > 1).then_some(()).ok_or("one"));
        let performed = perform_batch(handler, &[1, 2]).run().await;
        assert_eq!(performed[0].outcome, Outcome::Retry { after: None, why: Failure::from("one") });
        assert_eq!(performed[1].fate, Fate::Deleted);
        assert!(perform_batch(handler, &[0; 0]).run().await.is_empty());
        assert_eq!(perform_batch(fails, &[1, 2, 3]).run().await.len(), 3);
    }

    #[tokio::test]
    async fn a_router_has_its_own_rules() {
        let router = Router::by_header("type").on_with("a", On::new().max_reads(1), fails);
        let performed = perform(router.clone(), &1).headers(&serde_json::json!({"type": "a"})).run().await;
        assert!(matches!(performed.fate, Fate::DeadLettered { reason: Reason::Exhausted, .. }));
        let performed = perform(router, &1).run().await;
        assert!(matches!(performed.fate, Fate::DeadLettered { reason: Reason::UnknownType, .. }));
    }

    #[tokio::test]
    async fn the_other_outcomes_have_their_fates() {
        let fate = async |outcome: Outcome| {
            let handler = move |_: Job<u32>| std::future::ready(outcome.clone());
            perform(handler, &1).run().await.fate
        };
        assert_eq!(fate(Outcome::Archive).await, Fate::Archived);
        assert_eq!(fate(Outcome::discard("old")).await, Fate::Discarded);
        let hour = Duration::from_secs(3600);
        assert_eq!(fate(Outcome::snooze(hour)).await, Fate::Snoozed { after: hour });
        let message = RawJson::new(&2).unwrap();
        assert_eq!(
            fate(Outcome::forward("next", &2)).await,
            Fate::Forwarded { to: "next".to_owned(), message }
        );
        let performed = perform(fails, &1).cancelled(CancelReason::Shutdown).run().await;
        assert_eq!(performed.fate, Fate::Released);
    }

    #[tokio::test]
    async fn a_layer_may_change_the_outcome() {
        struct Archiving;

        impl Layer for Archiving {
            fn around<'a>(&'a self, job: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome> {
                Box::pin(async move {
                    next.run().await;
                    if job.queue() == "special" { Outcome::Archive } else { Outcome::Done }
                })
            }
        }
        let performed = perform(fails, &1).queue("special").layer(Archiving).run().await;
        assert_eq!(performed.fate, Fate::Archived);
    }
}
