//! Listening for notifications.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_core::Stream;
use pgmq_core::backend::{Backoff, Channels};
use pgmq_core::{AsyncListening, Notification};
use pgmq_driver_tokio_postgres::{EventReceiver, EventSender, events};
use tokio::task::JoinHandle;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::timeout::timeout;

/// Notifications of messages sent to queues: a stream that never ends.
///
/// A notification is a hint, not a delivery: read from the queue when one arrives, and poll the queue from
/// time to time as well. When the connection is lost, the listener reconnects with backoff and yields
/// [`Notification::Reconnected`] once, because notifications may have been missed. It yields an error if the
/// server refuses the new connection, such as for a changed password, and goes on trying.
///
/// Dropping the listener closes the connection.
#[derive(Debug)]
pub struct Listener {
    events: EventReceiver<Error>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn connect(endpoint: Endpoint, channels: Channels) -> Result<Self, Error> {
        let source = Source { endpoint, channels };
        let connection = source.connect().await?;
        let (sender, events) = events();
        let task = tokio::spawn(source.forward(connection, sender));
        Ok(Self { events, task })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    pub async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let event = tokio::time::timeout(timeout, self.events.next()).await;
        event.ok().flatten().transpose()
    }
}

impl AsyncListening for Listener {
    type Error = Error;

    fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<Notification>, Error>> + Send {
        self.next_timeout(timeout)
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

/// The source of notifications: how to connect, and what to listen to.
struct Source {
    endpoint: Endpoint,
    channels: Channels,
}

impl Source {
    async fn connect(&self) -> Result<AsyncPgConnection, Error> {
        let mut connection = self.endpoint.connect().await?;
        timeout(self.endpoint.limit, connection.batch_execute(&self.channels.listen_sql())).await??;
        Ok(connection)
    }

    /// Forwards notifications, and reconnects when the connection is lost, until the listener is dropped.
    async fn forward(self, mut connection: AsyncPgConnection, sender: EventSender<Error>) {
        loop {
            {
                // The stream ends with the connection, after an error if the server reports a reason.
                let mut stream = pin!(connection.notifications_stream());
                while let Some(Ok(notification)) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
                    let Some(notification) = self.channels.notification(&notification.channel) else {
                        continue;
                    };
                    if !sender.send(Ok(notification)) {
                        return;
                    }
                }
            }
            connection = match self.reconnect(&sender).await {
                Some(connection) => connection,
                None => return,
            };
            if !sender.send(Ok(Notification::Reconnected)) {
                return;
            }
        }
    }

    async fn reconnect(&self, sender: &EventSender<Error>) -> Option<AsyncPgConnection> {
        for wait in Backoff::default() {
            match self.connect().await {
                Ok(connection) => return Some(connection),
                Err(error) if error.is_transient() => {}
                Err(error) => {
                    if !sender.send(Err(error)) {
                        return None;
                    }
                }
            }
            tokio::time::sleep(wait).await;
        }
        None
    }
}
