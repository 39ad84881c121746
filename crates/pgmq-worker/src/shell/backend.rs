//! The database of an async back end.

use std::time::Duration;

use futures_util::StreamExt as _;
use pgmq_core::{
    AsyncListen, AsyncListening, AsyncQueue, Claim, Message, Notification, NotifyOptions, QueueError, RawJson,
};

use crate::shell::broker::{BoxFuture, Broker, Listener, Throttles};
use crate::shell::change::Change;
use crate::shell::fault::DatabaseError;

/// A queue of an async back end.
pub(crate) struct Backend<Q>(pub(crate) Q);

impl<Q: AsyncListen + Send + Sync> Broker for Backend<Q> {
    fn claim<'a>(
        &'a self,
        queue: &'a str,
        qty: usize,
        vt: Duration,
    ) -> BoxFuture<'a, Result<Vec<Message<RawJson>>, DatabaseError>> {
        let qty = u32::try_from(qty).unwrap_or(u32::MAX);
        Box::pin(
            async move { self.0.read_batch::<RawJson>(queue, vt, qty).await.map_err(DatabaseError::new) },
        )
    }

    fn settle<'a>(
        &'a self,
        queue: &'a str,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Vec<i64>, DatabaseError>> {
        Box::pin(async move { settle(&self.0, queue, change).await.map_err(DatabaseError::new) })
    }

    fn extend<'a>(
        &'a self,
        queue: &'a str,
        claims: &'a [Claim],
        vt: Duration,
    ) -> BoxFuture<'a, Result<Vec<i64>, DatabaseError>> {
        Box::pin(async move { self.0.hold(queue, claims, vt).await.map_err(DatabaseError::new) })
    }

    fn next_due<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<Option<Duration>, DatabaseError>> {
        Box::pin(async move { self.0.next_due(queue).await.map_err(DatabaseError::new) })
    }

    fn exists<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<bool, DatabaseError>> {
        Box::pin(async move { self.0.queue_exists(queue).await.map_err(DatabaseError::new) })
    }

    fn create<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<(), DatabaseError>> {
        Box::pin(async move { self.0.create_queue(queue).await.map_err(DatabaseError::new) })
    }

    fn throttles(&self) -> BoxFuture<'_, Result<Throttles, DatabaseError>> {
        Box::pin(async move {
            let all = self.0.list_notify_throttles().await.map_err(DatabaseError::new)?;
            Ok(all.into_iter().map(|one| (one.queue_name, one.interval)).collect())
        })
    }

    fn repair_notify<'a>(
        &'a self,
        queue: &'a str,
        throttle: Duration,
    ) -> BoxFuture<'a, Result<bool, DatabaseError>> {
        Box::pin(async move { self.0.repair_notify(queue, throttle).await.map_err(DatabaseError::new) })
    }

    fn enable_notify<'a>(
        &'a self,
        queue: &'a str,
        throttle: Duration,
    ) -> BoxFuture<'a, Result<(), DatabaseError>> {
        Box::pin(async move {
            let options = NotifyOptions::new().throttle(throttle);
            self.0.enable_notify_with(queue, &options).await.map_err(DatabaseError::new)
        })
    }

    fn listen<'a>(&'a self, queues: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Listener>, DatabaseError>> {
        Box::pin(async move {
            let listener = self.0.listen(queues).await.map_err(DatabaseError::new)?;
            Ok(Box::new(Listening(listener)) as Box<dyn Listener>)
        })
    }
}

/// Makes a change of messages, and returns the ids of those that were there.
pub(crate) async fn settle<Q: AsyncQueue>(
    queue: &Q,
    name: &str,
    change: &Change,
) -> Result<Vec<i64>, Q::Error> {
    match change {
        Change::Delete(ids) => queue.delete_batch(name, ids).await,
        Change::Archive(ids) => queue.archive_batch(name, ids).await,
        Change::Hold(holds) => {
            let holds: Vec<_> = holds.iter().map(|(claim, after)| (*claim, (*after).into())).collect();
            queue.hold_each(name, &holds).await
        }
        Change::Move { to, moves, after } => {
            let moved = queue.move_batch(name, to, moves, *after).await?;
            Ok(moved.into_iter().map(|moved| moved.msg_id).collect())
        }
        Change::Forward { claim, to, message, options } => {
            let sent = queue.forward(name, *claim, to, message, options).await?;
            Ok(sent.map(|_| claim.msg_id).into_iter().collect())
        }
    }
}

struct Listening<L>(L);

impl<L: AsyncListening<Error: QueueError> + Send + Unpin> Listener for Listening<L> {
    fn next(&mut self) -> BoxFuture<'_, Result<Notification, DatabaseError>> {
        Box::pin(async move {
            match self.0.next().await {
                Some(next) => next.map_err(DatabaseError::new),
                // The stream of a listener never ends.
                None => std::future::pending().await,
            }
        })
    }
}
