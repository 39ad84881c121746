//! Listening for notifications.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_timer::Delay;
use futures_util::future::{Either, select};
use futures_util::stream::{StreamExt, unfold};
use pgmq_core::backend::{Backoff, Channels};
use pgmq_core::{AsyncListening, Notification};
use sqlx::postgres::{PgListener, PgPoolOptions};

use crate::error::Error;
use crate::pool::Pool;
use crate::server::Server;
use crate::timeout::timeout;

/// Notifications of messages sent to queues: a stream that never ends.
///
/// A notification is a hint, not a delivery: read from the queue when one arrives, and poll the queue from
/// time to time as well. When the connection is lost, the listener reconnects with backoff and yields
/// [`Notification::Reconnected`] once, because notifications may have been missed. It yields an error if the
/// server refuses the new connection, such as for a changed password, and goes on trying.
///
/// The listener reads and reconnects only while it is polled: poll it, or drop it.
///
/// Dropping the listener closes the connection.
pub struct Listener {
    source: BoxStream<'static, Event>,
    /// The events that were received from the source and not yet yielded.
    pending: VecDeque<Event>,
    pool: Pool,
}

type Event = Result<Notification, Error>;

/// The most events that are received from the source before one is yielded.
const MAX_AT_ONCE: usize = 1000;

impl Listener {
    pub(crate) async fn connect(server: Server, channels: Channels) -> Result<Self, Error> {
        // The driver's listener acquires its connections from a pool, so it gets a dedicated one.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(server.limit)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(server.options.clone());
        let source = Source { server, pool: pool.clone(), channels };
        let state = State::Listening(source.listen().await?);
        let events = unfold((source, state), async |(source, state)| {
            let (event, state) = source.next(state).await;
            Some((event, (source, state)))
        });
        Ok(Self { source: events.boxed(), pending: VecDeque::new(), pool })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    pub async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        match select(self.next(), Delay::new(timeout)).await {
            Either::Left((event, _)) => event.transpose(),
            Either::Right(_) => Ok(None),
        }
    }

    /// Adds an event unless an equal one is pending. One of each says as much as a hundred, so there is at
    /// most one event per queue, however slow the consumer is.
    fn add(&mut self, event: Event) {
        let is_pending = self.pending.iter().any(|pending| pending.as_ref().ok() == event.as_ref().ok());
        if !is_pending {
            self.pending.push_back(event);
        }
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
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        for _ in 0..MAX_AT_ONCE {
            match self.source.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => self.add(event),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        match self.pending.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The call itself closes the pool, so that the pool does not keep the connection once it is released.
        // The future would only wait for that.
        drop(self.pool.close());
    }
}

/// The source of notifications: how to connect, and what to listen to.
struct Source {
    server: Server,
    pool: Pool,
    channels: Channels,
}

/// The state of the connection.
enum State {
    Listening(PgListener),
    Refused(Backoff),
}

impl Source {
    async fn listen(&self) -> Result<PgListener, Error> {
        self.server.reach(&self.pool).await?;
        timeout(self.server.limit, async {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            // The source replaces a lost connection by itself, so that it can report the new one.
            listener.eager_reconnect(false);
            let names: Vec<_> = self.channels.names().collect();
            listener.listen_all(names.iter().map(String::as_str)).await?;
            Ok(listener)
        })
        .await?
    }

    /// The next event, and the state after it.
    async fn next(&self, state: State) -> (Event, State) {
        let mut backoff = match state {
            State::Listening(mut listener) => {
                while let Ok(Some(notification)) = listener.try_recv().await {
                    if let Some(notification) = self.channels.notification(notification.channel()) {
                        return (Ok(notification), State::Listening(listener));
                    }
                }
                Backoff::default()
            }
            State::Refused(mut backoff) => {
                wait(&mut backoff).await;
                backoff
            }
        };
        loop {
            match self.listen().await {
                Ok(listener) => return (Ok(Notification::Reconnected), State::Listening(listener)),
                Err(error) if error.is_transient() => wait(&mut backoff).await,
                Err(error) => return (Err(error), State::Refused(backoff)),
            }
        }
    }
}

async fn wait(backoff: &mut Backoff) {
    // The backoff never ends.
    Delay::new(backoff.next().unwrap_or_default()).await;
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::stream::{iter, pending};

    use super::*;

    #[test]
    fn a_slow_consumer_gets_one_event_of_each_sort() {
        let inserted = |queue: &str| Ok(Notification::inserted(queue));
        let refused = || Err(Error::from(sqlx::Error::PoolClosed));
        let events = (0..10_000).map(move |n| match n % 3 {
            0 => inserted("busy"),
            1 => inserted(if n > 9_000 { "quiet" } else { "busy" }),
            _ => refused(),
        });
        let pool = PgPoolOptions::new().idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_lazy("postgres://localhost").unwrap();
        let mut listener =
            Listener { source: iter(events).chain(pending()).boxed(), pending: VecDeque::new(), pool };
        let mut received = Vec::new();
        while let Some(event) = listener.next().now_or_never() {
            assert!(listener.pending.len() <= 3);
            received.push(event.unwrap().ok());
        }
        let sorts = [inserted("busy"), refused(), inserted("quiet")].map(Result::ok);
        assert!(sorts.iter().all(|sort| received.contains(sort)), "{received:?}");
        assert!(received.len() < 20, "{} events were yielded", received.len());
    }
}
