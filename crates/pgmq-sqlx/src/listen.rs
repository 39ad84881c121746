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
use pgmq_core::{Backoff, Channels, Notification, QueueError};
use sqlx::postgres::{PgListener, PgPoolOptions};

use crate::config::{Server, within};
use crate::{Error, Pool};

/// Notifications of messages sent to queues: a stream that never ends.
///
/// A notification is a hint, not a delivery: read from the queue when one comes, and look into it from time to time all the
/// same. When the connection is lost it is made anew, with back-off, and the stream yields
/// [`Notification::Reconnected`] once, because notifications may have been missed. An error is yielded when the server
/// refuses the new connection, such as for a changed password; the listener goes on trying.
///
/// It reads, and connects anew, while it is polled: so poll it, or drop it.
///
/// Dropping it closes the connection.
pub struct Listener {
    source: BoxStream<'static, Event>,
    waiting: VecDeque<Event>,
    pool: Pool,
}

type Event = Result<Notification, Error>;

/// How many notifications are taken from the connection at once, at most, before one is handed on.
const AT_ONCE: usize = 1000;

impl Listener {
    pub(crate) async fn connect(server: Server, channels: Channels) -> Result<Self, Error> {
        // The driver's listener takes its connections from a pool: here from one of its own.
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
        Ok(Self { source: events.boxed(), waiting: VecDeque::new(), pool })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// When the server refuses a new connection after one was lost.
    pub async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        match select(self.next(), Delay::new(timeout)).await {
            Either::Left((event, _)) => event.transpose(),
            Either::Right(_) => Ok(None),
        }
    }

    /// Has an event wait unless its like does: one of each says as much as a hundred, so there is never more than one for
    /// each queue, however slow the consumer is.
    fn offer(&mut self, event: Event) {
        let is_known = self.waiting.iter().any(|waiting| waiting.as_ref().ok() == event.as_ref().ok());
        if !is_known {
            self.waiting.push_back(event);
        }
    }
}

impl Stream for Listener {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        for _ in 0..AT_ONCE {
            match self.source.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => self.offer(event),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        match self.waiting.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Closes the pool at once, so that the connection is not kept when it comes back; the future would only wait for it.
        drop(self.pool.close());
    }
}

/// Where notifications come from.
struct Source {
    server: Server,
    pool: Pool,
    channels: Channels,
}

/// How things are with the connection.
enum State {
    Listening(PgListener),
    Refused(Backoff),
}

impl Source {
    async fn listen(&self) -> Result<PgListener, Error> {
        self.server.reach(&self.pool).await?;
        within(self.server.limit, async {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            // A connection that is lost is ours to replace, so that it can be told that there is a new one.
            listener.eager_reconnect(false);
            let names: Vec<_> = self.channels.names().collect();
            listener.listen_all(names.iter().map(String::as_str)).await?;
            Ok(listener)
        })
        .await?
    }

    /// The next event, and how things are after it.
    async fn next(&self, state: State) -> (Event, State) {
        let mut waits = match state {
            State::Listening(mut listener) => {
                while let Ok(Some(notification)) = listener.try_recv().await {
                    if let Some(notification) = self.channels.notification(notification.channel()) {
                        return (Ok(notification), State::Listening(listener));
                    }
                }
                Backoff::default()
            }
            State::Refused(mut waits) => {
                wait(&mut waits).await;
                waits
            }
        };
        loop {
            match self.listen().await {
                Ok(listener) => return (Ok(Notification::Reconnected), State::Listening(listener)),
                Err(error) if error.is_transient() => wait(&mut waits).await,
                Err(error) => return (Err(error), State::Refused(waits)),
            }
        }
    }
}

async fn wait(waits: &mut Backoff) {
    // It has no end.
    Delay::new(waits.next().unwrap_or_default()).await;
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::stream::{iter, pending};

    use super::*;

    #[test]
    fn what_waits_for_a_slow_consumer_is_one_event_of_each_sort() {
        let inserted = |queue: &str| Ok(Notification::Inserted { queue: queue.to_owned() });
        let refused = || Err(Error::from(sqlx::Error::PoolClosed));
        let events = (0..10_000).map(move |n| match n % 3 {
            0 => inserted("busy"),
            1 => inserted(if n > 9_000 { "quiet" } else { "busy" }),
            _ => refused(),
        });
        let pool = PgPoolOptions::new().idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_lazy("postgres://localhost").unwrap();
        let mut listener =
            Listener { source: iter(events).chain(pending()).boxed(), waiting: VecDeque::new(), pool };
        let mut heard = Vec::new();
        while let Some(event) = listener.next().now_or_never() {
            assert!(listener.waiting.len() <= 3);
            heard.push(event.unwrap().ok());
        }
        let sorts = [inserted("busy"), refused(), inserted("quiet")].map(Result::ok);
        assert!(sorts.iter().all(|sort| heard.contains(sort)), "{heard:?}");
        assert!(heard.len() < 20, "{} events were handed on", heard.len());
    }
}
