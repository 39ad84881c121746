//! The channel from the task that listens to the caller that waits for notifications.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use pgmq_core::{Error, ErrorKind, Notification};
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
    let receiver = EventReceiver { receiver, pending: Arc::clone(&pending), has_ended: false };
    (EventSender { sender, pending }, receiver)
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
    /// `true` once the stream has reported that no event will come any more.
    has_ended: bool,
}

impl<E: From<Error>> EventReceiver<E> {
    /// Receives the next event.
    ///
    /// # Errors
    ///
    /// The event, if it is an error; [`ErrorKind::InvalidArgument`], if the sending task has ended, which
    /// happens only with its runtime.
    pub async fn next(&mut self) -> Event<E> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await.unwrap_or_else(|| Err(ended().into()))
    }

    /// Polls for the next event, for a stream. If the sending task has ended, the stream ends after an error.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<E>>> {
        self.poll_event(cx).map(|event| match event {
            None if !std::mem::replace(&mut self.has_ended, true) => Some(Err(ended().into())),
            event => event,
        })
    }

    /// Polls for the next event; `None` if the sending task has ended.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<E>>> {
        let polled = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(event)) = &polled {
            lock(&self.pending).remove(&event.as_ref().ok().cloned());
        }
        polled
    }
}

fn ended() -> Error {
    let text = "the runtime on which the listener was made has ended, and the listener with it; listen again on a runtime \
                that runs";
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn refused() -> Error {
        Error::new(ErrorKind::PermissionDenied, "refused")
    }

    #[test]
    fn the_end_of_the_sending_task_is_an_error_after_the_last_event() {
        let (sender, mut receiver) = events::<Error>();
        assert!(sender.send(Ok(Notification::Reconnected)));
        drop(sender);
        let mut next = || receiver.poll_next(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(next(), Poll::Ready(Some(Ok(Notification::Reconnected)))));
        assert!(matches!(next(), Poll::Ready(Some(Err(error))) if error.to_string().contains("runtime")));
        assert!(matches!(next(), Poll::Ready(None)));
    }

    #[test]
    fn a_slow_consumer_gets_one_event_of_each_sort() {
        let (sender, mut receiver) = events::<Error>();
        let busy = Notification::inserted("busy");
        for _ in 0..1000 {
            assert!(sender.send(Ok(busy.clone())) && sender.send(Err(refused())));
        }
        let mut next = || receiver.poll_next(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(next(), Poll::Ready(Some(Ok(event))) if event == busy));
        assert!(matches!(next(), Poll::Ready(Some(Err(_)))));
        assert!(next().is_pending());
        assert!(sender.send(Ok(busy.clone())), "an event that was received is no longer pending");
        assert!(matches!(next(), Poll::Ready(Some(Ok(event))) if event == busy));
        drop(receiver);
        assert!(!sender.send(Ok(Notification::Reconnected)));
    }
}
