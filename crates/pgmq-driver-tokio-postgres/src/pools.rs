//! The pool of a queue, and its replacement.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::attempts::Attempts;

/// The pool of a queue. A pool that the queue made itself is replaced when a runtime has ended while the pool
/// connected on it, because such a pool may never connect again.
///
/// References to the pool stay valid, so replaced pools are kept, without connections.
pub struct Pools<P> {
    first: Node<P>,
    renewal: Option<Renewal<P>>,
}

struct Node<P> {
    pool: P,
    next: OnceLock<Box<Node<P>>>,
}

struct Renewal<P> {
    attempts: Attempts,
    build: Box<dyn Fn() -> P + Send + Sync>,
    /// Locked while the pool is replaced.
    renewing: Mutex<()>,
}

impl<P> Node<P> {
    fn new(pool: P) -> Self {
        Self { pool, next: OnceLock::new() }
    }

    fn last(&self) -> &Self {
        let mut node = self;
        while let Some(next) = node.next.get() {
            node = next;
        }
        node
    }
}

impl<P> Pools<P> {
    /// A pool that `build` makes, and makes again when it has to be replaced.
    pub fn own(attempts: Attempts, build: impl Fn() -> P + Send + Sync + 'static) -> Self {
        let first = Node::new(build());
        Self { first, renewal: Some(Renewal { attempts, build: Box::new(build), renewing: Mutex::new(()) }) }
    }

    /// A pool of the user's, which is never replaced.
    pub fn users(pool: P) -> Self {
        Self { first: Node::new(pool), renewal: None }
    }

    /// The pool.
    pub fn current(&self) -> &P {
        &self.first.last().pool
    }

    /// The pool, after it was replaced if it has lost an attempt to connect. `retire` gets the replaced pool.
    pub fn usable(&self, retire: impl FnOnce(&P)) -> &P {
        if let Some(renewal) = self.renewal.as_ref().filter(|renewal| renewal.attempts.is_lost()) {
            let _renewing = renewal.renewing.lock().unwrap_or_else(PoisonError::into_inner);
            // Another task may have replaced the pool meanwhile.
            if renewal.attempts.is_lost() {
                let last = self.first.last();
                // Cannot be set already, as the lock is held.
                let _ = last.next.set(Box::new(Node::new((renewal.build)())));
                renewal.attempts.forget_loss();
                retire(&last.pool);
            }
        }
        self.current()
    }

    /// The attempts to connect of a pool that the queue made itself.
    pub fn attempts(&self) -> Option<&Attempts> {
        self.renewal.as_ref().map(|renewal| &renewal.attempts)
    }
}

impl<P> Drop for Pools<P> {
    fn drop(&mut self) {
        // No handle of the queue is left, and an attempt would keep the pool alive until it ends.
        if let Some(renewal) = &self.renewal {
            renewal.attempts.stop();
        }
    }
}

impl<P> fmt::Debug for Pools<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_pool_that_has_lost_an_attempt_is_replaced_once() {
        let (attempts, built) = (Attempts::default(), AtomicUsize::default());
        let pools = Pools::own(attempts.clone(), move || built.fetch_add(1, Ordering::Relaxed));
        let first = pools.usable(|_| panic!("nothing was lost"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { attempts.expect() });
        drop(runtime);
        let mut retired = None;
        assert_eq!((*pools.usable(|pool| retired = Some(*pool)), retired), (1, Some(0)));
        assert_eq!((*pools.usable(|_| panic!("nothing was lost")), *pools.current(), *first), (1, 1, 0));
    }
}
