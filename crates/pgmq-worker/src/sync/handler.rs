//! Sync handlers: the traits, and the functions that are handlers.

use crate::batch::{BatchOutcome, IntoBatchOutcome, Jobs};
use crate::outcome::{IntoOutcome, Outcome};
use crate::sync::job::Job;

/// Several messages in the hands of one sync handler.
pub type Batch<T> = Jobs<Job<T>>;

/// Handles one message at a time, with state of its own, and blocks.
///
/// Mostly a function of a [`&Job`](Job) that returns an outcome is enough, and the trait is for types.
///
/// ```
/// use pgmq_worker::Outcome;
/// use pgmq_worker::sync::{Handler, Job};
/// use pgmq_worker::testing::TestJob;
///
/// fn greet(job: &Job<String>) {
///     println!("hello {}", **job);
/// }
///
/// struct Greeter(&'static str);
///
/// impl Handler<String> for Greeter {
///     fn handle(&self, job: &Job<String>) -> Outcome {
///         println!("{} {}", self.0, **job);
///         Outcome::Done
///     }
/// }
///
/// let job = || TestJob::new("Ada");
/// assert_eq!(job().run_sync(greet), Outcome::Done);
/// assert_eq!(job().run_sync(Greeter("good morning")), Outcome::Done);
/// let check = |job: &Job<String>| if job.is_empty() { Err("no name") } else { Ok(()) };
/// assert_eq!(job().run_sync(check), Outcome::Done);
/// ```
pub trait Handler<T>: Send + Sync + 'static {
    /// Handles a message.
    fn handle(&self, job: &Job<T>) -> Outcome;
}

/// Handles several messages at once, with state of its own, and blocks.
///
/// Mostly a function of a [`&Batch`](Batch) that returns the outcome of a batch is enough, and the trait is
/// for types. A message whose payload does not decode is not in the batch: it is moved to the dead-letter
/// queue.
pub trait BatchHandler<T>: Send + Sync + 'static {
    /// Handles a batch, which has at least one message.
    fn handle(&self, batch: &Batch<T>) -> BatchOutcome;
}

/// A function that is a handler.
///
/// The traits are not implemented for functions themselves, so that the compiler tells functions and types
/// that implement the traits apart by their shape alone, and names the bound that a function does not meet.
#[derive(Debug)]
pub struct Function<F>(pub(crate) F);

impl<T, F, R> Handler<T> for Function<F>
where
    F: Fn(&Job<T>) -> R + Send + Sync + 'static,
    R: IntoOutcome,
{
    fn handle(&self, job: &Job<T>) -> Outcome {
        (self.0)(job).into_outcome()
    }
}

impl<T, F, R> BatchHandler<T> for Function<F>
where
    F: Fn(&Batch<T>) -> R + Send + Sync + 'static,
    R: IntoBatchOutcome,
{
    fn handle(&self, batch: &Batch<T>) -> BatchOutcome {
        (self.0)(batch).into_batch_outcome()
    }
}
