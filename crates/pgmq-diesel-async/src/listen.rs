//! Listening for notifications.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_core::Stream;
use pgmq_core::{Backoff, Channels, Notification, QueueError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Error;
use crate::config::{Endpoint, within};

/// Notifications of messages sent to queues: a stream that never ends.
///
/// A notification is a hint, not a delivery: read from the queue when one comes, and look into it from time to time all the
/// same. When the connection is lost it is made anew, with back-off, and the stream yields
/// [`Notification::Reconnected`] once, because notifications may have been missed. An error is yielded when the server
/// refuses the new connection, such as for a changed password; the listener goes on trying.
///
/// Dropping it closes the connection.
#[derive(Debug)]
pub struct Listener {
    events: mpsc::UnboundedReceiver<Event>,
    waiting: Waiting,
    task: JoinHandle<()>,
}

type Event = Result<Notification, Error>;

/// What waits for the consumer: notifications, and `None` for an error. One of each says as much as a hundred, so there is
/// never more than one for each queue, however slow the consumer is.
#[derive(Debug, Clone, Default)]
struct Waiting(Arc<Mutex<HashSet<Option<Notification>>>>);

impl Waiting {
    fn set(&self) -> MutexGuard<'_, HashSet<Option<Notification>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event unless its like waits already; false when nobody listens any more.
    fn offer(&self, event: Event, events: &mpsc::UnboundedSender<Event>) -> bool {
        let is_new = self.set().insert(event.as_ref().ok().cloned());
        if is_new { events.send(event).is_ok() } else { !events.is_closed() }
    }

    /// Notes that an event no longer waits.
    fn taken(&self, event: Option<Event>) -> Option<Event> {
        let event = event?;
        self.set().remove(&event.as_ref().ok().cloned());
        Some(event)
    }
}

impl Listener {
    pub(crate) async fn connect(endpoint: Endpoint, channels: Channels) -> Result<Self, Error> {
        let source = Source { endpoint, channels };
        let connection = source.connect().await?;
        let (sender, events) = mpsc::unbounded_channel();
        let waiting = Waiting::default();
        let task = tokio::spawn(source.forward(connection, waiting.clone(), sender));
        Ok(Self { events, waiting, task })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// When the server refuses a new connection after one was lost.
    pub async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        match tokio::time::timeout(timeout, self.events.recv()).await {
            Ok(event) => self.waiting.taken(event).transpose(),
            Err(_) => Ok(None),
        }
    }
}

impl Stream for Listener {
    type Item = Result<Notification, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = self.events.poll_recv(cx);
        event.map(|event| self.waiting.taken(event))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where notifications come from.
struct Source {
    endpoint: Endpoint,
    channels: Channels,
}

impl Source {
    async fn connect(&self) -> Result<AsyncPgConnection, Error> {
        let mut connection = self.endpoint.connect().await?;
        within(self.endpoint.limit, connection.batch_execute(&self.channels.listen_sql())).await??;
        Ok(connection)
    }

    /// Hands on what the connection notifies, and connects anew when it is lost, until nobody listens any more.
    async fn forward(
        self,
        mut connection: AsyncPgConnection,
        waiting: Waiting,
        events: mpsc::UnboundedSender<Event>,
    ) {
        loop {
            {
                // It ends with the connection, and is an error before that if the server says why.
                let mut stream = pin!(connection.notifications_stream());
                while let Some(Ok(notification)) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    let notification = self.channels.notification(&notification.channel);
                    if !notification.is_none_or(|notification| waiting.offer(Ok(notification), &events)) {
                        return;
                    }
                }
            }
            connection = match self.reconnect(&waiting, &events).await {
                Some(connection) => connection,
                None => return,
            };
            if !waiting.offer(Ok(Notification::Reconnected), &events) {
                return;
            }
        }
    }

    async fn reconnect(
        &self,
        waiting: &Waiting,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Option<AsyncPgConnection> {
        for wait in Backoff::default() {
            match self.connect().await {
                Ok(connection) => return Some(connection),
                Err(error) if error.is_transient() => {}
                Err(error) => {
                    if !waiting.offer(Err(error), events) {
                        return None;
                    }
                }
            }
            tokio::time::sleep(wait).await;
        }
        None
    }
}
