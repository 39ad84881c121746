//! The threads of a world whose clock is turned: they are counted, so that the clock is turned only when all
//! of them wait.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

thread_local! {
    /// `true` in a thread that is counted.
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// The number of threads that do not wait.
#[derive(Default)]
pub(crate) struct Threads {
    busy: Mutex<usize>,
    changed: Condvar,
}

impl Threads {
    /// Returns `true` if the current thread is counted.
    pub(crate) fn is_this_counted() -> bool {
        IS_COUNTED.get()
    }

    /// Counts a thread that is about to be spawned.
    pub(crate) fn begin(self: &Arc<Self>) -> Counted {
        self.add();
        Counted(Arc::clone(self))
    }

    /// Blocks until all threads wait. Returns `false` if that takes longer than the limit.
    pub(crate) fn quiet(&self, limit: Duration) -> bool {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(busy, limit, |busy| *busy > 0);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Blocks a counted thread until a future is ready. Meanwhile, the thread counts as one that waits.
    pub(crate) fn block_on<T>(self: &Arc<Self>, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let parked = Arc::new(Parked {
            thread: thread::current(),
            threads: Arc::clone(self),
            state: AtomicU8::new(RUNS),
        });
        let waker = Waker::from(Arc::clone(&parked));
        let mut context = Context::from_waker(&waker);
        loop {
            parked.state.store(RUNS, Ordering::SeqCst);
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
            if parked.state.compare_exchange(RUNS, WAITS, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                self.subtract();
                while parked.state.load(Ordering::SeqCst) == WAITS {
                    thread::park();
                }
            }
        }
    }

    fn add(&self) {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn subtract(&self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        *busy = busy.saturating_sub(1);
        if *busy == 0 {
            self.changed.notify_all();
        }
    }
}

/// The count of a thread, which holds it until its end.
pub(crate) struct Counted(Arc<Threads>);

impl Counted {
    /// Marks the current thread as the one that is counted.
    pub(crate) fn enter(&self) {
        IS_COUNTED.set(true);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.subtract();
    }
}

/// The states of a thread that blocks on a future.
const RUNS: u8 = 0;
const WAITS: u8 = 1;
const WOKEN: u8 = 2;

/// The waker of a thread that blocks on a future.
struct Parked {
    thread: Thread,
    threads: Arc<Threads>,
    state: AtomicU8,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        // The thread is counted before it can run, so it is never taken for one that waits.
        self.threads.add();
        match self.state.swap(WOKEN, Ordering::SeqCst) {
            WAITS => self.thread.unpark(),
            _ => self.threads.subtract(),
        }
    }
}
