//! The rules of retries and time that a handler has, where they differ from those of its queue.

use std::sync::Arc;
use std::time::Duration;

use crate::retry::RetryPolicy;

/// The rules of one handler of a [`Router`](crate::Router), where they differ from those of the queue.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::{On, Retry};
///
/// let resize = On::new().timeout(Duration::from_secs(300)).retry(Retry::none());
/// # let _ = resize;
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct On {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Option<Arc<dyn RetryPolicy>>,
    pub(crate) max_reads: Option<u32>,
}

impl On {
    /// Creates rules that differ in nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time after which the handler is cancelled, shorter or longer than that of the queue.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the times of retries.
    pub fn retry(mut self, policy: impl RetryPolicy + 'static) -> Self {
        self.retry = Some(Arc::new(policy));
        self
    }

    /// Sets the number of reads after which a message is moved to the dead-letter queue,
    /// at least 1. Fewer count as 1.
    pub fn max_reads(mut self, reads: u32) -> Self {
        self.max_reads = Some(reads.max(1));
        self
    }
}

impl std::fmt::Debug for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("On")
            .field("timeout", &self.timeout)
            .field("retry", &self.retry.is_some())
            .field("max_reads", &self.max_reads)
            .finish()
    }
}
