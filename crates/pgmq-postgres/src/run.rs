//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use fallible_iterator::FallibleIterator;
use pgmq_core::driver::Attempt;
use pgmq_core::driver::tokio_postgres::{Bound, TokioRow, attempt_of};
use pgmq_core::{Form, Output, Query};
use postgres::types::Type;
use postgres::{Client, RowIter, Transaction};

use crate::Error;

/// What statements can run on.
pub(crate) trait Target {
    fn start(
        &mut self,
        sql: &str,
        params: Vec<(Bound<'_, '_>, Type)>,
    ) -> Result<RowIter<'_>, postgres::Error>;
}

impl Target for Client {
    fn start(
        &mut self,
        sql: &str,
        params: Vec<(Bound<'_, '_>, Type)>,
    ) -> Result<RowIter<'_>, postgres::Error> {
        self.query_typed_raw(sql, params)
    }
}

impl Target for Transaction<'_> {
    fn start(
        &mut self,
        sql: &str,
        params: Vec<(Bound<'_, '_>, Type)>,
    ) -> Result<RowIter<'_>, postgres::Error> {
        self.query_typed_raw(sql, params)
    }
}

/// Why a query failed, and whether it may have had an effect.
pub(crate) struct RunError {
    pub(crate) attempt: Attempt,
    pub(crate) error: Error,
}

/// Runs one form of a query. One round trip: parsing, binding and executing travel together, and no statement is left
/// prepared on the server, which a pooler between us would give to others.
pub(crate) fn run<O: Output>(
    target: &mut (impl Target + ?Sized),
    query: &Query<'_, O>,
    form: Form<'_>,
) -> Result<O, RunError> {
    let params = query.params().iter().map(|param| {
        let bound = Bound(param);
        let sql_type = bound.sql_type();
        (bound, sql_type)
    });
    let failed = |error: postgres::Error, is_complete: bool| RunError {
        attempt: attempt_at(&error, is_complete),
        error: Error::during(query.context())(error),
    };
    let mut arriving = target.start(form.text, params.collect()).map_err(|error| failed(error, false))?;
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
