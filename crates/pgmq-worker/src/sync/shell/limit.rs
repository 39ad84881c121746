//! A limit for the time of a wait.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks until a future is ready; `None` if it is not ready by the deadline.
pub(crate) fn wait<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
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
        assert_eq!(wait(Some(deadline), receiver.recv()), None);
        assert!(Instant::now() >= deadline);
        let sending = thread::spawn(move || sender.send_blocking(5));
        assert_eq!(wait(None, receiver.recv()), Some(Ok(5)));
        assert!(sending.join().unwrap().is_ok());
    }
}
