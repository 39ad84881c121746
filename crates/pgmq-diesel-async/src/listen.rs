//! Listening for notifications.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_core::Stream;
use pgmq_core::{Backoff, Channels, Notification, QueueError};
use pgmq_driver_tokio_postgres::{Events, Offers, events};
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
    events: Events<Error>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn connect(endpoint: Endpoint, channels: Channels) -> Result<Self, Error> {
        let source = Source { endpoint, channels };
        let connection = source.connect().await?;
        let (offers, events) = events();
        let task = tokio::spawn(source.forward(connection, offers));
        Ok(Self { events, task })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// When the server refuses a new connection after one was lost.
    pub async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let event = tokio::time::timeout(timeout, self.events.next()).await;
        event.ok().flatten().transpose()
    }
}

impl Stream for Listener {
    type Item = Result<Notification, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next(cx)
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
    async fn forward(self, mut connection: AsyncPgConnection, offers: Offers<Error>) {
        loop {
            {
                // It ends with the connection, and is an error before that if the server says why.
                let mut stream = pin!(connection.notifications_stream());
                while let Some(Ok(notification)) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    let notification = self.channels.notification(&notification.channel);
                    if !notification.is_none_or(|notification| offers.offer(Ok(notification))) {
                        return;
                    }
                }
            }
            connection = match self.reconnect(&offers).await {
                Some(connection) => connection,
                None => return,
            };
            if !offers.offer(Ok(Notification::Reconnected)) {
                return;
            }
        }
    }

    async fn reconnect(&self, offers: &Offers<Error>) -> Option<AsyncPgConnection> {
        for wait in Backoff::default() {
            match self.connect().await {
                Ok(connection) => return Some(connection),
                Err(error) if error.is_transient() => {}
                Err(error) => {
                    if !offers.offer(Err(error)) {
                        return None;
                    }
                }
            }
            tokio::time::sleep(wait).await;
        }
        None
    }
}
