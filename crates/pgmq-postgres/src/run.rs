//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use fallible_iterator::FallibleIterator;
use pgmq_core::driver::Attempt;
use pgmq_core::driver::tokio_postgres::{Bound, Statements, TokioRow, attempt_of, types_of};
use pgmq_core::{Form, Output, Param, Query};
use postgres::types::Type;
use postgres::{Client, RowIter, Transaction};

use crate::{Error, ManageClients, Session};

/// What statements can run on.
pub(crate) trait Target {
    fn start(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error>;

    /// Takes notice that the server does not run a statement any more that was prepared.
    fn forget(&mut self, _sql: &str) {}
}

impl Target for Client {
    fn start(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        self.query_typed_raw(sql, typed(params))
    }
}

impl Target for Transaction<'_> {
    fn start(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        self.query_typed_raw(sql, typed(params))
    }
}

/// Where a session has been given a place for them, statements stay prepared on it.
impl<M: ManageClients> Target for Session<M> {
    fn start(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        let statement = match statements(self).map(|statements| statements.get(sql)) {
            None => return self.query_typed_raw(sql, typed(params)),
            Some(Some(statement)) => statement,
            Some(None) => {
                let statement = self.prepare_typed(sql, &types_of(params))?;
                if let Some(statements) = statements(self) {
                    statements.keep(sql, &statement);
                }
                statement
            }
        };
        self.query_raw(&statement, params.iter().map(Bound))
    }

    fn forget(&mut self, sql: &str) {
        if let Some(statements) = statements(self) {
            statements.forget(sql);
        }
    }
}

fn statements<M: ManageClients>(session: &Session<M>) -> Option<&Statements> {
    r2d2::PooledConnection::extensions(session).get()
}

fn typed<'s, 'a>(params: &'s [Param<'a>]) -> impl ExactSizeIterator<Item = (Bound<'s, 'a>, Type)> {
    params.iter().map(|param| {
        let bound = Bound(param);
        let sql_type = bound.sql_type();
        (bound, sql_type)
    })
}

/// Why a query failed, and whether it may have had an effect.
pub(crate) struct RunError {
    pub(crate) attempt: Attempt,
    pub(crate) error: Error,
}

/// Runs one form of a query. One round trip: parsing, binding and executing travel together, and no statement is left
/// prepared on the server, which a pooler between us would give to others. Where statements stay prepared, they are one round
/// trip as well, but for the first time on a connection.
pub(crate) fn run<O: Output>(
    target: &mut (impl Target + ?Sized),
    query: &Query<'_, O>,
    form: Form<'_>,
) -> Result<O, RunError> {
    let ran = load(target, query, form);
    if let Err(RunError { attempt: Attempt::StalePlan, .. }) = &ran {
        target.forget(form.text);
    }
    ran
}

fn load<O: Output>(
    target: &mut (impl Target + ?Sized),
    query: &Query<'_, O>,
    form: Form<'_>,
) -> Result<O, RunError> {
    let failed = |error: postgres::Error, is_complete: bool| RunError {
        attempt: attempt_at(&error, is_complete),
        error: Error::during(query.context())(error),
    };
    let mut arriving = target.start(form.text, query.params()).map_err(|error| failed(error, false))?;
    let mut rows = query.rows();
    while let Some(row) =
        arriving.next().map_err(|error| failed(error, arriving.rows_affected().is_some()))?
    {
        rows.push(TokioRow(row));
    }
    rows.finish(|| query.context())
        .map_err(|error| RunError { attempt: Attempt::Failed, error: error.into() })
}

/// What an error says of a query outside of a transaction.
///
/// This driver reads on behind an answer, and if the server's last words come close behind it, returns those and drops the answer. So
/// they prove only then that nothing was committed, when they name the function in which the server was.
fn attempt_at(error: &postgres::Error, is_complete: bool) -> Attempt {
    let names_its_place = || error.as_db_error().is_some_and(|report| report.where_().is_some());
    match attempt_of(error, is_complete) {
        Attempt::NotCommitted if !names_its_place() => Attempt::Failed,
        attempt => attempt,
    }
}
