//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_core::Stream;
use pgmq_core::backend::Attempt;
use pgmq_core::{Form, Output, Query};
use pgmq_driver_tokio_postgres::{Bound, Statements, Tls, TokioRow, attempt_of, types_of};
use tokio_postgres::{Client, RowStream, Statement};

use crate::bound::sealed::{Bind, Clients};
use crate::manager::{give_up, within};
use crate::{Error, ManageClients, Session};

/// What statements run on.
#[derive(Clone, Copy)]
pub(crate) struct Target<'c> {
    pub(crate) client: &'c Client,
    /// Those that are prepared there, if any stay so.
    pub(crate) statements: Option<&'c Statements>,
}

/// Why a query failed, and whether it may have had an effect.
pub(crate) struct RunError {
    pub(crate) attempt: Attempt,
    pub(crate) error: Error,
}

impl Target<'_> {
    /// Runs one form of a query. One round trip: parsing, binding and executing travel together, and no statement is left
    /// prepared on the server, which a pooler between us would give to others. Where statements stay prepared, they are one
    /// round trip as well, but for the first time on a connection.
    pub(crate) async fn run<O: Output>(self, query: &Query<'_, O>, form: Form<'_>) -> Result<O, RunError> {
        let ran = self.load(query, form).await;
        if let (Some(statements), Err(RunError { attempt: Attempt::StalePlan, .. })) = (self.statements, &ran)
        {
            statements.forget();
        }
        ran
    }

    async fn load<O: Output>(self, query: &Query<'_, O>, form: Form<'_>) -> Result<O, RunError> {
        let failed = |error: tokio_postgres::Error, is_complete: bool| RunError {
            attempt: attempt_of(&error, is_complete),
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
        let bound = query.params().iter().map(Bound);
        let Some(statements) = self.statements else {
            let typed = bound.map(|bound| {
                let sql_type = bound.sql_type();
                (bound, sql_type)
            });
            return self.client.query_typed_raw(form.text, typed).await;
        };
        let statement = prepared(self.client, statements, query, form).await?;
        self.client.query_raw(&statement, bound).await
    }
}

/// The statement of a form of a query, which is prepared if it is not yet.
async fn prepared<O: Output>(
    client: &Client,
    statements: &Statements,
    query: &Query<'_, O>,
    form: Form<'_>,
) -> Result<Statement, tokio_postgres::Error> {
    if let Some(statement) = statements.get(form.text) {
        return Ok(statement);
    }
    // In a box, because it is large and rare, and every operation has room for it otherwise.
    let statement = Box::pin(client.prepare_typed(form.text, &types_of(query.params()))).await?;
    statements.keep(form.text, &statement);
    Ok(statement)
}

/// A session that runs a statement, or a transaction.
///
/// If the future that waits for it is dropped, the session is given back when the server has done what it was asked; what does not
/// answer in time, the pool drops. What may take long, the server is told to stop: a poll, which else would go on waiting on this
/// connection, and hide messages that nobody gets; or whatever a transaction is at. Then the pool drops the session, too: where that
/// has just ended by itself, being told so late, the server would stop what comes next.
pub(crate) struct Busy<'q, M: ManageClients> {
    /// There until it is released.
    session: Option<Session<M>>,
    is_stopped: bool,
    tls: &'q Tls,
    /// How long the server may take to answer when nobody waits any more.
    limit: Duration,
}

impl<'q, M: ManageClients> Busy<'q, M> {
    /// `is_stopped` says whether the server is told to stop when nobody waits any more.
    pub(crate) fn new(session: Session<M>, is_stopped: bool, tls: &'q Tls, limit: Duration) -> Self {
        Self { session: Some(session), is_stopped, tls, limit }
    }

    pub(crate) fn target(&self) -> Target<'_> {
        #[expect(clippy::expect_used, reason = "it is taken only by `release` and by `drop`, which end this")]
        self.session.as_deref().expect("the session is there until it is released").target()
    }

    /// The client, and the statements that stay prepared on it.
    pub(crate) fn parts(&mut self) -> (&mut Client, Option<&Statements>) {
        #[expect(clippy::expect_used, reason = "it is taken only by `release` and by `drop`, which end this")]
        self.session.as_mut().expect("the session is there until it is released").parts()
    }

    /// It has ended.
    pub(crate) fn release(mut self) -> Session<M> {
        #[expect(clippy::expect_used, reason = "it is taken only here and by `drop`, which end this")]
        self.session.take().expect("the session is there until it is released")
    }
}

impl<M: ManageClients> Drop for Busy<'_, M> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let cancel = self.is_stopped.then(|| (session.client().cancel_token(), self.tls.clone()));
        let limit = self.limit;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let was_told = cancel.is_some();
                let settled = within(limit, async {
                    if let Some((token, tls)) = cancel {
                        // Where the server cannot be told, it goes on until its own end.
                        let _ = token.cancel_query(tls).await;
                    }
                    // Answered when what was asked before has ended.
                    session.client().check_connection().await
                });
                if !matches!(settled.await, Ok(Ok(()))) || was_told {
                    give_up(session);
                }
            });
        }
    }
}
