//! Async handlers: the traits, and the functions that are handlers.

use std::future::Future;

use crate::batch::{BatchOutcome, IntoBatchOutcome, Jobs};
use crate::job::Job;
use crate::outcome::{IntoOutcome, Outcome};

/// Several messages in the hands of one async handler.
pub type Batch<T> = Jobs<Job<T>>;

/// Handles one message at a time, with state of its own.
///
/// Mostly an async function of a [`Job`] that returns an outcome is enough, and the trait is for types.
///
/// ```
/// use pgmq_worker::testing::TestJob;
/// use pgmq_worker::{Handler, Job, Outcome};
///
/// async fn greet(job: Job<String>) {
///     println!("hello {}", *job);
/// }
///
/// struct Greeter(&'static str);
///
/// impl Handler<String> for Greeter {
///     async fn handle(&self, job: Job<String>) -> Outcome {
///         println!("{} {}", self.0, *job);
///         Outcome::Done
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let job = || TestJob::new("Ada");
/// assert_eq!(job().run(greet).await, Outcome::Done);
/// assert_eq!(job().run(Greeter("good morning")).await, Outcome::Done);
/// let check = async |job: Job<String>| if job.is_empty() { Err("no name") } else { Ok(()) };
/// assert_eq!(job().run(check).await, Outcome::Done);
/// # }
/// ```
pub trait Handler<T>: Send + Sync + 'static {
    /// Handles a message.
    fn handle(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send;
}

/// Handles several messages at once, with state of its own.
///
/// Mostly an async function of a [`Batch`] that returns the outcome of a batch is enough, and the trait is
/// for types. A message whose payload does not decode is not in the batch: it is moved to the dead-letter
/// queue.
pub trait BatchHandler<T>: Send + Sync + 'static {
    /// Handles a batch, which has at least one message.
    fn handle(&self, batch: Batch<T>) -> impl Future<Output = BatchOutcome> + Send;
}

/// An async function that is a handler.
///
/// The traits are not implemented for functions themselves, so that the compiler tells functions and types
/// that implement the traits apart by their shape alone, and names the bound that a function does not meet.
#[derive(Debug)]
pub struct Function<F>(pub(crate) F);

impl<T, F, Fut> Handler<T> for Function<F>
where
    F: Fn(Job<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send,
{
    fn handle(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send {
        let running = (self.0)(job);
        async move { running.await.into_outcome() }
    }
}

impl<T, F, Fut> BatchHandler<T> for Function<F>
where
    F: Fn(Batch<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoBatchOutcome> + Send,
{
    fn handle(&self, batch: Batch<T>) -> impl Future<Output = BatchOutcome> + Send {
        let running = (self.0)(batch);
        async move { running.await.into_batch_outcome() }
    }
}
