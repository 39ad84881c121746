//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use fallible_iterator::FallibleIterator;
use pgmq_core::backend::Attempt;
use pgmq_core::{Form, Output, Param, Query};
use pgmq_driver_tokio_postgres::{Bound, Statements, TokioRow, attempt_of, types_of};
use postgres::types::Type;
use postgres::{GenericClient, RowIter, Statement};

use crate::Error;

/// What statements run on.
pub(crate) struct Target<'c> {
    pub(crate) runner: &'c mut (dyn Runner + Send + 'c),
    /// Those that are prepared there, if any stay so.
    pub(crate) statements: Option<&'c Statements>,
}

/// A client or transaction of the driver's, whichever.
pub(crate) trait Runner {
    fn start_typed(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error>;

    fn prepare(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Statement, postgres::Error>;

    fn start(&mut self, prepared: &Statement, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error>;
}

impl<C: GenericClient> Runner for C {
    fn start_typed(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        self.query_typed_raw(sql, typed(params))
    }

    fn prepare(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Statement, postgres::Error> {
        self.prepare_typed(sql, &types_of(params))
    }

    fn start(&mut self, prepared: &Statement, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        self.query_raw(prepared, params.iter().map(Bound))
    }
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
    pub(crate) fn run<O: Output>(&mut self, query: &Query<'_, O>, form: Form<'_>) -> Result<O, RunError> {
        let ran = self.load(query, form);
        if let (Some(statements), Err(RunError { attempt: Attempt::StalePlan, .. })) = (self.statements, &ran)
        {
            statements.forget();
        }
        ran
    }

    fn load<O: Output>(&mut self, query: &Query<'_, O>, form: Form<'_>) -> Result<O, RunError> {
        let failed = |error: postgres::Error, is_complete: bool| RunError {
            attempt: attempt_at(&error, is_complete),
            error: Error::during(query.context())(error),
        };
        let mut arriving = self.start(form.text, query.params()).map_err(|error| failed(error, false))?;
        let mut rows = query.rows();
        while let Some(row) =
            arriving.next().map_err(|error| failed(error, arriving.rows_affected().is_some()))?
        {
            rows.push(TokioRow(row));
        }
        rows.finish(|| query.context())
            .map_err(|error| RunError { attempt: Attempt::Failed, error: error.into() })
    }

    fn start(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        let Some(statements) = self.statements else {
            return self.runner.start_typed(sql, params);
        };
        let statement = match statements.get(sql) {
            Some(statement) => statement,
            None => {
                let statement = self.runner.prepare(sql, params)?;
                statements.keep(sql, &statement);
                statement
            }
        };
        self.runner.start(&statement, params)
    }
}

fn typed<'s, 'a>(params: &'s [Param<'a>]) -> impl ExactSizeIterator<Item = (Bound<'s, 'a>, Type)> {
    params.iter().map(|param| {
        let bound = Bound(param);
        let sql_type = bound.sql_type();
        (bound, sql_type)
    })
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
