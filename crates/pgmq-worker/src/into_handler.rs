//! Everything that can be an async handler, and its erasure.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::batch::BatchOutcome;
use crate::decoded::Decoded;
use crate::erased::{BoxFuture, Handle, HandleBatch, Registered};
use crate::handler::{Batch, BatchHandler, Function, Handler};
use crate::job::Job;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::caught;

/// Everything that can be a handler: an async function of a [`Job`] or of a [`Batch`], a type that implements
/// [`Handler`] or [`BatchHandler`], or a [`Router`](crate::Router).
///
/// `Kind` tells these apart, and is inferred. A function whose result, error, future or payload does not fit
/// is a handler by its shape, and the bound [`Runnable`] refuses it with the reason.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is an async function of a `Job` or of a `Batch`, a type that implements `Handler` or \
            `BatchHandler`, or a `Router`"
)]
pub trait IntoHandler<Kind> {
    /// The handler with the type of its payload.
    type Typed;

    /// Adds the type of the payload.
    fn into_handler(self) -> Self::Typed;
}

/// A handler that a worker can run: its payload can be decoded, its result is an outcome, and its future is
/// [`Send`].
pub trait Runnable {
    /// Forgets the type of the handler.
    fn into_any(self) -> AnyHandler;
}

/// A handler of single messages, such as a [`Router`](crate::Router) can have.
#[diagnostic::on_unimplemented(
    message = "a router takes handlers of single messages",
    label = "not a handler of single messages",
    note = "a queue can have a handler of batches, without a router"
)]
pub trait RunnableOne: Runnable {
    /// Forgets the type of the handler.
    fn into_one(self) -> OneHandler;
}

/// A handler without its type.
#[derive(Clone)]
pub struct AnyHandler(pub(crate) Registered);

impl std::fmt::Debug for AnyHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Registered::One(_) => "AnyHandler(of messages)",
            Registered::Batch(_) => "AnyHandler(of batches)",
        })
    }
}

/// A handler of single messages without its type.
#[derive(Clone)]
pub struct OneHandler(pub(crate) Arc<dyn Handle>);

impl std::fmt::Debug for OneHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneHandler")
    }
}

/// The kind of functions of a [`Job`].
#[derive(Debug)]
pub struct OfJobs<T>(PhantomData<fn(T)>);

/// The kind of functions of a [`Batch`].
#[derive(Debug)]
pub struct OfBatches<T>(PhantomData<fn(T)>);

/// The kind of types that implement [`Handler`].
#[derive(Debug)]
pub struct ByHandler<T>(PhantomData<fn(T)>);

/// The kind of types that implement [`BatchHandler`].
#[derive(Debug)]
pub struct ByBatchHandler<T>(PhantomData<fn(T)>);

impl<T, F: Fn(Job<T>) -> Fut, Fut: Future> IntoHandler<OfJobs<T>> for F {
    type Typed = Typed<T, Function<F>>;

    fn into_handler(self) -> Self::Typed {
        Typed::new(Function(self))
    }
}

impl<T, F: Fn(Batch<T>) -> Fut, Fut: Future> IntoHandler<OfBatches<T>> for F {
    type Typed = TypedBatch<T, Function<F>>;

    fn into_handler(self) -> Self::Typed {
        TypedBatch::new(Function(self))
    }
}

impl<T, H: Handler<T>> IntoHandler<ByHandler<T>> for H {
    type Typed = Typed<T, H>;

    fn into_handler(self) -> Self::Typed {
        Typed::new(self)
    }
}

impl<T, H: BatchHandler<T>> IntoHandler<ByBatchHandler<T>> for H {
    type Typed = TypedBatch<T, H>;

    fn into_handler(self) -> Self::Typed {
        TypedBatch::new(self)
    }
}

/// A handler with the type of its payload.
#[derive(Debug)]
pub struct Typed<T, H> {
    handler: H,
    payload: PhantomData<fn(T)>,
}

impl<T, H> Typed<T, H> {
    fn new(handler: H) -> Self {
        Self { handler, payload: PhantomData }
    }
}

