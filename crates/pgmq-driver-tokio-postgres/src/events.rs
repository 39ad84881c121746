//! The channel from the task that listens to the caller that waits for notifications.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use pgmq_core::Notification;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Event<E> = Result<Notification, E>;

/// The events that were sent and not yet received: notifications, and `None` for an error. One of each
/// carries the same information as a hundred, so the channel holds at most one event per queue, however slow
/// the consumer is.
type Pending = Arc<Mutex<HashSet<Option<Notification>>>>;

fn lock(pending: &Pending) -> MutexGuard<'_, HashSet<Option<Notification>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a channel that merges equal events.
pub fn events<E>() -> (EventSender<E>, EventReceiver<E>) {
    let (sender, receiver) = unbounded_channel();
    let pending = Pending::default();
    (EventSender { sender, pending: Arc::clone(&pending) }, EventReceiver { receiver, pending })
}

/// The end of the channel for the task that listens.
#[derive(Debug)]
pub struct EventSender<E> {
    sender: UnboundedSender<Event<E>>,
    pending: Pending,
}

impl<E> EventSender<E> {
    /// Sends an event unless an equal one is pending. Returns `false` if the receiver was dropped.
    pub fn send(&self, event: Event<E>) -> bool {
        let is_new = lock(&self.pending).insert(event.as_ref().ok().cloned());
        if is_new { self.sender.send(event).is_ok() } else { !self.sender.is_closed() }
    }
}

/// The end of the channel for the caller.
#[derive(Debug)]
pub struct EventReceiver<E> {
    receiver: UnboundedReceiver<Event<E>>,
    pending: Pending,
}

impl<E> EventReceiver<E> {
    /// Receives the next event; `None` if the sending task has ended.
    pub async fn next(&mut self) -> Option<Event<E>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next event, for a stream.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<E>>> {
        let polled = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(event)) = &polled {
            lock(&self.pending).remove(&event.as_ref().ok().cloned());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_slow_consumer_gets_one_event_of_each_sort() {
        let (sender, mut receiver) = events::<&str>();
        let busy = Notification::inserted("busy");
        for _ in 0..1000 {
            assert!(sender.send(Ok(busy.clone())) && sender.send(Err("refused")));
        }
        let mut next = || receiver.poll_next(&mut Context::from_waker(Waker::noop()));
        assert_eq!(next(), Poll::Ready(Some(Ok(busy.clone()))));
        assert_eq!(next(), Poll::Ready(Some(Err("refused"))));
        assert_eq!(next(), Poll::Pending);
        assert!(sender.send(Ok(busy.clone())), "an event that was received is no longer pending");
        assert_eq!(next(), Poll::Ready(Some(Ok(busy))));
        drop(receiver);
        assert!(!sender.send(Ok(Notification::Reconnected)));
    }
}
