//! Running a query on a connection: bind, send, decode the rows as they arrive.

use diesel::connection::{CacheSize, Connection, LoadConnection};
use diesel::pg::{PgConnection, PgRowByRowLoadingMode};
use diesel::{RunQueryDsl, sql_query};
use pgmq_core::backend::{FailureClass, HAS_DIESEL_STATEMENTS};
use pgmq_core::{Output, Query, SqlVariant};
use pgmq_driver_diesel::{DieselQuery, DieselRow, failure_class};

use crate::error::Error;

/// The error of a query, and its class.
pub(crate) struct RunError {
    pub(crate) class: FailureClass,
    pub(crate) error: Error,
}

/// Runs one variant of a query in one round trip. The first run of a text that Diesel caches takes a round
/// trip more on each connection, to prepare the statement.
pub(crate) fn run<O: Output>(
    connection: &mut PgConnection,
    query: &Query<'_, O>,
    variant: SqlVariant<'_>,
) -> Result<O, RunError> {
    let ran = load(connection, query, variant);
    if let Err(RunError { class: FailureClass::StalePlan, error }) = &ran {
        clear_statement_cache(connection, error);
    }
    ran
}

fn load<O: Output>(
    connection: &mut PgConnection,
    query: &Query<'_, O>,
    variant: SqlVariant<'_>,
) -> Result<O, RunError> {
    let failed = |error: diesel::result::Error, is_complete: bool| {
        let class = failure_class(&error, is_complete);
        RunError { class, error: Error::during(query.context(), class)(error) }
    };
    let statement = DieselQuery::new(variant, query.params_of(variant)).cached(is_cached(variant));
    // In the row-by-row mode, `load` itself fails only if neither a row nor "command complete" has arrived.
    let mut arriving = LoadConnection::<PgRowByRowLoadingMode>::load(connection, statement)
        .map_err(|error| failed(error, false))?;
    let mut rows = query.rows();
    for row in arriving.by_ref() {
        rows.push(DieselRow::new(row.map_err(|error| failed(error, true))?));
    }
    // The server commits after it has reported the command as complete. Diesel returns an error of that
    // commit, such as that of a deferred trigger, only if it is asked for another row, and not at all if
    // there were no rows. But then the statement wrote nothing that could fail to commit.
    if let Some(Err(error)) = arriving.next() {
        return Err(failed(error, true));
    }
    rows.finish(|| query.context())
        .map_err(|error| RunError { class: FailureClass::Other, error: error.into() })
}

/// Returns `true` if Diesel caches the prepared statement of a variant. Otherwise it sends the text with each
/// run, in one round trip: texts that name a queue are too many to cache.
pub(crate) fn is_cached(variant: SqlVariant<'_>) -> bool {
    !variant.is_for_one_queue
}

/// Makes Diesel prepare its statements again, under new names.
///
/// Diesel does not report if its cache is on. It is, if the server misses a statement by its name, or has
/// statements of Diesel's. In a failed transaction the server cannot be asked, and the cache stays off
/// afterwards: turning on one that the user has turned off would break the connection behind a pooler.
fn clear_statement_cache(connection: &mut PgConnection, error: &Error) {
    let is_on = error.sqlstate() == Some("26000")
        || sql_query(HAS_DIESEL_STATEMENTS).execute(connection).is_ok_and(|found| found > 0);
    connection.set_prepared_statement_cache_size(CacheSize::Disabled);
    if is_on {
        connection.set_prepared_statement_cache_size(CacheSize::Unbounded);
    }
}
