//! Observing operations: one hook, for traces, metrics and logs.

use std::sync::Arc;

mod ended;
pub(crate) mod received;
#[cfg(feature = "tracing")]
mod spans;
mod started;
mod trace_context;

pub use ended::{Ended, Failed, Succeeded};
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use spans::TracingObserver;
pub use started::{OperationKind, ServerAddress, Started};
pub use trace_context::TraceContext;

/// Observes the operations of a queue, such as to make traces or metrics of them.
///
/// A back end calls the observer of its builder's `observer`, or of the queue's `with_observer`, once for
/// each operation of [`OPERATIONS`](crate::OPERATIONS) that goes to the server, on the caller's thread or
/// task. An operation whose result is known without the server, such as that of an empty batch, is not
/// observed. An observer must not block, and should not panic.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use pgmq_core::{Ended, Observation, Observer, Started};
///
/// /// Counts the operations that fail.
/// #[derive(Default)]
/// struct Failures(Arc<AtomicU64>);
///
/// impl Observer for Failures {
///     fn started(&self, _: &Started<'_>) -> Box<dyn Observation> {
///         Box::new(Running(Arc::clone(&self.0)))
///     }
/// }
///
/// struct Running(Arc<AtomicU64>);
///
/// impl Observation for Running {
///     fn ended(self: Box<Self>, ended: &Ended<'_>) {
///         if ended.result.is_err() {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Observes an operation that begins: a sync one when it is called, an async one when its future is
    /// polled for the first time.
    fn started(&self, operation: &Started<'_>) -> Box<dyn Observation>;
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn started(&self, operation: &Started<'_>) -> Box<dyn Observation> {
        (**self).started(operation)
    }
}

/// The observation of one operation.
///
/// An observation that is dropped without a call of [`ended`](Self::ended) is that of a future that was
/// dropped: the operation is cancelled.
pub trait Observation: Send {
    /// The trace context to send along in the headers of each message that the operation sends; `None` sends
    /// none, which is the default. Called once, after [`Observer::started`], for operations that send.
    ///
    /// Needs PGMQ 1.5. A server that is known to be older gets no headers, and so does one that turns out to
    /// be. In a transaction on a server of unknown version, the headers are sent.
    fn trace_context(&self) -> Option<TraceContext> {
        None
    }

    /// Does a part of the operation's work: all of it in a sync back end, one poll of its future in an async
    /// one. An observation that has a context for the driver's own events enters it here. The default calls
    /// `work`.
    fn within(&mut self, work: &mut dyn FnMut()) {
        work();
    }

    /// Observes the end of the operation.
    fn ended(self: Box<Self>, ended: &Ended<'_>);
}
