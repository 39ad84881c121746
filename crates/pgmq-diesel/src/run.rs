//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use diesel::connection::{CacheSize, Connection, LoadConnection};
use diesel::pg::{PgConnection, PgRowByRowLoadingMode};
use pgmq_core::backend::Attempt;
use pgmq_core::{Form, Output, Query};
use pgmq_driver_diesel::{DieselQuery, DieselRow, attempt_of};

use crate::Error;

/// Why a query failed, and whether it may have had an effect.
pub(crate) struct RunError {
    pub(crate) attempt: Attempt,
    pub(crate) error: Error,
}

/// Runs one form of a query. One round trip, but for the first time on a connection, when Diesel prepares the statement if it
/// keeps it.
pub(crate) fn run<O: Output>(
    connection: &mut PgConnection,
    query: &Query<'_, O>,
    form: Form<'_>,
) -> Result<O, RunError> {
    let result = load(connection, query, form);
    if let Err(RunError { attempt: Attempt::StalePlan, .. }) = &result {
        forget_statements(connection);
    }
    result
}

fn load<O: Output>(
    connection: &mut PgConnection,
    query: &Query<'_, O>,
    form: Form<'_>,
) -> Result<O, RunError> {
    let failed = |error: diesel::result::Error, is_complete: bool| RunError {
        attempt: attempt_of(&error, is_complete),
        error: Error::during(query.context())(error),
    };
    // Row by row, an error comes out of `load` itself only if neither a row nor "command complete" came before it.
    let statement = DieselQuery::new(form, query.params()).cached(is_kept(form));
    let mut arriving = LoadConnection::<PgRowByRowLoadingMode>::load(connection, statement)
        .map_err(|error| failed(error, false))?;
    let mut rows = query.rows();
    for row in arriving.by_ref() {
        rows.push(DieselRow::new(row.map_err(|error| failed(error, true))?));
    }
    // The server commits when it has said that the command is complete, and what fails then is told to those who ask on: a
    // deferred trigger, say. Where no row came, Diesel does not tell; but then nothing was written that could fail so.
    if let Some(Err(error)) = arriving.next() {
        return Err(failed(error, true));
    }
    rows.finish(|| query.context())
        .map_err(|error| RunError { attempt: Attempt::Failed, error: error.into() })
}

/// Whether Diesel keeps a statement prepared. Else its text goes out with it, in one round trip. Those of each queue would be too
/// many to keep.
pub(crate) fn is_kept(form: Form<'_>) -> bool {
    !form.is_for_one_queue
}

/// Has Diesel prepare its statements anew, under new names.
fn forget_statements(connection: &mut PgConnection) {
    connection.set_prepared_statement_cache_size(CacheSize::Disabled);
    connection.set_prepared_statement_cache_size(CacheSize::Unbounded);
}
