//! Listening for notifications.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_core::Stream;
use pgmq_core::backend::{Channels, PING, Reconnects};
use pgmq_core::{AsyncListening, Notification};
use pgmq_driver_tokio_postgres::{Background, EventReceiver, EventSender, events};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::timeout::timeout;

/// Notifications of messages sent to queues: a stream that ends only with its runtime.
///
/// A notification is a hint, not a delivery: read from the queue when one arrives, and poll the queue from
/// time to time as well. When the connection is lost, the listener reconnects with backoff and yields
/// [`Notification::Reconnected`] once, because notifications may have been missed. It yields an error if the
/// server refuses the new connection, such as for a changed password, and goes on trying.
///
/// When nothing has come for [`listener_check_interval`](crate::Builder::listener_check_interval), the
/// listener asks the server for an answer, and reconnects if there is none within the connect timeout.
///
/// The listener belongs to the runtime on which it was made. When that runtime has ended, `next_timeout`
/// fails with [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), and the stream ends after
/// such an error.
///
/// Dropping the listener closes the connection.
#[derive(Debug)]
pub struct Listener {
    events: EventReceiver<Error>,
    /// `Some` until the listener is dropped.
    task: Option<JoinHandle<()>>,
    runtime: Handle,
    /// The background work of the queue, in which the end of the task is awaited.
    background: Background,
}

impl Listener {
    pub(crate) async fn connect(
        endpoint: Endpoint,
        channels: Channels,
        check_interval: Duration,
        background: Background,
    ) -> Result<Self, Error> {
        let source = Source { endpoint, channels, check_interval };
        let connection = source.connect().await?;
        let (sender, events) = events();
        let runtime = Handle::current();
        let task = runtime.spawn(source.forward(connection, sender));
        Ok(Self { events, task: Some(task), runtime, background })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    pub async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        tokio::time::timeout(timeout, self.events.next()).await.ok().transpose()
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
        let Some(task) = self.task.take() else { return };
        task.abort();
        self.background.spawn_on(&self.runtime, async {
            // Fails, as the task was cancelled.
            let _ = task.await;
        });
    }
}

/// The source of notifications: how to connect, and the channels to listen on.
struct Source {
    endpoint: Endpoint,
    channels: Channels,
    check_interval: Duration,
}

impl Source {
    async fn connect(&self) -> Result<AsyncPgConnection, Error> {
        let mut connection = self.endpoint.connect().await?;
        timeout(self.endpoint.limit, connection.batch_execute(&self.channels.listen_sql())).await??;
        Ok(connection)
    }

    /// Forwards notifications, and reconnects when the connection is lost, until the listener is dropped.
    async fn forward(self, mut connection: AsyncPgConnection, sender: EventSender<Error>) {
        let mut reconnects = Reconnects::new(Instant::now());
        loop {
            while let Some(notification) = self.next(&mut connection).await {
                if notification.is_some_and(|notification| !sender.send(Ok(notification))) {
                    return;
                }
            }
            connection = match self.reconnect(&mut reconnects, &sender).await {
                Some(connection) => connection,
                None => return,
            };
            if !sender.send(Ok(Notification::Reconnected)) {
                return;
            }
        }
    }

    /// Waits for the next notification, and checks that the server still answers when none has come for a
    /// while. `None` if the connection is lost, and `Some(None)` if there is nothing to forward.
    async fn next(&self, connection: &mut AsyncPgConnection) -> Option<Option<Notification>> {
        let next = async {
            // The stream ends with the connection, after an error if the server reports a reason. The driver
            // keeps what arrives while no stream is polled.
            let mut stream = pin!(connection.notifications_stream());
            poll_fn(|cx| stream.as_mut().poll_next(cx)).await?.ok()
        };
        if let Ok(next) = tokio::time::timeout(self.check_interval, next).await {
            return Some(self.channels.notification(&next?.channel));
        }
        let checking = connection.batch_execute(PING);
        tokio::time::timeout(self.endpoint.answer_limit(), checking).await.ok()?.ok()?;
        Some(None)
    }

    async fn reconnect(
        &self,
        reconnects: &mut Reconnects,
        sender: &EventSender<Error>,
    ) -> Option<AsyncPgConnection> {
        let mut pause = reconnects.after_loss(Instant::now());
        loop {
            tokio::time::sleep(pause).await;
            match self.connect().await {
                Ok(connected) => {
                    reconnects.connected(Instant::now());
                    return Some(connected);
                }
                Err(error) if error.is_transient() => {}
                Err(error) => {
                    if !sender.send(Err(error)) {
                        return None;
                    }
                }
            }
            pause = reconnects.after_failure();
        }
    }
}
