//! What a listener hears, on the way from the task that listens to whoever waits for it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use pgmq_core::Notification;

type Event<E> = Result<Notification, E>;

/// What was offered and not taken yet: notifications, and `None` for an error. One of each says as much as a hundred, so there
/// is never more than one for each queue, however slow the consumer is.
type Waiting = Arc<Mutex<HashSet<Option<Notification>>>>;

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashSet<Option<Notification>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a listening task puts what it hears, and where that comes out.
pub fn events<E>() -> (Offers<E>, Events<E>) {
    let (sender, receiver) = unbounded_channel();
    let waiting = Waiting::default();
    (Offers { sender, waiting: Arc::clone(&waiting) }, Events { receiver, waiting })
}

/// Takes what a listening task hears.
#[derive(Debug)]
pub struct Offers<E> {
    sender: UnboundedSender<Event<E>>,
    waiting: Waiting,
}

impl<E> Offers<E> {
    /// Sends an event unless its like waits already; false when nobody listens any more.
    pub fn offer(&self, event: Event<E>) -> bool {
        let is_new = lock(&self.waiting).insert(event.as_ref().ok().cloned());
        if is_new { self.sender.send(event).is_ok() } else { !self.sender.is_closed() }
    }
}

/// Gives what a listening task has heard.
#[derive(Debug)]
pub struct Events<E> {
    receiver: UnboundedReceiver<Event<E>>,
    waiting: Waiting,
}

impl<E> Events<E> {
    /// The next event; `None` when the task has ended.
    pub async fn next(&mut self) -> Option<Event<E>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Like [`next`](Self::next), for a stream.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<E>>> {
        let polled = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(event)) = &polled {
            lock(&self.waiting).remove(&event.as_ref().ok().cloned());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn what_waits_for_a_slow_consumer_is_one_event_of_each_sort() {
        let (offers, mut events) = events::<&str>();
        let busy = Notification::Inserted { queue: "busy".to_owned() };
        for _ in 0..1000 {
            assert!(offers.offer(Ok(busy.clone())) && offers.offer(Err("refused")));
        }
        let mut next = || events.poll_next(&mut Context::from_waker(Waker::noop()));
        assert_eq!(next(), Poll::Ready(Some(Ok(busy.clone()))));
        assert_eq!(next(), Poll::Ready(Some(Err("refused"))));
        assert_eq!(next(), Poll::Pending);
        assert!(offers.offer(Ok(busy.clone())), "it was taken, so it is news again");
        assert_eq!(next(), Poll::Ready(Some(Ok(busy))));
        drop(events);
        assert!(!offers.offer(Ok(Notification::Reconnected)));
    }
}
