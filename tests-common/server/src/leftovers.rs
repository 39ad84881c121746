//! Drops databases, including those that a killed run left on a server that was given by URL.

use postgres::Error;

use crate::{admin::Admin, error::ServerError, run::FAMILY};

/// Drops one database together with all connections to it.
pub(crate) fn drop_one(admin: &Admin, name: &str) -> Result<(), Error> {
    admin.execute(&format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#))
}

/// Drops all databases of a run that ends, and ends the creation of databases in progress.
pub(crate) fn drop_of_run(admin: &Admin, run: &str) -> Result<(), ServerError> {
    let ended = admin.run(|client| {
        // A database that is being created is not visible yet, and would appear after the others were
        // dropped.
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                   WHERE application_name = $1 AND pid <> pg_backend_pid()";
        client.execute(sql, &[&run])
    });
    ended.map_err(|error| ServerError::because("cannot end the sessions of this run", error))?;
    drop_all(admin, &format!("{run}_"))
}

/// Drops all databases whose names begin with `prefix`.
pub(crate) fn drop_all(admin: &Admin, prefix: &str) -> Result<(), ServerError> {
    let names = admin.run(|client| {
        let sql = "SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1)";
        client.query(sql, &[&prefix])?.iter().map(|row| row.try_get(0)).collect()
    });
    drop_each(admin, names)
}

/// Drops the databases of runs that were killed before they could clean up.
///
/// A live run has at least one session that shows its name as `application_name`. That session is older than
/// the run's first database, so listing the databases first is safe.
pub(crate) fn drop_of_dead_runs(admin: &Admin) -> Result<(), ServerError> {
    let names = admin.run(|client| {
        let pattern = format!("^({FAMILY}[0-9]+_[0-9a-f]{{8}})_[0-9a-f]{{8}}_[0-9]+$");
        let sql = "SELECT datname::text, substring(datname::text from $1) FROM pg_database \
                   WHERE datname::text ~ $1";
        let databases = client.query(sql, &[&pattern])?;
        let mut dead = Vec::new();
        for row in databases {
            let (name, run): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let sql = "SELECT FROM pg_stat_activity WHERE application_name = $1 LIMIT 1";
            if client.query_opt(sql, &[&run])?.is_none() {
                dead.push(name);
            }
        }
        Ok(dead)
    });
    drop_each(admin, names)
}

fn drop_each(admin: &Admin, names: Result<Vec<String>, Error>) -> Result<(), ServerError> {
    let failed = |error| ServerError::because("cannot drop databases of tests", error);
    names.map_err(failed)?.iter().try_for_each(|name| drop_one(admin, name).map_err(failed))
}
