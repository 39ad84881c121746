//! A fair queue in front of a pool.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Lets in as many at a time as a pool has connections, in the order in which they came.
///
/// The pool `bb8` gives a connection that comes back to whoever asks next, which is often the task that has just given it back,
/// and leaves those that wait asleep: of sixteen tasks on four connections some do thousands of operations, and some none.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>);

/// A place among those who were let in, until it is dropped.
pub type Turn<'t> = SemaphorePermit<'t>;

impl Turns {
    /// Lets in as many at a time.
    pub fn of(places: u32) -> Self {
        let places = usize::try_from(places).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Takes a place if there is one and nobody waits for it.
    pub fn take_free(&self) -> Option<Turn<'_>> {
        self.0.try_acquire().ok()
    }

    /// Waits for a place. There is always one to come, so `None` is never returned.
    pub async fn take(&self) -> Option<Turn<'_>> {
        self.0.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn whoever_waits_longest_comes_next_and_not_whoever_was_there_just_now() {
        let turns = Turns::of(1);
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(first) = pin!(turns.take()).poll(&mut cx) else { panic!("there is a place") };
        let mut second = pin!(turns.take());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(first);
        let mut again = pin!(turns.take());
        assert!(again.as_mut().poll(&mut cx).is_pending());
        assert!(turns.take_free().is_none());
        assert!(second.poll(&mut cx).is_ready());
        assert!(again.poll(&mut cx).is_ready());
        assert!(turns.take_free().is_some());
    }
}
