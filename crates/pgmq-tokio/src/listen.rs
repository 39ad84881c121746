//! Listening for notifications.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use pgmq_core::backend::{Channels, PING, Reconnects};
use pgmq_core::{AsyncListening, Notification};
use pgmq_driver_tokio_postgres::{
    Background, EventReceiver, EventSender, Tls, connect_limit, events, resolved_limit,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Socket};

use crate::error::Error;
use crate::timeout::timeout;

type Driver = tokio_postgres::Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>;

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
        config: Config,
        tls: Tls,
        channels: Channels,
        check_interval: Duration,
        background: Background,
    ) -> Result<Self, Error> {
        let limit = connect_limit(&config);
        let source = Source { config, tls, channels, limit, check_interval };
        let connected = source.connect().await?;
        let (sender, events) = events();
        let runtime = Handle::current();
        let task = runtime.spawn(source.forward(connected, sender));
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

/// The source of notifications: the server, and the channels to listen on.
struct Source {
    config: Config,
    tls: Tls,
    channels: Channels,
    limit: Duration,
    check_interval: Duration,
}

/// A connection that listens. Dropping the client would close the connection.
struct Connected {
    client: Client,
    driver: Driver,
    /// The notifications that have arrived, and were not yet forwarded.
    arrived: Vec<Notification>,
}

impl Connected {
    /// Waits for the next message of the server. `None` if the connection is lost.
    async fn next(&mut self, channels: &Channels) -> Option<()> {
        let message = poll_fn(|cx| self.driver.poll_message(cx)).await?.ok()?;
        self.arrived.extend(notification(message, channels));
        Some(())
    }

    /// Runs statements. The connection makes progress only while it is polled, and notifications that arrive
    /// meanwhile are kept.
    async fn execute(&mut self, channels: &Channels, sql: &str) -> Result<(), tokio_postgres::Error> {
        let mut executing = pin!(self.client.batch_execute(sql));
        poll_fn(|cx| {
            while let Poll::Ready(Some(message)) = self.driver.poll_message(cx) {
                self.arrived.extend(notification(message?, channels));
            }
            executing.as_mut().poll(cx)
        })
        .await
    }

    /// Forwards the notifications that have arrived. Returns `false` if the listener was dropped.
    fn forward(&mut self, sender: &EventSender<Error>) -> bool {
        self.arrived.drain(..).all(|notification| sender.send(Ok(notification)))
    }
}

/// The notification in a message of the server, if it is one of these channels.
fn notification(message: AsyncMessage, channels: &Channels) -> Option<Notification> {
    match message {
        AsyncMessage::Notification(notification) => channels.notification(notification.channel()),
        _ => None,
    }
}

impl Source {
    async fn connect(&self) -> Result<Connected, Error> {
        let connecting = async {
            let (client, driver) = self.config.connect(self.tls.clone()).await?;
            let mut connected = Connected { client, driver, arrived: Vec::new() };
            connected.execute(&self.channels, &self.channels.listen_sql()).await?;
            Ok::<_, Error>(connected)
        };
        timeout(self.limit.max(resolved_limit(&self.config).await), connecting).await?
    }

    /// Forwards notifications, and reconnects when the connection is lost, until the listener is dropped.
    async fn forward(self, mut connected: Connected, sender: EventSender<Error>) {
        let mut reconnects = Reconnects::new(Instant::now());
        loop {
            if !connected.forward(&sender) {
                return;
            }
            if self.wait(&mut connected).await.is_some() {
                continue;
            }
            connected = match self.reconnect(&mut reconnects, &sender).await {
                Some(connected) => connected,
                None => return,
            };
            if !sender.send(Ok(Notification::Reconnected)) {
                return;
            }
        }
    }

    /// Waits for the next message of the server, and checks that the server still answers when none has come
    /// for a while. `None` if the connection is lost.
    async fn wait(&self, connected: &mut Connected) -> Option<()> {
        if let Ok(next) = tokio::time::timeout(self.check_interval, connected.next(&self.channels)).await {
            return next;
        }
        let checking = connected.execute(&self.channels, PING);
        let limit = self.config.get_connect_timeout().copied().unwrap_or(self.limit);
        tokio::time::timeout(limit, checking).await.ok()?.ok()
    }

    async fn reconnect(&self, reconnects: &mut Reconnects, sender: &EventSender<Error>) -> Option<Connected> {
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
