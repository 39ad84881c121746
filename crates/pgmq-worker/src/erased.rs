//! Async handlers without the types of their payloads: what the shell calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::rules::On;

/// A future without its type.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A handler of single messages.
pub(crate) trait Handle: Send + Sync + 'static {
    /// Decodes the payload and runs the handler.
    ///
    /// The future never panics: a payload that does not decode is a dead letter, and a panic is a failure.
    /// Dropping the future stops the handler at its next `await`.
    fn handle(&self, job: Arc<Meta>) -> BoxFuture<'_, Outcome>;

    /// The rules for this message, where they differ from those of the queue.
    fn rules(&self, job: &Meta) -> Option<&On> {
        let _ = job;
        None
    }

    /// The largest `max_reads` of all rules, if there is one.
    fn max_reads(&self) -> Option<u32> {
        None
    }
}

/// A handler of several messages at once.
pub(crate) trait HandleBatch: Send + Sync + 'static {
    /// Decodes the payloads, and runs the handler on those that do decode. Returns one outcome for each
    /// message, in the order of the messages. Like [`Handle::handle`], the future never panics.
    fn handle_batch(&self, jobs: Vec<Arc<Meta>>) -> BoxFuture<'_, Vec<Outcome>>;
}

/// A handler of either sort.
#[derive(Clone)]
pub(crate) enum Registered {
    /// `Command::Start` has one message.
    One(Arc<dyn Handle>),
    /// `Command::Start` has one message or more.
    Batch(Arc<dyn HandleBatch>),
}

impl Registered {
    /// Returns `true` if the handler takes batches.
    pub(crate) fn takes_batches(&self) -> bool {
        matches!(self, Self::Batch(_))
    }

    /// The largest `max_reads` of all rules, if there is one.
    pub(crate) fn max_reads(&self) -> Option<u32> {
        match self {
            Self::One(handler) => handler.max_reads(),
            Self::Batch(_) => None,
        }
    }

    /// The rules for this message, where they differ from those of the queue.
    pub(crate) fn rules(&self, job: &Meta) -> Option<&On> {
        match self {
            Self::One(handler) => handler.rules(job),
            Self::Batch(_) => None,
        }
    }
}
