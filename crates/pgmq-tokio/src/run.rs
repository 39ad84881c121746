//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use std::future::poll_fn;
use std::pin::pin;

use futures_core::Stream;
use pgmq_core::driver::tokio_postgres::{Attempt, Bound, TokioRow};
use pgmq_core::{Form, Output, Query};
use tokio_postgres::{Client, RowStream, Transaction};

use crate::Error;

/// What statements can run on.
#[derive(Clone, Copy)]
pub(crate) enum Target<'c> {
    Client(&'c Client),
    Transaction(&'c Transaction<'c>),
}

/// Why a query failed, and whether it may have had an effect.
pub(crate) struct RunError {
    pub(crate) attempt: Attempt,
    pub(crate) error: Error,
}

impl Target<'_> {
    /// Runs one form of a query. One round trip: parsing, binding and executing travel together, and no statement is left
    /// prepared on the server, which a pooler between us would give to others.
    pub(crate) async fn run<O: Output>(self, query: &Query<'_, O>, form: Form<'_>) -> Result<O, RunError> {
        let failed = |error: tokio_postgres::Error, is_complete: bool| RunError {
            attempt: Attempt::new(&error, is_complete),
            error: Error::during(query.context())(error),
        };
        let mut stream = pin!(self.start(query, form).await.map_err(|error| failed(error, false))?);
        let mut rows = query.rows();
        while let Some(row) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            rows.push(TokioRow(row.map_err(|error| failed(error, stream.rows_affected().is_some()))?));
        }
        rows.finish(|| query.context())
            .map_err(|error| RunError { attempt: Attempt::Failed, error: error.into() })
    }

    async fn start<O: Output>(
        self,
        query: &Query<'_, O>,
        form: Form<'_>,
    ) -> Result<RowStream, tokio_postgres::Error> {
        let params = query.params().iter().map(|param| {
            let bound = Bound(param);
            let sql_type = bound.sql_type();
            (bound, sql_type)
        });
        match self {
            Self::Client(client) => client.query_typed_raw(form.text, params).await,
            Self::Transaction(transaction) => transaction.query_typed_raw(form.text, params).await,
        }
    }
}
