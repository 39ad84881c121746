//! The executor of a world: it runs tasks on the caller's task, until all of them wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use futures_util::task::AtomicWaker;

use crate::erased::BoxFuture;

type Tasks = FuturesUnordered<BoxFuture<'static, ()>>;

/// The number of rounds after which other tasks of the caller's runtime get their turn.
const ROUNDS: u32 = 10_000;

/// Runs tasks on the caller's task.
#[derive(Default)]
pub(super) struct Executor {
    tasks: Mutex<Tasks>,
    spawned: Mutex<Vec<BoxFuture<'static, ()>>>,
    signal: Arc<Signal>,
}

/// The state after a round of polls.
pub(super) enum Round<T> {
    /// The future is ready.
    Ready(T),
    /// All tasks wait.
    Quiet,
    /// Some tasks never wait.
    Busy,
}

impl Executor {
    pub(super) fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.spawned.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        self.signal.is_set.store(true, Ordering::SeqCst);
    }

    /// Polls the future and all tasks that can run, until the future is ready or all of them wait.
    ///
    /// # Panics
    ///
    /// If it is called by a task that it runs.
    pub(super) fn run<T>(
        &self,
        mut future: Pin<&mut impl Future<Output = T>>,
        context: &mut Context<'_>,
    ) -> Round<T> {
        let Ok(mut tasks) = self.tasks.try_lock() else {
            panic!("the world passes already: only the test may let it pass, and not in two tasks at once");
        };
        self.signal.outer.register(context.waker());
        let waker = Waker::from(Arc::clone(&self.signal));
        let mut context = Context::from_waker(&waker);
        for _ in 0..ROUNDS {
            self.signal.is_set.store(false, Ordering::SeqCst);
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return Round::Ready(value);
            }
            tasks.extend(std::mem::take(&mut *self.spawned.lock().unwrap_or_else(PoisonError::into_inner)));
            while let Poll::Ready(Some(())) = tasks.poll_next_unpin(&mut context) {}
            if !self.signal.is_set.load(Ordering::SeqCst) {
                return Round::Quiet;
            }
        }
        Round::Busy
    }
}

/// The waker of all tasks.
#[derive(Default)]
struct Signal {
    is_set: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.is_set.store(true, Ordering::SeqCst);
        self.outer.wake();
    }
}
