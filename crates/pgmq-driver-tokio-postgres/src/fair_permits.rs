//! Fair permits in front of a pool.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// As many permits as a pool has connections, acquired in FIFO order.
///
/// The pool `bb8` hands a released connection to the task that asks next, which is often the one that has
/// just released it, and leaves waiting tasks asleep: of sixteen tasks on four connections, some run
/// thousands of operations and some none. Clones share the permits.
#[derive(Debug, Clone)]
pub struct FairPermits(Arc<Semaphore>);

/// A permit, until it is dropped.
pub type Permit<'p> = SemaphorePermit<'p>;

impl FairPermits {
    /// Creates the permits of a pool with this many connections.
    pub fn new(connections: u32) -> Self {
        let permits =
            usize::try_from(connections).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(permits)))
    }

    /// Acquires a permit if one is free and no task waits for it.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.0.try_acquire().ok()
    }

    /// Turns a permit into one that owns a handle to the permits, so that it can move into a task.
    pub fn detach(&self, permit: Permit<'_>) -> OwnedPermit {
        permit.forget();
        OwnedPermit(self.clone())
    }

    /// Acquires a permit, waiting in FIFO order. The semaphore is never closed, so this never returns `None`.
    pub async fn acquire(&self) -> Option<Permit<'_>> {
        self.0.acquire().await.ok()
    }
}

/// A permit that outlives the borrow of the permits, until it is dropped.
#[derive(Debug)]
pub struct OwnedPermit(FairPermits);

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.0.0.add_permits(1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn the_longest_waiter_is_next_and_not_the_last_holder() {
        let permits = FairPermits::new(1);
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(first) = pin!(permits.acquire()).poll(&mut cx) else { panic!("a permit is free") };
        let mut second = pin!(permits.acquire());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(first);
        let mut again = pin!(permits.acquire());
        assert!(again.as_mut().poll(&mut cx).is_pending());
        assert!(permits.try_acquire().is_none());
        assert!(second.poll(&mut cx).is_ready());
        assert!(again.poll(&mut cx).is_ready());
        assert!(permits.try_acquire().is_some());
    }

    #[test]
    fn a_detached_permit_stays_acquired_until_it_is_dropped() {
        let permits = FairPermits::new(1);
        let detached = permits.detach(permits.try_acquire().unwrap());
        assert!(permits.try_acquire().is_none());
        drop(detached);
        let again = permits.try_acquire();
        assert!(again.is_some() && permits.try_acquire().is_none());
    }
}
