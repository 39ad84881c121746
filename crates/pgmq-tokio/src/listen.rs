//! Listening for notifications.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pgmq_core::backend::{Backoff, Channels};
use pgmq_core::{AsyncListening, Notification};
use pgmq_driver_tokio_postgres::{EventReceiver, EventSender, Tls, connect_limit, events};
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Socket};

use crate::error::Error;
use crate::timeout::timeout;

type Driver = tokio_postgres::Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>;

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
    pub(crate) async fn connect(config: Config, tls: Tls, channels: Channels) -> Result<Self, Error> {
        let limit = connect_limit(&config);
        let source = Source { config, tls, channels, limit };
        let connected = source.connect().await?;
        let (sender, events) = events();
        let task = tokio::spawn(source.forward(connected, sender));
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

/// The source of notifications: the server, and the channels to listen on.
struct Source {
    config: Config,
    tls: Tls,
    channels: Channels,
    limit: Duration,
}

/// A connection that listens. Dropping the client would close the connection.
struct Connected {
    _client: Client,
    driver: Driver,
}

impl Source {
    async fn connect(&self) -> Result<Connected, Error> {
        let connecting = async {
            let (client, mut driver) = self.config.connect(self.tls.clone()).await?;
            let sql = self.channels.listen_sql();
            {
                // The connection makes progress only while it is polled: here until LISTEN is done, and in
                // `forward` after that, without a gap in which notifications could be lost.
                let mut listening = std::pin::pin!(client.batch_execute(&sql));
                std::future::poll_fn(|cx| {
                    while let Poll::Ready(Some(message)) = driver.poll_message(cx) {
                        message?;
                    }
                    listening.as_mut().poll(cx)
                })
                .await?;
            }
            Ok::<_, Error>(Connected { _client: client, driver })
        };
        timeout(self.limit, connecting).await?
    }

    /// Forwards notifications, and reconnects when the connection is lost, until the listener is dropped.
    async fn forward(self, mut connected: Connected, sender: EventSender<Error>) {
        loop {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connected.driver.poll_message(cx)).await {
                let AsyncMessage::Notification(notification) = message else { continue };
                let Some(notification) = self.channels.notification(notification.channel()) else { continue };
                if !sender.send(Ok(notification)) {
                    return;
                }
            }
            connected = match self.reconnect(&sender).await {
                Some(connected) => connected,
                None => return,
            };
            if !sender.send(Ok(Notification::Reconnected)) {
                return;
            }
        }
    }

    async fn reconnect(&self, sender: &EventSender<Error>) -> Option<Connected> {
        for wait in Backoff::default() {
            match self.connect().await {
                Ok(connected) => return Some(connected),
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
