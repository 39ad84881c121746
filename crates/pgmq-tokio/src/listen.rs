//! Listening for notifications.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pgmq_core::{Backoff, Channels, Notification, QueueError};
use pgmq_driver_tokio_postgres::{Events, Offers, Tls, connect_limit, events};
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Socket};

use crate::Error;
use crate::manager::within;

type Driver = tokio_postgres::Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>;

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
    pub(crate) async fn connect(config: Config, tls: Tls, channels: Channels) -> Result<Self, Error> {
        let limit = connect_limit(&config);
        let source = Source { config, tls, channels, limit };
        let connected = source.connect().await?;
        let (offers, events) = events();
        let task = tokio::spawn(source.forward(connected, offers));
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
    config: Config,
    tls: Tls,
    channels: Channels,
    limit: Duration,
}

/// A connection that listens. The client has to live as long as the connection is to.
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
                // The connection only moves while it is polled, and nothing is to be missed in between.
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
        within(self.limit, connecting).await?
    }

    /// Hands on what the connection notifies, and connects anew when it is lost, until nobody listens any more.
    async fn forward(self, mut connected: Connected, offers: Offers<Error>) {
        loop {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connected.driver.poll_message(cx)).await {
                let AsyncMessage::Notification(notification) = message else { continue };
                let Some(notification) = self.channels.notification(notification.channel()) else { continue };
                if !offers.offer(Ok(notification)) {
                    return;
                }
            }
            connected = match self.reconnect(&offers).await {
                Some(connected) => connected,
                None => return,
            };
            if !offers.offer(Ok(Notification::Reconnected)) {
                return;
            }
        }
    }

    async fn reconnect(&self, offers: &Offers<Error>) -> Option<Connected> {
        for wait in Backoff::default() {
            match self.connect().await {
                Ok(connected) => return Some(connected),
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
