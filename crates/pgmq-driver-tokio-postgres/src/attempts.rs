//! The attempts of a pool to connect, which a runtime may take with it when it ends.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use pgmq_core::backend::Backoff;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The attempts of a queue's own pool to connect. Clones share them.
///
/// The pool `bb8` connects in tasks, and counts how many. A task that is dropped together with its runtime
/// stays counted, and its place in the pool is lost: a pool of one would never connect again. Here such a
/// loss is recorded, so that the queue can replace the pool.
#[derive(Debug, Clone, Default)]
pub struct Attempts(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_lost: AtomicBool,
    stop: CancellationToken,
    /// The time at which a caller last asked for a connection.
    asked_at: Mutex<Option<Instant>>,
    running: TaskTracker,
}

/// The pool has not connected in time, or is no longer needed.
#[derive(Debug)]
pub struct NotConnected;

impl Attempts {
    /// The longest pause between two attempts.
    const LONGEST_WAIT: Duration = Duration::from_secs(2);

    /// Connects, and retries with backoff until `limit` is over, counted from the last call of
    /// [`ask`](Self::ask): the pool starts no attempt for a caller that joins one. Each error is handed
    /// to `failed`. After [`stop`](Self::stop), connects without retries.
    ///
    /// # Errors
    ///
    /// [`NotConnected`], if the last attempt has failed, or [`stop`](Self::stop) was called meanwhile.
    pub async fn connect<C, E, F: Future<Output = Result<C, E>>>(
        &self,
        limit: Duration,
        attempt: impl Fn() -> F,
        failed: impl Fn(E),
    ) -> Result<C, NotConnected> {
        let attempting = self.attempting();
        // Only a clone of the pool that outlives the queue asks later. Retries would keep the pool alive.
        let was_stopped = self.0.stop.is_cancelled();
        let connecting = async {
            let started = Instant::now();
            for wait in Backoff::default() {
                match attempt().await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => failed(error),
                }
                if was_stopped || self.asked_at().unwrap_or(started).max(started).elapsed() >= limit {
                    break;
                }
                tokio::time::sleep(wait.min(Self::LONGEST_WAIT)).await;
            }
            Err(NotConnected)
        };
        let (mut connecting, mut stopped) = (pin!(connecting), pin!(self.0.stop.cancelled()));
        let connected = poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Pending if !was_stopped => stopped.as_mut().poll(cx).map(|()| Err(NotConnected)),
            connected => connected,
        });
        let connected = connected.await;
        attempting.finish();
        connected
    }

    /// Records that a caller asks the pool for a connection. Called before the pool is asked: an attempt that
    /// the caller joins might otherwise end meanwhile as one that no caller waits for.
    pub fn ask(&self) {
        *self.0.asked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Watches over the task that a pool has just spawned on the current runtime: if the runtime ends before
    /// that task has run, the attempt is lost.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn expect(&self) {
        let attempting = self.attempting();
        tokio::spawn(async move {
            // The pool's task was spawned before, and runs before a task that has yielded several times.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            attempting.finish();
        });
    }

    /// Returns `true` if an attempt was lost since the last call of [`forget_loss`](Self::forget_loss).
    pub fn is_lost(&self) -> bool {
        self.0.is_lost.load(Ordering::Acquire)
    }

    /// Forgets the loss, once the pool was replaced.
    pub fn forget_loss(&self) {
        self.0.is_lost.store(false, Ordering::Release);
    }

    /// Ends the present attempts. A later one is not repeated if it fails.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Waits until no attempt is left.
    pub async fn ended(&self) {
        self.0.running.close();
        self.0.running.wait().await;
    }

    fn asked_at(&self) -> Option<Instant> {
        *self.0.asked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempting(&self) -> Attempting {
        Attempting { attempts: self.clone(), _running: self.0.running.token(), is_finished: false }
    }
}

/// An attempt, which is lost if it is dropped before it has finished.
struct Attempting {
    attempts: Attempts,
    _running: TaskTrackerToken,
    is_finished: bool,
}

impl Attempting {
    fn finish(mut self) {
        self.is_finished = true;
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        if !self.is_finished {
            self.attempts.0.is_lost.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn an_attempt_that_ends_with_its_runtime_is_lost_and_any_other_is_not() {
        let attempts = Attempts::default();
        let limit = Duration::from_secs(60);
        let refused = runtime().block_on(attempts.connect(Duration::ZERO, async || Err::<(), _>(1), |_| {}));
        assert!(refused.is_err() && !attempts.is_lost());
        let lost = attempts.clone();
        let first = runtime();
        first.spawn(async move {
            lost.connect(limit, async || Err::<(), _>(1), |_| {}).await.unwrap_err();
        });
        first.block_on(tokio::task::yield_now());
        assert!(!attempts.is_lost());
        drop(first);
        assert!(attempts.is_lost());
        attempts.forget_loss();
        assert!(!attempts.is_lost());
    }

    #[test]
    fn an_attempt_that_was_never_begun_is_lost() {
        let attempts = Attempts::default();
        let first = runtime();
        first.block_on(async { attempts.expect() });
        drop(first);
        assert!(attempts.is_lost());
        attempts.forget_loss();
        let second = runtime();
        second.block_on(async {
            attempts.expect();
            attempts.ended().await;
        });
        drop(second);
        assert!(!attempts.is_lost());
    }

    #[test]
    fn an_attempt_goes_on_for_a_caller_that_joins_it() {
        runtime().block_on(async {
            let attempts = Attempts::default();
            let asked = attempts.clone();
            let count = std::cell::Cell::new(0);
            let attempt = async || {
                count.set(count.get() + 1);
                if count.get() == 3 {
                    asked.ask();
                }
                Err::<(), _>(())
            };
            // Without time for another attempt, the first one is the last.
            attempts.connect(Duration::ZERO, attempt, |()| {}).await.unwrap_err();
            assert_eq!(count.get(), 1);
            count.set(2);
            attempts.connect(Duration::from_millis(1), attempt, |()| {}).await.unwrap_err();
            assert!(count.get() >= 3);
        });
    }

    #[test]
    fn an_attempt_that_begins_after_stopping_is_not_repeated() {
        let attempts = Attempts::default();
        attempts.stop();
        let runtime = runtime();
        let count = std::cell::Cell::new(0);
        let failing = async || {
            count.set(count.get() + 1);
            tokio::task::yield_now().await;
            Err::<(), _>(())
        };
        runtime.block_on(attempts.connect(Duration::MAX, failing, |()| {})).unwrap_err();
        assert_eq!(count.get(), 1);
        let connecting = async || {
            tokio::task::yield_now().await;
            Ok::<_, ()>(())
        };
        runtime.block_on(attempts.connect(Duration::MAX, connecting, |()| {})).unwrap();
    }

    #[test]
    fn stopping_ends_the_present_attempts() {
        let attempts = Attempts::default();
        runtime().block_on(async {
            let shared = attempts.clone();
            let connecting = tokio::spawn(async move {
                shared.connect(Duration::MAX, std::future::pending::<Result<(), ()>>, |()| {}).await
            });
            tokio::task::yield_now().await;
            attempts.stop();
            connecting.await.unwrap().unwrap_err();
            attempts.ended().await;
        });
        assert!(!attempts.is_lost());
    }
}
