//! Running a query on a connection: bind, send, decode the rows as they arrive.

use fallible_iterator::FallibleIterator;
use pgmq_core::backend::{FailureClass, ServerReport};
use pgmq_core::{Output, Param, Query, SqlVariant};
use pgmq_driver_tokio_postgres::{SqlParam, StatementCache, TokioRow, failure_class, sql_types};
use postgres::error::DbError;
use postgres::types::{ToSql, Type};
use postgres::{GenericClient, Row, RowIter, Statement};

use crate::error::Error;

/// A connection that queries run on.
pub(crate) struct ConnRef<'c> {
    pub(crate) runner: &'c mut (dyn Runner + Send + 'c),
    /// The connection's cache of prepared statements, if it has one.
    pub(crate) statements: Option<&'c StatementCache>,
}

/// A client or a transaction of the driver.
pub(crate) trait Runner {
    fn start_typed(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error>;

    fn prepare(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Statement, postgres::Error>;

    fn start(&mut self, prepared: &Statement, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error>;

    fn collect_typed(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, postgres::Error>;

    fn collect(&mut self, prepared: &Statement, params: &[Param<'_>]) -> Result<Vec<Row>, postgres::Error>;
}

impl<C: GenericClient> Runner for C {
    fn start_typed(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        self.query_typed_raw(sql, typed(params))
    }

    fn prepare(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Statement, postgres::Error> {
        self.prepare_typed(sql, &sql_types(params))
    }

    fn start(&mut self, prepared: &Statement, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        self.query_raw(prepared, params.iter().map(SqlParam))
    }

    fn collect_typed(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, postgres::Error> {
        let params: Vec<_> = typed(params).collect();
        let params: Vec<(&(dyn ToSql + Sync), _)> =
            params.iter().map(|(param, sql_type)| (param as _, sql_type.clone())).collect();
        self.query_typed(sql, &params)
    }

    fn collect(&mut self, prepared: &Statement, params: &[Param<'_>]) -> Result<Vec<Row>, postgres::Error> {
        let params: Vec<_> = params.iter().map(SqlParam).collect();
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
        self.query(prepared, &params)
    }
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
    pub(crate) fn run<O: Output>(
        &mut self,
        query: &Query<'_, O>,
        variant: SqlVariant<'_>,
    ) -> Result<O, RunError> {
        let ran = self.load(query, variant);
        if let (Some(statements), Err(RunError { class: FailureClass::StalePlan, .. })) =
            (self.statements, &ran)
        {
            statements.invalidate();
        }
        ran
    }

    fn load<O: Output>(&mut self, query: &Query<'_, O>, variant: SqlVariant<'_>) -> Result<O, RunError> {
        let failed = |error: postgres::Error, is_complete: bool| {
            let class = classify(&error, is_complete);
            RunError { class, error: Error::during(query.context(), class)(error) }
        };
        let mut rows = query.rows();
        if O::IS_LIST {
            let mut arriving =
                self.start(variant.text, query.params_of(variant)).map_err(|error| failed(error, false))?;
            while let Some(row) =
                arriving.next().map_err(|error| failed(error, arriving.rows_affected().is_some()))?
            {
                rows.push(TokioRow(row));
            }
        } else {
            // An iterator enters the driver's runtime for each row and for their end. Collected in one go,
            // the rows do not tell if the command was complete before it failed. That matters only for a
            // report that ends the session, and `classify` has that prove by itself that nothing was
            // committed. The server rolls back a command that fails in any other way.
            let collected =
                self.collect(variant.text, query.params_of(variant)).map_err(|error| failed(error, false))?;
            collected.into_iter().for_each(|row| rows.push(TokioRow(row)));
        }
        rows.finish(|| query.context())
            .map_err(|error| RunError { class: FailureClass::Other, error: error.into() })
    }

    /// Returns the rows as they arrive.
    fn start(&mut self, sql: &str, params: &[Param<'_>]) -> Result<RowIter<'_>, postgres::Error> {
        match self.prepared(sql, params)? {
            Some(statement) => self.runner.start(&statement, params),
            None => self.runner.start_typed(sql, params),
        }
    }

    /// Returns the rows once all of them have arrived.
    fn collect(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, postgres::Error> {
        match self.prepared(sql, params)? {
            Some(statement) => self.runner.collect(&statement, params),
            None => self.runner.collect_typed(sql, params),
        }
    }

    /// The prepared statement of a text, from the cache or from the server; `None` if there is no cache.
    fn prepared(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Option<Statement>, postgres::Error> {
        let Some(statements) = self.statements else { return Ok(None) };
        if let Some(statement) = statements.get(sql) {
            return Ok(Some(statement));
        }
        let statement = self.runner.prepare(sql, params)?;
        statements.insert(sql, &statement);
        Ok(Some(statement))
    }
}

fn typed<'s, 'a>(params: &'s [Param<'a>]) -> impl ExactSizeIterator<Item = (SqlParam<'s, 'a>, Type)> {
    params.iter().map(|param| {
        let param = SqlParam(param);
        let sql_type = param.sql_type();
        (param, sql_type)
    })
}

/// Classifies the failure of a query outside a transaction.
///
/// This driver reads past an answer. If the server's report that it ends the session follows closely, the
/// driver returns the report and drops the answer. The report therefore proves that nothing was committed
/// only if it cannot follow an answer.
fn classify(error: &postgres::Error, is_complete: bool) -> FailureClass {
    match failure_class(error, is_complete) {
        FailureClass::NotCommitted | FailureClass::SessionEnded
            if !error.as_db_error().is_some_and(follows_no_answer) =>
        {
            FailureClass::Lost
        }
        class => class,
    }
}

/// Returns `true` if a report that ends the session cannot follow the answer to a request: it names the
/// function that was running, or it comes from a pooler that has not sent the request to a server.
fn follows_no_answer(report: &DbError) -> bool {
    // A server reports these with the end of a session only while a client logs in. PgBouncer passes them on
    // to the clients that wait for the server's session.
    const LOG_IN: [&str; 6] = ["28000", "28P01", "3D000", "42501", "53300", "57P03"];
    let sqlstate = report.code().code();
    report.where_().is_some()
        || LOG_IN.contains(&sqlstate)
        || ServerReport::new(sqlstate, report.message()).is_wait_of_pgbouncer()
}
