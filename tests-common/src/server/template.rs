//! The database with PGMQ in it that all others are cloned from.

use std::thread;

use pgmq::install::install_sql_from_embedded;
use postgres::config::Host;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};

use super::{Address, Admin, ServerError, admin, old_pgmq, old_pgmq::OldPgmq};

/// Creates the template: an empty database, pg_partman where the server has it, PGMQ, and nobody connected.
pub(crate) fn create(
    admin: &Admin,
    address: &Address,
    name: &str,
    with_partman: bool,
) -> Result<(), ServerError> {
    let failed = |error| ServerError::because(format!("cannot create the template {name}"), error);
    // Not from template1: a server may have anything in there, PGMQ included.
    admin.execute(&format!(r#"CREATE DATABASE "{name}" TEMPLATE template0"#)).map_err(failed)?;
    let config = address.config_of(name);
    if with_partman {
        admin::execute_once(&config, "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman")?;
    }
    match old_pgmq::asked_for() {
        Some(version) => OldPgmq::parse(&version).install(&config)?,
        None => install_pgmq(&config)?,
    }
    // Clones begin vacuumed, so that autovacuum leaves them alone.
    admin::execute_once(&config, "VACUUM (FREEZE, ANALYZE)")?;
    // The first session after that writes a cache of the catalogs, which clones get as well.
    admin::execute_once(&config, "SELECT")?;
    // A session would be in the way of cloning.
    admin.execute(&format!(r#"ALTER DATABASE "{name}" ALLOW_CONNECTIONS false"#)).map_err(failed)
}

/// Installs PGMQ with its official crate, which is asynchronous and made for sqlx.
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
    // On a thread of its own, as the caller may be inside a runtime.
    let installed: Result<(), Box<dyn std::error::Error + Send + Sync>> =
        thread::scope(|scope| scope.spawn(install).join())
            .unwrap_or_else(|_| Err("the installer panicked".into()));
    installed.map_err(|error| ServerError::because("cannot install PGMQ", error))
}

/// Says the same to sqlx, which reads URLs only and not all that the others read.
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
