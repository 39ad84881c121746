//! The driver's listener on one connection.

use std::pin::pin;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures_timer::Delay;
use futures_util::future::{Either, select};
use pgmq_core::Notification;
use pgmq_core::backend::Channels;
use sqlx::postgres::PgListener;
use sqlx::{Acquire, Connection};
use tokio::runtime::{Builder, Handle};

use crate::panics::catch;
use crate::pool::Pool;
use crate::timeout::timeout;

/// A connection that listens. Dropping it closes the connection, inside a runtime and outside.
pub(crate) struct Subscription {
    /// `Some` until the drop.
    listener: Option<PgListener>,
    /// The time of the last sign of life of the server.
    heard: Instant,
    /// The time without a sign of life after which the server is asked for one.
    interval: Duration,
    /// Elapses when the server may have been quiet for an interval.
    quiet: Delay,
    /// The limit for the server's answer.
    limit: Duration,
}

impl Subscription {
    /// Listens on a connection of `pool`.
    pub(crate) async fn begin(
        pool: &Pool,
        channels: &Channels,
        interval: Duration,
        limit: Duration,
    ) -> sqlx::Result<Self> {
        let mut listener = catch(PgListener::connect_with(pool)).await?;
        // A lost connection is replaced by the caller, which reports the new one.
        listener.eager_reconnect(false);
        let (heard, quiet) = (Instant::now(), Delay::new(interval));
        let mut subscription = Self { listener: Some(listener), heard, interval, quiet, limit };
        if let Some(listener) = &mut subscription.listener {
            let names: Vec<_> = channels.names().collect();
            catch(listener.listen_all(names.iter().map(String::as_str))).await?;
        }
        Ok(subscription)
    }

    /// Receives the next notification of one of the channels, or `None` if the connection is lost.
    pub(crate) async fn next(&mut self, channels: &Channels) -> Option<Notification> {
        loop {
            let received = {
                let receiving = pin!(catch(self.listener.as_mut()?.try_recv()));
                match select(receiving, &mut self.quiet).await {
                    Either::Left((received, _)) => Some(received.ok()??),
                    Either::Right(_) => None,
                }
            };
            let Some(received) = received else {
                self.check().await?;
                continue;
            };
            self.heard = Instant::now();
            // The driver panics on a name that is not UTF-8, which is none of ours.
            let name = catch(async { Ok(received.channel().to_owned()) }).await;
            let notification = name.ok().and_then(|name| channels.notification(&name));
            if notification.is_some() {
                return notification;
            }
        }
    }

    /// Asks the server for an answer if it has been quiet for long. Returns `None` if it does not answer.
    async fn check(&mut self) -> Option<()> {
        if self.heard.elapsed() >= self.interval {
            let listener = self.listener.as_mut()?;
            // The driver keeps notifications that arrive before the answer, and `try_recv` returns them.
            let asking = catch(async { listener.acquire().await?.ping().await });
            timeout(self.limit, asking).await.ok()?.ok()?;
            self.heard = Instant::now();
        }
        self.quiet.reset(self.interval.saturating_sub(self.heard.elapsed()));
        Some(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        /// A runtime that has ended. On it, the tasks that the driver spawns are dropped at once.
        static ENDED: LazyLock<Option<Handle>> = LazyLock::new(|| {
            let runtime = Builder::new_current_thread().build().ok()?;
            let handle = runtime.handle().clone();
            runtime.shutdown_background();
            Some(handle)
        });
        // The driver's listener spawns a task that waits for the server without a limit and then releases the
        // connection. Without a runtime it panics instead, twice. Dropping the task closes the connection.
        let _ended = ENDED.as_ref().map(Handle::enter);
        drop(self.listener.take());
    }
}
