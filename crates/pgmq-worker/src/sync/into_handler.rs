//! Everything that can be a sync handler, and its erasure.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::batch::BatchOutcome;
use crate::decoded::Decoded;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::caught_in;
use crate::sync::erased::{Handle, HandleBatch, Registered};
use crate::sync::handler::{Batch, BatchHandler, Function, Handler};
use crate::sync::job::Job;

/// Everything that can be a handler: a function of a [`&Job`](Job) or of a [`&Batch`](Batch), a type that
/// implements [`Handler`] or [`BatchHandler`], or a [`Router`](crate::sync::Router).
///
/// `Kind` tells these apart, and is inferred. A function whose result, error or payload does not fit is a
/// handler by its shape, and the bound [`Runnable`] refuses it with the reason.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is a function of a `&Job` or of a `&Batch`, a type that implements `Handler` or \
            `BatchHandler`, or a `Router`"
)]
pub trait IntoHandler<Kind> {
    /// The handler with the type of its payload.
    type Typed;

    /// Adds the type of the payload.
    fn into_handler(self) -> Self::Typed;
}

/// A handler that a worker can run, as its payload can be decoded, and its result is an outcome.
pub trait Runnable {
    /// Forgets the type of the handler.
    fn into_any(self) -> AnyHandler;
}

/// A handler of single messages, such as a [`Router`](crate::sync::Router) can have.
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

/// The kind of functions of a [`&Job`](Job).
#[derive(Debug)]
pub struct OfJobs<T>(PhantomData<fn(T)>);

/// The kind of functions of a [`&Batch`](Batch).
#[derive(Debug)]
pub struct OfBatches<T>(PhantomData<fn(T)>);

/// The kind of types that implement [`Handler`].
#[derive(Debug)]
pub struct ByHandler<T>(PhantomData<fn(T)>);

/// The kind of types that implement [`BatchHandler`].
#[derive(Debug)]
pub struct ByBatchHandler<T>(PhantomData<fn(T)>);

impl<T, F: Fn(&Job<T>) -> R, R> IntoHandler<OfJobs<T>> for F {
    type Typed = Typed<T, Function<F>>;

    fn into_handler(self) -> Self::Typed {
        Typed::new(Function(self))
    }
}

impl<T, F: Fn(&Batch<T>) -> R, R> IntoHandler<OfBatches<T>> for F {
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
    fn handle(&self, job: Arc<Meta>) -> Outcome {
        let run = || match Job::decode(job) {
            Ok(job) => self.handler.handle(&job),
            Err(failure) => Outcome::from(failure),
        };
        caught_in(run).unwrap_or_else(Outcome::from)
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static, H: BatchHandler<T>> HandleBatch for TypedBatch<T, H> {
    fn handle_batch(&self, jobs: Vec<Arc<Meta>>) -> Vec<Outcome> {
        let mut decoded = Decoded::new(jobs, Job::decode);
        let batch = decoded.take();
        let outcome = match batch.is_empty() {
            true => BatchOutcome::new(),
            false => caught_in(|| self.handler.handle(&batch))
                .unwrap_or_else(|panic| BatchOutcome::all(Outcome::from(panic))),
        };
        decoded.outcomes(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, Reason};
    use crate::machine::command::CancelReason;
    use crate::meta::tests::job_with;

    fn run<Kind>(handler: impl IntoHandler<Kind, Typed: RunnableOne>, payload: &str) -> Outcome {
        handler.into_handler().into_one().0.handle(job_with(payload, None))
    }

    fn reason(outcome: &Outcome) -> Option<Reason> {
        outcome.failure()?.reason()
    }

    fn halve(job: &Job<u32>) -> Result<(), Failure> {
        assert_ne!(**job, 13, "unlucky");
        match **job % 2 {
            0 => Ok(()),
            _ => Err("odd".into()),
        }
    }

    #[test]
    fn a_function_of_a_reference_to_a_job_is_a_handler() {
        assert_eq!(run(halve, "2"), Outcome::Done);
        assert_eq!(run(halve, "3"), Outcome::Retry { after: None, why: Failure::from("odd") });
        assert_eq!(run(|job: &Job<u32>| Outcome::forward("next", &**job), "5"), Outcome::forward("next", &5));
    }

    #[test]
    fn decode_errors_and_panics_are_outcomes() {
        assert_eq!(reason(&run(halve, "{}")), Some(Reason::Decode));
        let outcome = run(halve, "13");
        assert_eq!(reason(&outcome), Some(Reason::Panic));
        assert!(outcome.failure().unwrap().to_string().contains("unlucky"));
    }

    #[test]
    fn a_handler_of_batches_gets_those_that_decode() {
        let sum = |batch: &Batch<u32>| match batch.iter().map(|job| **job).sum::<u32>() {
            3 => Ok(batch.outcomes(|job| (**job == 1).then_some(()).ok_or("two"))),
            sum => Err(format!("the sum is {sum}")),
        };
        let Registered::Batch(handler) = sum.into_handler().into_any().0 else { panic!("it takes batches") };
        let jobs = ["1", "{}", "2"].iter().zip(1..).map(|(payload, id)| {
            let mut message = crate::meta::tests::message(payload, None);
            message.msg_id = id;
            crate::meta::tests::job_of(message)
        });
        let outcomes = handler.handle_batch(jobs.collect());
        assert_eq!(outcomes[0], Outcome::Done);
        assert_eq!(reason(&outcomes[1]), Some(Reason::Decode));
        assert_eq!(outcomes[2], Outcome::Retry { after: None, why: Failure::from("two") });
    }

    #[test]
    fn the_question_mark_on_a_sleep_ends_a_cancelled_handler() {
        let job = job_with("1", None);
        job.cancel(CancelReason::Shutdown);
        let handler = |job: &Job<u32>| job.sleep(std::time::Duration::MAX);
        let outcome = handler.into_handler().into_one().0.handle(job);
        assert_eq!(outcome.failure().unwrap().to_string(), "the job is cancelled: the worker stops");
    }
}
