//! The queue on a connection of the user's.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use futures_util::lock::Mutex;
use pgmq_core::backend::Observing;
use pgmq_core::backend::prelude::*;
use pgmq_core::{AsyncQueue, Output, Query};
use sqlx::{Connection as _, PgConnection};

use crate::error::Error;
use crate::pool::Shared;
use crate::run::{run, run_in_transaction};

/// The queue on your own connection or in your own transaction: its operations commit and roll back with your
/// statements.
///
/// Created by [`PGMQueue::with`](crate::PGMQueue::with). Operations that are polled together run one at a
/// time, so an operation that is kept without being polled blocks the others: poll them together, or drop
/// them.
///
/// Begin transactions by the driver's own `begin`. The driver does not see a transaction that your own
/// statement has begun, and an operation in it would commit it if statements are not kept prepared.
///
/// Operations are not retried here: an error of the server leaves a transaction unusable, as always in
/// Postgres.
pub struct BoundQueue<'c> {
    /// Behind a lock, because the driver needs exclusive access, and the methods take `&self` like those of a
    /// queue over a pool.
    connection: Mutex<&'c mut PgConnection>,
    shared: Arc<Shared>,
    observing: Observing,
}

impl<'c> BoundQueue<'c> {
    pub(crate) fn new(connection: &'c mut PgConnection, shared: Arc<Shared>, observing: Observing) -> Self {
        Self { connection: Mutex::new(connection), shared, observing }
    }
}

pgmq_core::operations!([pgmq_core::inherent_async_methods] {
    example none impl [<'c>] captures ['c] [] BoundQueue<'c>
});

impl BoundQueue<'_> {
    async fn run_once<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let variant = query.variant_in_transaction(&self.shared.server);
        let prepared = &self.shared.driver.prepared;
        let mut connection = self.connection.lock().await;
        // Outside a transaction, a pooler may run the two round trips of an unprepared statement on two
        // server sessions.
        let ran = match prepared.is_off() && !connection.is_in_transaction() {
            false => run(&mut connection, prepared, query, variant).await,
            true => run_in_transaction(&mut connection, prepared, query, variant).await,
        };
        ran.map_err(|failed| failed.error)
    }
}

impl AsyncQueue for BoundQueue<'_> {
    type Error = Error;

    async fn run_query<O: Output>(&self, mut query: Query<'_, O>) -> Result<O, Error> {
        let mut observed = self.observing.begin(&mut query);
        let running = pin!(self.run_once(&query));
        let result = observed.watch(running).await;
        observed.end(&query, result)
    }
}

impl fmt::Debug for BoundQueue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundQueue").finish_non_exhaustive()
    }
}
