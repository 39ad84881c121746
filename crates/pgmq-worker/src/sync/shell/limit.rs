//! A limit for the time of a wait.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use async_channel::{Receiver, RecvError};
use futures_util::future::{Either, select};

use crate::shell::clock::{Clock, Turned};
use crate::shell::threads::Threads;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks until a future is ready; `None` if it is not ready by the deadline.
pub(crate) fn wait<T>(
    clock: &Clock,
    deadline: Option<Instant>,
    future: impl Future<Output = T>,
) -> Option<T> {
    match clock {
        Clock::System => wait_really(deadline, future),
        Clock::Turned(clock) if Threads::is_this_counted() => wait_turned(clock, deadline, future),
        // The test itself waits, which does not turn the clock. It waits for as long in real time.
        Clock::Turned(_) => {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(clock.now()));
            wait_really(left.and_then(|left| Instant::now().checked_add(left)), future)
        }
    }
}

/// Blocks until something is received.
pub(crate) fn receive<T>(clock: &Clock, receiver: &Receiver<T>) -> Result<T, RecvError> {
    match clock {
        Clock::System => receiver.recv_blocking(),
        Clock::Turned(_) => wait(clock, None, receiver.recv()).unwrap_or(Err(RecvError)),
    }
}

fn wait_turned<T>(
    clock: &Arc<Turned>,
    deadline: Option<Instant>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let over = pin!(async {
        match deadline {
            Some(deadline) => clock.until(deadline).await,
            None => pending().await,
        }
    });
    match clock.threads().block_on(select(pin!(future), over)) {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

fn wait_really<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            Some(left) if left.is_zero() => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_ends_with_the_future_or_at_the_deadline() {
        let (sender, receiver) = async_channel::bounded(1);
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(wait(&Clock::System, Some(deadline), receiver.recv()), None);
        assert!(Instant::now() >= deadline);
        let sending = thread::spawn(move || sender.send_blocking(5));
        assert_eq!(wait(&Clock::System, None, receiver.recv()), Some(Ok(5)));
        assert!(sending.join().unwrap().is_ok());
    }
}
