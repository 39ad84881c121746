//! Async layers: code that runs around every handler of a worker.

use std::sync::Arc;

use crate::erased::{BoxFuture, Handle, HandleBatch, Registered};
use crate::failure::Failure;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::caught;
use crate::rules::On;

/// Code that runs around the handlers of a worker: for logs, metrics or limits of rate.
///
/// A layer sees the job without the type of its payload, and the outcome, which it may replace. It also sees
/// the outcomes of payloads that do not decode and of handlers that panic.
///
/// ```
/// use std::time::Instant;
///
/// use pgmq_worker::{BoxFuture, Layer, Meta, Next, Outcome};
///
/// struct Timing;
///
/// impl Layer for Timing {
///     fn around<'a>(&'a self, job: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome> {
///         Box::pin(async move {
///             let begun = Instant::now();
///             let outcome = next.run().await;
///             println!("message {} took {:?}: {outcome:?}", job.id(), begun.elapsed());
///             outcome
///         })
///     }
/// }
/// # let _ = Timing;
/// ```
pub trait Layer: Send + Sync + 'static {
    /// Runs around the handler of one message. `next` runs the inner layers and the handler.
    fn around<'a>(&'a self, job: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome>;

    /// Runs around the handler of a batch, and returns the outcomes in the order of the jobs. By default, a
    /// layer does nothing there.
    fn around_batch<'a>(&'a self, jobs: &'a [Arc<Meta>], next: NextBatch<'a>) -> BoxFuture<'a, Vec<Outcome>> {
        let _ = jobs;
        next.run()
    }
}

/// The inner layers and the handler of a message.
#[must_use = "the handler does not run otherwise"]
pub struct Next<'a> {
    job: &'a Arc<Meta>,
    layers: &'a Arc<[Arc<dyn Layer>]>,
    /// The number of layers that are outside.
    depth: usize,
    handler: &'a Arc<dyn Handle>,
}

impl<'a> Next<'a> {
    /// Runs the inner layers and the handler.
    pub fn run(self) -> BoxFuture<'a, Outcome> {
        let Self { job, layers, depth, handler } = self;
        match layers.get(depth) {
            Some(layer) => layer.around(job, Self { job, layers, depth: depth + 1, handler }),
            None => handler.handle(Arc::clone(job)),
        }
    }

    /// The same without a lifetime.
    #[cfg(feature = "tower")]
    pub(crate) fn into_owned(self) -> OwnedNext {
        let Self { job, layers, depth, handler } = self;
        OwnedNext { job: Arc::clone(job), layers: Arc::clone(layers), depth, handler: Arc::clone(handler) }
    }
}

/// The inner layers and the handler of a batch.
#[must_use = "the handler does not run otherwise"]
pub struct NextBatch<'a> {
    jobs: &'a [Arc<Meta>],
    layers: &'a Arc<[Arc<dyn Layer>]>,
    /// The number of layers that are outside.
    depth: usize,
    handler: &'a Arc<dyn HandleBatch>,
}

impl<'a> NextBatch<'a> {
    /// Runs the inner layers and the handler, and returns the outcomes in the order of the jobs.
    pub fn run(self) -> BoxFuture<'a, Vec<Outcome>> {
        let Self { jobs, layers, depth, handler } = self;
        match layers.get(depth) {
            Some(layer) => layer.around_batch(jobs, Self { jobs, layers, depth: depth + 1, handler }),
            None => handler.handle_batch(jobs.to_vec()),
        }
    }

    /// The same without a lifetime.
    #[cfg(feature = "tower")]
    pub(crate) fn into_owned(self) -> OwnedNextBatch {
        let Self { jobs, layers, depth, handler } = self;
        OwnedNextBatch { jobs: jobs.into(), layers: Arc::clone(layers), depth, handler: Arc::clone(handler) }
    }
}

/// A [`Next`] without a lifetime, for a request of tower, which may wait in a queue of another task.
#[cfg(feature = "tower")]
#[derive(Clone)]
pub(crate) struct OwnedNext {
    pub(crate) job: Arc<Meta>,
    layers: Arc<[Arc<dyn Layer>]>,
    depth: usize,
    handler: Arc<dyn Handle>,
}

#[cfg(feature = "tower")]
impl OwnedNext {
    pub(crate) fn run(self) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let Self { job, layers, depth, handler } = &self;
            Next { job, layers, depth: *depth, handler }.run().await
        })
    }
}

/// A [`NextBatch`] without a lifetime.
#[cfg(feature = "tower")]
#[derive(Clone)]
pub(crate) struct OwnedNextBatch {
    pub(crate) jobs: Arc<[Arc<Meta>]>,
    layers: Arc<[Arc<dyn Layer>]>,
    depth: usize,
    handler: Arc<dyn HandleBatch>,
}

#[cfg(feature = "tower")]
impl OwnedNextBatch {
    pub(crate) fn run(self) -> BoxFuture<'static, Vec<Outcome>> {
        Box::pin(async move {
            let Self { jobs, layers, depth, handler } = &self;
            NextBatch { jobs, layers, depth: *depth, handler }.run().await
        })
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Next({} layers)", self.layers.len() - self.depth)
    }
}

