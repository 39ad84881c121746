//! Observing a worker, such as for metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pgmq_core::ErrorKind;

use crate::meta::Meta;
use crate::watch::MessageEvent;

/// Observes a worker, such as to make metrics of its events. Given to the builder's `observer`.
///
/// The worker calls it on its own tasks or threads, and waits for it: an observer must not block. The
/// operations of the worker on its queue are observed by the queue's own
/// [`Observer`](pgmq_core::Observer).
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use pgmq_worker::{Happened, WorkerEvent, WorkerObserver};
///
/// /// Counts the dead letters.
/// struct DeadLetters(Arc<AtomicUsize>);
///
/// impl WorkerObserver for DeadLetters {
///     fn observe(&self, event: &WorkerEvent<'_>) {
///         if let WorkerEvent::Message(event) = event
///             && matches!(event.happened, Happened::DeadLettered { .. })
///         {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait WorkerObserver: Send + Sync + 'static {
    /// Observes an event.
    fn observe(&self, event: &WorkerEvent<'_>);
}

impl<O: WorkerObserver + ?Sized> WorkerObserver for Arc<O> {
    fn observe(&self, event: &WorkerEvent<'_>) {
        (**self).observe(event);
    }
}

/// An event of a worker.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum WorkerEvent<'a> {
    /// The worker has read messages.
    Read {
        /// The queue.
        queue: &'a str,
        /// The number of messages that the read asked for.
        asked: usize,
        /// The number of messages that it has brought.
        got: usize,
    },
    /// A handler begins with a message. The message has been in the queue since
    /// [`enqueued_at`](pgmq_core::Message::enqueued_at).
    Begun {
        /// The message.
        message: &'a Meta,
    },
    /// A handler has ended with a message. Another event tells of the change of the message, once the server
    /// knows of it.
    Handled {
        /// The message.
        message: &'a Meta,
        /// The time that the handler has taken; for a batch, of all of it.
        took: Duration,
    },
    /// A message was changed on the server, or has lost its lease.
    Message(&'a MessageEvent),
    /// A statement has settled messages.
    Settled {
        /// The queue.
        queue: &'a str,
        /// The number of messages in the statement.
        messages: usize,
        /// The number of them that were there.
        found: usize,
    },
    /// A statement has extended leases.
    Extended {
        /// The queue.
        queue: &'a str,
        /// The number of leases in the statement.
        leases: usize,
        /// The number of them that were still current.
        current: usize,
        /// The time by which the statement was later than a third of the visibility timeout after the one
        /// before; zero if it was in time.
        late: Duration,
    },
    /// A call of the database has failed. The worker repeats it, or leaves the messages to their leases.
    CallFailed {
        /// The queue.
        queue: &'a str,
        /// The call: `read`, `due`, `settle` or `extend`.
        call: &'static str,
        /// The kind of the error; `None` if there was no answer in time.
        kind: Option<ErrorKind>,
    },
    /// The listener has connected again.
    ListenerConnected,
    /// The listener is lost, and the worker polls until it has connected again.
    ListenerLost,
}

/// The observer of a worker, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Observing(Option<Arc<dyn WorkerObserver>>);

impl Observing {
    pub(crate) fn by(observer: impl WorkerObserver) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Returns `true` if there is an observer.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Passes an event to the observer.
    pub(crate) fn tell(&self, event: WorkerEvent<'_>) {
        if let Some(observer) = &self.0 {
            observer.observe(&event);
        }
    }
}

impl fmt::Debug for Observing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observing").field("is_on", &self.is_on()).finish()
    }
}