/// A handler of batches with the type of their payloads.
#[derive(Debug)]
pub struct TypedBatch<T, H> {
    handler: H,
    payload: PhantomData<fn(T)>,
}

impl<T, H> TypedBatch<T, H> {
    fn new(handler: H) -> Self {
        Self { handler, payload: PhantomData }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static, H: Handler<T>> Runnable for Typed<T, H> {
    fn into_any(self) -> AnyHandler {
        AnyHandler(Registered::One(self.into_one().0))
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static, H: Handler<T>> RunnableOne for Typed<T, H> {
    fn into_one(self) -> OneHandler {
        OneHandler(Arc::new(self))
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static, H: BatchHandler<T>> Runnable for TypedBatch<T, H> {
    fn into_any(self) -> AnyHandler {
        AnyHandler(Registered::Batch(Arc::new(self)))
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static, H: Handler<T>> Handle for Typed<T, H> {
    fn handle(&self, job: Arc<Meta>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let running = caught(async move {
                match Job::decode(job) {
                    Ok(job) => self.handler.handle(job).await,
                    Err(failure) => Outcome::from(failure),
                }
            });
            running.await.unwrap_or_else(Outcome::from)
        })
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static, H: BatchHandler<T>> HandleBatch for TypedBatch<T, H> {
    fn handle_batch(&self, jobs: Vec<Arc<Meta>>) -> BoxFuture<'_, Vec<Outcome>> {
        Box::pin(async move {
            let mut decoded = Decoded::new(jobs, Job::decode);
            let batch = decoded.take();
            let outcome = match batch.is_empty() {
                true => BatchOutcome::new(),
                // The call is in the future, as it may panic too.
                false => caught(async move { self.handler.handle(batch).await })
                    .await
                    .unwrap_or_else(|panic| BatchOutcome::all(Outcome::from(panic))),
            };
            decoded.outcomes(outcome)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, Reason};
    use crate::meta::tests::{job_of, job_with, message};

    async fn run<Kind>(handler: impl IntoHandler<Kind, Typed: RunnableOne>, payload: &str) -> Outcome {
        handler.into_handler().into_one().0.handle(job_with(payload, None)).await
    }

    async fn run_batch<Kind>(
        handler: impl IntoHandler<Kind, Typed: Runnable>,
        payloads: &[&str],
    ) -> Vec<Outcome> {
        let Registered::Batch(handler) = handler.into_handler().into_any().0 else {
            panic!("it takes batches")
        };
        let jobs = payloads.iter().zip(1..).map(|(payload, id)| {
            let mut message = message(payload, None);
            message.msg_id = id;
            job_of(message)
        });
        handler.handle_batch(jobs.collect()).await
    }

    fn reason(outcome: &Outcome) -> Option<Reason> {
        outcome.failure()?.reason()
    }

    async fn halve(job: Job<u32>) -> Result<(), Failure> {
        assert_ne!(*job, 13, "unlucky");
        match *job % 2 {
            0 => Ok(()),
            _ => Err("odd".into()),
        }
    }

    #[tokio::test]
    async fn a_function_of_a_job_is_a_handler() {
        assert_eq!(run(halve, "2").await, Outcome::Done);
        assert_eq!(run(halve, "3").await, Outcome::Retry { after: None, why: Failure::from("odd") });
        let archive = async |job: Job<u32>| (job.id() == 7).then_some(Outcome::Archive).ok_or("another id");
        assert_eq!(run(archive, "1").await, Outcome::Archive);
    }

    #[tokio::test]
    async fn a_type_that_implements_the_trait_is_a_handler() {
        struct Twice;
        impl Handler<u32> for Twice {
            async fn handle(&self, job: Job<u32>) -> Outcome {
                Outcome::forward("next", &(*job * 2))
            }
        }
        assert_eq!(run(Twice, "4").await, Outcome::forward("next", &8));
        let router = crate::router::Router::by_field("type");
        assert_eq!(reason(&run(router, "4").await), Some(Reason::UnknownType));
    }

    #[tokio::test]
    async fn a_payload_that_does_not_decode_is_a_dead_letter_and_keeps_its_text() {
        let job = job_with(r#"{"total": 1.10}"#, None);
        let outcome = halve.into_handler().into_one().0.handle(Arc::clone(&job)).await;
        assert!(matches!(outcome, Outcome::DeadLetter { .. }), "{outcome:?}");
        assert_eq!(reason(&outcome), Some(Reason::Decode));
        assert!(outcome.failure().unwrap().to_string().contains("invalid type: map, expected u32"));
        assert_eq!(job.raw().get(), r#"{"total": 1.10}"#);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_with_its_text() {
        let outcome = run(halve, "13").await;
        assert_eq!(reason(&outcome), Some(Reason::Panic));
        let text = outcome.failure().unwrap().to_string();
        assert!(text.starts_with("the handler panicked: ") && text.contains("unlucky"), "{text}");
        assert!(matches!(outcome, Outcome::Retry { after: None, .. }));
    }

    #[tokio::test]
    async fn a_panic_before_the_future_is_made_is_a_failure_too() {
        fn broken(job: Job<u32>) -> std::future::Ready<()> {
            panic!("no future for {}", *job)
        }
        assert_eq!(reason(&run(broken, "1").await), Some(Reason::Panic));
    }

    #[tokio::test]
    async fn a_panic_while_decoding_costs_one_message_of_a_batch() {
        #[derive(Debug)]
        struct Touchy;
        impl<'de> serde::Deserialize<'de> for Touchy {
            fn deserialize<D: serde::Deserializer<'de>>(payload: D) -> Result<Self, D::Error> {
                let number = u32::deserialize(payload)?;
                assert_eq!(number, 1, "touchy");
                Ok(Self)
            }
        }
        let outcomes = run_batch(async |_: Batch<Touchy>| (), &["1", "2", "{}", "1"]).await;
        assert_eq!((&outcomes[0], &outcomes[3]), (&Outcome::Done, &Outcome::Done));
        assert_eq!((reason(&outcomes[1]), reason(&outcomes[2])), (Some(Reason::Panic), Some(Reason::Decode)));
    }

    #[tokio::test]
    async fn a_batch_has_an_outcome_for_each_message_in_order() {
        let some = async |batch: Batch<u32>| {
            let mut outcome = batch.outcomes(|job| if **job == 1 { Outcome::Done } else { Outcome::Archive });
            outcome.set(4, Outcome::retry());
            outcome
        };
        let outcomes = run_batch(some, &["1", "2", r#""three""#, "4"]).await;
        assert_eq!((&outcomes[0], &outcomes[1]), (&Outcome::Done, &Outcome::Archive));
        assert_eq!(reason(&outcomes[2]), Some(Reason::Decode));
        assert_eq!(outcomes[3], Outcome::retry());
    }

    #[tokio::test]
    async fn messages_that_a_handler_of_batches_leaves_out_have_failed() {
        let first = async |batch: Batch<u32>| BatchOutcome::from_iter([(batch[0].id(), Outcome::Done)]);
        let outcomes = run_batch(first, &["1", "2"]).await;
        assert_eq!(outcomes[0], Outcome::Done);
        assert!(matches!(outcomes[1], Outcome::Retry { .. }));
    }

    #[tokio::test]
    async fn an_empty_batch_does_not_reach_the_handler() {
        async fn handler(batch: Batch<u32>) -> Result<(), String> {
            Err(format!("{} messages", batch.len()))
        }
        let outcomes = run_batch(handler, &["{}"]).await;
        assert_eq!(reason(&outcomes[0]), Some(Reason::Decode));
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_of_batches_fails_all_that_decode() {
        async fn handler(batch: Batch<u32>) {
            assert!(batch.is_empty(), "all of them");
        }
        let outcomes = run_batch(handler, &["1", "{}", "2"]).await;
        let reasons: Vec<_> = outcomes.iter().map(reason).collect();
        assert_eq!(reasons, [Some(Reason::Panic), Some(Reason::Decode), Some(Reason::Panic)]);
    }
}