impl std::fmt::Debug for NextBatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NextBatch({} layers)", self.layers.len() - self.depth)
    }
}

/// Puts layers around a handler, the first of them outermost.
pub(crate) fn layered(handler: Registered, layers: &Arc<[Arc<dyn Layer>]>) -> Registered {
    if layers.is_empty() {
        return handler;
    }
    let layers = Arc::clone(layers);
    match handler {
        Registered::One(handler) => Registered::One(Arc::new(Layered { layers, handler })),
        Registered::Batch(handler) => Registered::Batch(Arc::new(Layered { layers, handler })),
    }
}

struct Layered<H: ?Sized> {
    layers: Arc<[Arc<dyn Layer>]>,
    handler: Arc<H>,
}

impl Handle for Layered<dyn Handle> {
    fn handle(&self, job: Arc<Meta>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let next = || Next { job: &job, layers: &self.layers, depth: 0, handler: &self.handler };
            caught(async { next().run().await }).await.unwrap_or_else(Outcome::from)
        })
    }

    fn rules(&self, job: &Meta) -> Option<&On> {
        self.handler.rules(job)
    }

    fn max_reads(&self) -> Option<u32> {
        self.handler.max_reads()
    }
}

impl HandleBatch for Layered<dyn HandleBatch> {
    fn handle_batch(&self, jobs: Vec<Arc<Meta>>) -> BoxFuture<'_, Vec<Outcome>> {
        Box::pin(async move {
            let next = || NextBatch { jobs: &jobs, layers: &self.layers, depth: 0, handler: &self.handler };
            let outcomes = caught(async { next().run().await }).await;
            one_each(jobs.len(), outcomes)
        })
    }
}

/// As many outcomes as there are messages, also if a layer has panicked or has lost some.
pub(crate) fn one_each(messages: usize, outcomes: Result<Vec<Outcome>, Failure>) -> Vec<Outcome> {
    let (mut outcomes, missing) = match outcomes {
        Ok(outcomes) => (outcomes, Failure::from("a layer returned no outcome for this message")),
        Err(panic) => (Vec::new(), panic),
    };
    outcomes.resize_with(messages, || Outcome::from(missing.clone()));
    outcomes
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::failure::Reason;
    use crate::handler::Batch;
    use crate::into_handler::{IntoHandler, Runnable};
    use crate::job::Job;
    use crate::meta::tests::job_with;

    struct Log(&'static str, Arc<Mutex<Vec<String>>>);

    impl Layer for Log {
        fn around<'a>(&'a self, job: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome> {
            Box::pin(async move {
                self.1.lock().unwrap().push(format!("{} begins {}", self.0, job.id()));
                let outcome = next.run().await;
                self.1.lock().unwrap().push(format!("{} ends", self.0));
                outcome
            })
        }
    }

    struct Broken;

    impl Layer for Broken {
        fn around<'a>(&'a self, _: &'a Meta, _: Next<'a>) -> BoxFuture<'a, Outcome> {
            panic!("broken layer")
        }

        fn around_batch<'a>(
            &'a self,
            _: &'a [Arc<Meta>],
            next: NextBatch<'a>,
        ) -> BoxFuture<'a, Vec<Outcome>> {
            Box::pin(async move { next.run().await.into_iter().take(1).collect() })
        }
    }

    async fn run(layers: Vec<Arc<dyn Layer>>, payload: &str) -> Outcome {
        let handler = async |_: Job<u32>| Outcome::Archive;
        let Registered::One(handler) = layered(handler.into_handler().into_any().0, &layers.into()) else {
            panic!("it takes single messages")
        };
        handler.handle(job_with(payload, None)).await
    }

    #[tokio::test]
    async fn the_first_layer_is_outermost_and_sees_decode_errors() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let layers = || -> Vec<Arc<dyn Layer>> {
            vec![Arc::new(Log("a", Arc::clone(&log))), Arc::new(Log("b", Arc::clone(&log)))]
        };
        assert_eq!(run(layers(), "1").await, Outcome::Archive);
        assert_eq!(*log.lock().unwrap(), ["a begins 7", "b begins 7", "b ends", "a ends"]);
        let outcome = run(layers(), "{}").await;
        assert_eq!(outcome.failure().unwrap().reason(), Some(Reason::Decode));
    }

    #[tokio::test]
    async fn a_layer_that_panics_is_a_failure() {
        let outcome = run(vec![Arc::new(Broken)], "1").await;
        assert_eq!(outcome.failure().unwrap().reason(), Some(Reason::Panic));
    }

    #[tokio::test]
    async fn a_batch_has_all_outcomes_although_a_layer_loses_some() {
        let handler = async |_: Batch<u32>| ();
        let layers: Vec<Arc<dyn Layer>> = vec![Arc::new(Broken)];
        let Registered::Batch(handler) = layered(handler.into_handler().into_any().0, &layers.into()) else {
            panic!("it takes batches")
        };
        let outcomes = handler.handle_batch(vec![job_with("1", None), job_with("2", None)]).await;
        assert_eq!((outcomes.len(), &outcomes[0]), (2, &Outcome::Done));
        assert!(matches!(outcomes[1], Outcome::Retry { .. }));
    }
}
