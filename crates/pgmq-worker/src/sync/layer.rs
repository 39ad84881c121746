//! Sync layers: code that runs around every handler of a worker.

use std::sync::Arc;

use crate::layer::one_each;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::caught_in;
use crate::rules::On;
use crate::sync::erased::{Handle, HandleBatch, Registered};

/// Code that runs around the handlers of a worker: for logs, metrics or limits of rate.
///
/// A layer sees the job without the type of its payload, and the outcome, which it may replace. It also sees
/// the outcomes of payloads that do not decode and of handlers that panic.
///
/// ```
/// use std::time::Instant;
///
/// use pgmq_worker::sync::{Layer, Next};
/// use pgmq_worker::{Meta, Outcome};
///
/// struct Timing;
///
/// impl Layer for Timing {
///     fn around(&self, job: &Meta, next: Next<'_>) -> Outcome {
///         let begun = Instant::now();
///         let outcome = next.run();
///         println!("message {} took {:?}: {outcome:?}", job.id(), begun.elapsed());
///         outcome
///     }
/// }
/// # let _ = Timing;
/// ```
pub trait Layer: Send + Sync + 'static {
    /// Runs around the handler of one message. `next` runs the inner layers and the handler.
    fn around(&self, job: &Meta, next: Next<'_>) -> Outcome;

    /// Runs around the handler of a batch, and returns the outcomes in the order of the jobs. By default, a
    /// layer does nothing there.
    fn around_batch(&self, jobs: &[Arc<Meta>], next: NextBatch<'_>) -> Vec<Outcome> {
        let _ = jobs;
        next.run()
    }
}

/// The inner layers and the handler of a message.
#[must_use = "the handler does not run otherwise"]
pub struct Next<'a> {
    job: &'a Arc<Meta>,
    layers: &'a [Arc<dyn Layer>],
    handler: &'a dyn Handle,
}

impl Next<'_> {
    /// Runs the inner layers and the handler.
    pub fn run(self) -> Outcome {
        let Self { job, layers, handler } = self;
        match layers.split_first() {
            Some((layer, layers)) => layer.around(job, Next { job, layers, handler }),
            None => handler.handle(Arc::clone(job)),
        }
    }
}

/// The inner layers and the handler of a batch.
#[must_use = "the handler does not run otherwise"]
pub struct NextBatch<'a> {
    jobs: &'a [Arc<Meta>],
    layers: &'a [Arc<dyn Layer>],
    handler: &'a dyn HandleBatch,
}

impl NextBatch<'_> {
    /// Runs the inner layers and the handler, and returns the outcomes in the order of the jobs.
    pub fn run(self) -> Vec<Outcome> {
        let Self { jobs, layers, handler } = self;
        match layers.split_first() {
            Some((layer, layers)) => layer.around_batch(jobs, NextBatch { jobs, layers, handler }),
            None => handler.handle_batch(jobs.to_vec()),
        }
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Next({} layers)", self.layers.len())
    }
}

impl std::fmt::Debug for NextBatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NextBatch({} layers)", self.layers.len())
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
    fn handle(&self, job: Arc<Meta>) -> Outcome {
        let next = Next { job: &job, layers: &self.layers, handler: &*self.handler };
        caught_in(|| next.run()).unwrap_or_else(Outcome::from)
    }

    fn rules(&self, job: &Meta) -> Option<&On> {
        self.handler.rules(job)
    }

    fn max_reads(&self) -> Option<u32> {
        self.handler.max_reads()
    }
}

impl HandleBatch for Layered<dyn HandleBatch> {
    fn handle_batch(&self, jobs: Vec<Arc<Meta>>) -> Vec<Outcome> {
        let next = NextBatch { jobs: &jobs, layers: &self.layers, handler: &*self.handler };
        one_each(jobs.len(), caught_in(|| next.run()))
    }
}
