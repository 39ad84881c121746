//! The cancellation of a job: one cell, which async and sync handlers can wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use event_listener::{Event, EventListener, Listener};

use crate::machine::command::CancelReason;

/// The cancellation of a job. It is cancelled once, and stays so.
#[derive(Debug, Default)]
pub(crate) struct Cancellation {
    why: OnceLock<CancelReason>,
    event: Event,
}

impl Cancellation {
    /// Cancels, and wakes all that wait. The first reason stays.
    pub(crate) fn cancel(&self, why: CancelReason) {
        if self.why.set(why).is_ok() {
            self.event.notify(usize::MAX);
        }
    }

    pub(crate) fn reason(&self) -> Option<CancelReason> {
        self.why.get().copied()
    }

    /// Blocks until the job is cancelled, for at most this time.
    pub(crate) fn wait_timeout(&self, time: Duration) -> Option<CancelReason> {
        // A deadline that the clock cannot hold is never.
        let deadline = Instant::now().checked_add(time);
        loop {
            if let Some(why) = self.reason() {
                return Some(why);
            }
            let listener = self.event.listen();
            if let Some(why) = self.reason() {
                return Some(why);
            }
            match deadline {
                Some(deadline) => listener.wait_deadline(deadline)?,
                None => listener.wait(),
            }
        }
    }
}

/// A future that ends when the job is cancelled, with the reason.
///
/// It needs no particular runtime, and can be dropped at any time.
///
/// ```
/// use pgmq_worker::{CancelReason, Job, Outcome};
///
/// async fn crawl(job: Job<String>) -> Outcome {
///     match job.cancelled().await {
///         CancelReason::Shutdown => Outcome::retry(),
///         why => Outcome::dead_letter(format!("cancelled: {why:?}")),
///     }
/// }
/// # let _ = crawl;
/// ```
#[must_use = "futures do nothing unless they are polled"]
#[derive(Debug)]
pub struct Cancelled {
    cancellation: Arc<Cancellation>,
    listener: Option<EventListener>,
}

impl Cancelled {
    pub(crate) fn new(cancellation: Arc<Cancellation>) -> Self {
        Self { cancellation, listener: None }
    }
}

impl Future for Cancelled {
    type Output = CancelReason;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CancelReason> {
        loop {
            if let Some(why) = self.cancellation.reason() {
                return Poll::Ready(why);
            }
            let Self { cancellation, listener } = &mut *self;
            match listener {
                // Look again before the wait: the job may have been cancelled before the listener was there.
                None => *listener = Some(cancellation.event.listen()),
                Some(waiting) => match Pin::new(waiting).poll(context) {
                    Poll::Ready(()) => *listener = None,
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}

/// The job was cancelled during a [`sleep`](crate::sync::Job::sleep).
///
/// It is an error, so that `?` ends the handler. The message is then retried, or released if the worker
/// stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job is cancelled: {}", match .0 {
    CancelReason::TimedOut => "its timeout is over",
    CancelReason::LeaseLost => "its lease is lost",
    CancelReason::Shutdown => "the worker stops",
})]
pub struct Interrupted(pub CancelReason);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn every_waiting_future_ends_with_the_first_reason() {
        let cancellation = Arc::new(Cancellation::default());
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let poll = |future: &mut Cancelled| Pin::new(future).poll(&mut Context::from_waker(&waker));
        let mut waiting = [0; 3].map(|_| Cancelled::new(Arc::clone(&cancellation)));
        assert!(waiting.iter_mut().all(|future| poll(future).is_pending()));
        cancellation.cancel(CancelReason::LeaseLost);
        cancellation.cancel(CancelReason::Shutdown);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 3);
        let late = Cancelled::new(cancellation);
        for mut future in waiting.into_iter().chain([late]) {
            assert_eq!(poll(&mut future), Poll::Ready(CancelReason::LeaseLost));
        }
    }

    #[test]
    fn a_thread_that_waits_is_woken_by_the_cancellation() {
        let cancellation = Arc::new(Cancellation::default());
        let other = Arc::clone(&cancellation);
        let waiting = thread::spawn(move || other.wait_timeout(Duration::MAX));
        cancellation.cancel(CancelReason::TimedOut);
        assert_eq!(waiting.join().unwrap(), Some(CancelReason::TimedOut));
    }

    #[test]
    fn a_wait_without_a_cancellation_ends_in_time() {
        let begun = Instant::now();
        assert_eq!(Cancellation::default().wait_timeout(Duration::from_millis(20)), None);
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn an_interruption_names_its_reason() {
        let text = Interrupted(CancelReason::Shutdown).to_string();
        assert_eq!(text, "the job is cancelled: the worker stops");
    }
}
