//! The database with PGMQ that all other databases are cloned from.

use std::thread;

use pgmq::install::install_sql_from_embedded;
use postgres::config::Host;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};

use crate::{
    address::Address,
    admin::{self, Admin},
    error::ServerError,
    old_pgmq::{self, OldPgmq},
};

/// Creates the template: an empty database with pg_partman if the server has it, and PGMQ, closed to
/// connections.
pub(crate) fn create(
    admin: &Admin,
    address: &Address,
    name: &str,
    with_partman: bool,
) -> Result<(), ServerError> {
    let failed = |error| ServerError::because(format!("cannot create the template {name}"), error);
    // Not template1: on a server that was given by URL it may contain anything, PGMQ included.
    admin.execute(&format!(r#"CREATE DATABASE "{name}" TEMPLATE template0"#)).map_err(failed)?;
    let config = address.config_of(name);
    if with_partman {
        admin::execute_once(&config, "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman")?;
    }
    match old_pgmq::asked_for() {
        Some(version) => OldPgmq::parse(&version).install(&config)?,
        None => install_pgmq(&config)?,
    }
    // Clones start vacuumed, so autovacuum leaves them alone.
    admin::execute_once(&config, "VACUUM (FREEZE, ANALYZE)")?;
    // The first session afterwards writes a cache of the catalogs, which is cloned as well.
    admin::execute_once(&config, "SELECT")?;
    // A session on the template would block cloning.
    admin.execute(&format!(r#"ALTER DATABASE "{name}" ALLOW_CONNECTIONS false"#)).map_err(failed)
}

/// Installs PGMQ with its official crate, which is asynchronous and uses sqlx.
fn install_pgmq(config: &postgres::Config) -> Result<(), ServerError> {
    let options = sqlx_options(config)?;
    let install = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
            let installed = install_sql_from_embedded(&pool).await;
            pool.close().await;
            Ok(installed?)
        })
    };
    // On a separate thread, since the caller may be inside a runtime.
    let installed: Result<(), Box<dyn std::error::Error + Send + Sync>> =
        thread::scope(|scope| scope.spawn(install).join())
            .unwrap_or_else(|_| Err("the installer panicked".into()));
    installed.map_err(|error| ServerError::because("cannot install PGMQ", error))
}

/// Converts the configuration for sqlx, which reads URLs only and does not know all of libpq's options.
fn sqlx_options(config: &postgres::Config) -> Result<PgConnectOptions, ServerError> {
    let mut options = PgConnectOptions::new_without_pgpass().ssl_mode(PgSslMode::Disable);
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => options = options.host(host),
        Some(Host::Unix(folder)) => options = options.socket(folder),
        None => {}
    }
    if let Some(port) = config.get_ports().first() {
        options = options.port(*port);
    }
    if let Some(user) = config.get_user() {
        options = options.username(user);
    }
    if let Some(password) = config.get_password() {
        let password = std::str::from_utf8(password)
            .map_err(|error| ServerError::because("the password is not UTF-8", error))?;
        options = options.password(password);
    }
    if let Some(database) = config.get_dbname() {
        options = options.database(database);
    }
    Ok(options)
}
