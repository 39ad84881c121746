//! Listening for notifications.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_timer::Delay;
use futures_util::future::{Either, select};
use futures_util::stream::{StreamExt, unfold};
use pgmq_core::backend::{Channels, Reconnects};
use pgmq_core::{AsyncListening, Notification};
use sqlx::postgres::PgPoolOptions;

use crate::error::Error;
use crate::pool::Pool;
use crate::server::Server;
use crate::subscription::Subscription;
use crate::timeout::timeout;

/// Notifications of messages sent to queues: a stream that never ends.
///
/// A notification is a hint, not a delivery: read from the queue when one arrives, and poll the queue from
/// time to time as well. When the connection is lost, the listener reconnects with backoff and yields
/// [`Notification::Reconnected`] once, because notifications may have been missed. It yields an error if the
/// server refuses the new connection, such as for a changed password, and goes on trying.
///
/// If no notification came for the `listener_check_interval` of the builder, the listener asks the server
/// for an answer, and reconnects if there is none within the connect timeout.
///
/// The listener reads, asks and reconnects only while it is polled: poll it, or drop it.
///
/// Dropping the listener closes the connection at once, inside a runtime and outside.
pub struct Listener {
    /// Never locked: the mutex makes the listener `Sync`, which the driver's futures are not.
    source: Mutex<BoxStream<'static, Event>>,
    /// The events that were received from the source and not yet yielded.
    pending: VecDeque<Event>,
}

type Event = Result<Notification, Error>;

/// The most events that are received from the source before one is yielded.
const MAX_AT_ONCE: usize = 1000;

impl Listener {
    pub(crate) async fn connect(
        server: Server,
        channels: Channels,
        check_interval: Duration,
    ) -> Result<Self, Error> {
        // The driver's listener acquires its connections from a pool, so it gets a dedicated one.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(server.limit)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(server.options.clone());
        let reconnects = Reconnects::new(Instant::now());
        let source = Source { server, pool, channels, check_interval, reconnects };
        let state = State::Listening(source.listen().await?);
        let events = unfold((source, state), async |(mut source, state)| {
            let (event, state) = source.next(state).await;
            Some((event, (source, state)))
        });
        Ok(Self::new(events.boxed()))
    }

    fn new(source: BoxStream<'static, Event>) -> Self {
        Self { source: Mutex::new(source), pending: VecDeque::new() }
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    pub async fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        // A longer time could overflow when it is added to a clock.
        let timeout = timeout.min(LONGEST_WAIT);
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
            let source = self.source.get_mut().unwrap_or_else(PoisonError::into_inner);
            match source.poll_next_unpin(cx) {
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

/// The source of notifications: how to connect, and what to listen to.
struct Source {
    server: Server,
    pool: Pool,
    channels: Channels,
    check_interval: Duration,
    reconnects: Reconnects,
}

/// The state of the connection.
enum State {
    Listening(Subscription),
    Refused,
}

/// The longest wait: a year.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400 * 365);

impl Source {
    async fn listen(&self) -> Result<Subscription, Error> {
        let limit = self.server.limit;
        self.server.reach(&self.pool).await?;
        Ok(timeout(limit, Subscription::begin(&self.pool, &self.channels, self.check_interval, limit))
            .await??)
    }

    /// The next event, and the state after it.
    async fn next(&mut self, state: State) -> (Event, State) {
        let mut pause = match state {
            State::Listening(mut subscription) => match subscription.next(&self.channels).await {
                Some(notification) => return (Ok(notification), State::Listening(subscription)),
                None => self.reconnects.after_loss(Instant::now()),
            },
            State::Refused => self.reconnects.after_failure(),
        };
        loop {
            Delay::new(pause).await;
            match self.listen().await {
                Ok(subscription) => {
                    self.reconnects.connected(Instant::now());
                    return (Ok(Notification::Reconnected), State::Listening(subscription));
                }
                Err(error) if error.is_transient() => pause = self.reconnects.after_failure(),
                Err(error) => return (Err(error), State::Refused),
            }
        }
    }
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
        let mut listener = Listener::new(iter(events).chain(pending()).boxed());
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
