//! The listener of a queue in memory, for sync and async callers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::Receiver;
use futures_util::{Stream, StreamExt};
use pgmq_core::{AsyncListening, Error, Listening, Notification};

use crate::shell::clock::Clock;
use crate::shell::limit::within;
use crate::sync::shell::limit::wait;

/// The notifications of a [`MemoryQueue`](super::MemoryQueue), as a stream and as an iterator, neither of
/// which ever ends.
pub struct MemoryListener {
    // Boxed, since the traits want it to be `Unpin`.
    notifications: Pin<Box<Receiver<Notification>>>,
    clock: Clock,
}

impl MemoryListener {
    pub(super) fn new(notifications: Receiver<Notification>, clock: Clock) -> Self {
        Self { notifications: Box::pin(notifications), clock }
    }
}

impl Stream for MemoryListener {
    type Item = Result<Notification, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.notifications.as_mut().poll_next(context) {
            Poll::Ready(Some(notification)) => Poll::Ready(Some(Ok(notification))),
            // The queue in memory is gone, so nothing comes any more.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncListening for MemoryListener {
    type Error = Error;

    async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let clock = self.clock.clone();
        within(&clock, timeout, StreamExt::next(self)).await.flatten().transpose()
    }
}

impl Iterator for MemoryListener {
    type Item = Result<Notification, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        wait(&self.clock.clone(), None, StreamExt::next(self)).flatten()
    }
}

impl Listening for MemoryListener {
    type Error = Error;

    fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let clock = self.clock.clone();
        wait(&clock, clock.now().checked_add(timeout), StreamExt::next(self)).flatten().transpose()
    }
}

impl fmt::Debug for MemoryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryListener")
    }
}
