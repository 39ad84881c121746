//! The queue on a connection of the user's.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use pgmq_core::backend::Observing;
use pgmq_core::backend::prelude::*;
use pgmq_core::{AsyncQueue, Output, Query};

use crate::error::Error;
use crate::pool::Shared;
use crate::run::ConnRef;

/// The queue on your own connection or in your own transaction: its operations commit and roll back with your
/// statements.
///
/// Created by [`PGMQueue::with`](crate::PGMQueue::with). Operations that are polled together are pipelined:
/// the driver sends them one after the other, without waiting for the answers in between.
///
/// Operations are not retried here: an error of the server leaves a transaction unusable, as always in
/// Postgres.
pub struct BoundQueue<'c> {
    connection: ConnRef<'c>,
    shared: Arc<Shared>,
    observing: Observing,
}

impl<'c> BoundQueue<'c> {
    pub(crate) fn new(connection: ConnRef<'c>, shared: Arc<Shared>, observing: Observing) -> Self {
        Self { connection, shared, observing }
    }
}

pgmq_core::operations!([pgmq_core::inherent_async_methods] {
    example none impl [<'c>] captures ['c] [] BoundQueue<'c>
});

impl BoundQueue<'_> {
    async fn run_once<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let variant = query.variant_in_transaction(&self.shared.server);
        self.connection.run(query, variant).await.map_err(|failed| failed.error)
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
