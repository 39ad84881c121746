//! The queue on a connection of the user's.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use pgmq_core::backend::Observing;
use pgmq_core::backend::prelude::*;
use pgmq_core::{ErrorKind, Output, Query, Queue};

use crate::error::Error;
use crate::pool::Shared;
use crate::run::ConnRef;
use crate::runtime::check_may_block;

/// The queue on your own connection or in your own transaction: its operations commit and roll back with your
/// statements.
///
/// Created by [`PGMQueue::with`](crate::PGMQueue::with).
///
/// Operations are not retried here: an error of the server leaves a transaction unusable, as always in
/// Postgres.
pub struct BoundQueue<'c> {
    /// In a cell, because the driver needs exclusive access, and the methods take `&self`, like those of a
    /// queue over a pool.
    connection: RefCell<ConnRef<'c>>,
    shared: Arc<Shared>,
    observing: Observing,
}

impl<'c> BoundQueue<'c> {
    pub(crate) fn new(connection: ConnRef<'c>, shared: Arc<Shared>, observing: Observing) -> Self {
        Self { connection: RefCell::new(connection), shared, observing }
    }
}

pgmq_core::operations!([pgmq_core::inherent_methods] { example none impl [] BoundQueue<'_> });

impl BoundQueue<'_> {
    fn run_once<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        check_may_block().map_err(|error| error.during(query.context()))?;
        // Only a message type whose decoding uses the queue itself can borrow the connection twice.
        let mut connection = self.connection.try_borrow_mut().map_err(|_| {
            let text = "the connection is in use by the operation that is being decoded";
            pgmq_core::Error::new(ErrorKind::InvalidArgument, text).during(query.context())
        })?;
        let variant = query.variant_in_transaction(&self.shared.server);
        connection.run(query, variant).map_err(|failed| failed.error)
    }
}

impl Queue for BoundQueue<'_> {
    type Error = Error;

    fn run_query<O: Output>(&self, mut query: Query<'_, O>) -> Result<O, Error> {
        let mut observed = self.observing.begin(&mut query);
        let result = observed.run(|| self.run_once(&query));
        observed.end(&query, result)
    }
}

impl fmt::Debug for BoundQueue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundQueue").finish_non_exhaustive()
    }
}
