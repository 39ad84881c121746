//! Running a query on a connection: bind, send, decode the rows as they arrive.

use std::future::poll_fn;
use std::pin::pin;

use futures_core::Stream;
use pgmq_core::backend::FailureClass;
use pgmq_core::{Output, Query, SqlVariant};
use pgmq_driver_tokio_postgres::{SqlParam, StatementCache, TokioRow, failure_class, sql_types};
use tokio_postgres::{Client, RowStream, Statement};

use crate::error::Error;

/// A connection that queries run on.
#[derive(Clone, Copy)]
pub(crate) struct ConnRef<'c> {
    pub(crate) client: &'c Client,
    /// The connection's cache of prepared statements, if it has one.
    pub(crate) statements: Option<&'c StatementCache>,
}

/// The error of a query, and its class.
pub(crate) struct RunError {
    pub(crate) class: FailureClass,
    pub(crate) error: Error,
}

impl ConnRef<'_> {
    /// Runs one variant of a query in one round trip.
    ///
    /// Parse, bind and execute are sent together. Without a cache no statement stays prepared on the server,
    /// where a pooler could hand it to another client. With one, the first run of a text on a connection
    /// takes a round trip more.
    pub(crate) async fn run<O: Output>(
        self,
        query: &Query<'_, O>,
        variant: SqlVariant<'_>,
    ) -> Result<O, RunError> {
        let ran = self.load(query, variant).await;
        if let (Some(statements), Err(RunError { class: FailureClass::StalePlan, .. })) =
            (self.statements, &ran)
        {
            statements.invalidate();
        }
        ran
    }

    async fn load<O: Output>(self, query: &Query<'_, O>, variant: SqlVariant<'_>) -> Result<O, RunError> {
        let failed = |error: tokio_postgres::Error, is_complete: bool| {
            let class = failure_class(&error, is_complete);
            RunError { class, error: Error::during(query.context(), class)(error) }
        };
        let mut stream = pin!(self.start(query, variant).await.map_err(|error| failed(error, false))?);
        let mut rows = query.rows();
        while let Some(row) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            rows.push(TokioRow(row.map_err(|error| failed(error, stream.rows_affected().is_some()))?));
        }
        rows.finish(|| query.context())
            .map_err(|error| RunError { class: FailureClass::Other, error: error.into() })
    }

    async fn start<O: Output>(
        self,
        query: &Query<'_, O>,
        variant: SqlVariant<'_>,
    ) -> Result<RowStream, tokio_postgres::Error> {
        let params = query.params_of(variant).iter().map(SqlParam);
        let Some(statements) = self.statements else {
            let typed = params.map(|param| {
                let sql_type = param.sql_type();
                (param, sql_type)
            });
            return self.client.query_typed_raw(variant.text, typed).await;
        };
        let statement = prepared(self.client, statements, query, variant).await?;
        self.client.query_raw(&statement, params).await
    }
}

/// The prepared statement of a variant, from the cache or from the server.
async fn prepared<O: Output>(
    client: &Client,
    statements: &StatementCache,
    query: &Query<'_, O>,
    variant: SqlVariant<'_>,
) -> Result<Statement, tokio_postgres::Error> {
    if let Some(statement) = statements.get(variant.text) {
        return Ok(statement);
    }
    // Boxed, because this future is large and rarely needed, and every operation would reserve the space for
    // it.
    let statement =
        Box::pin(client.prepare_typed(variant.text, &sql_types(query.params_of(variant)))).await?;
    statements.insert(variant.text, &statement);
    Ok(statement)
}
