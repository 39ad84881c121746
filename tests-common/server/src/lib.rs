//! A Postgres server for tests, and the things around it.
//!
//! - [`Server`] finds or starts a Postgres and creates databases that have PGMQ installed.
//! - [`Poolers`] starts PgBouncer between the clients and a server.
//! - [`TlsServer`] starts a server that speaks TLS, and issues the certificates.
//! - [`fake`] is a server that answers as a test demands.
//! - [`proxy`] forwards TCP connections, records the traffic, and breaks connections on request.
//!
//! # Choosing a server
//!
//! [`Server::obtain`] takes the first of these that is available:
//!
//! 1. `PGMQ_TEST_DATABASE_URL`, a URL or a libpq `key=value` string of a user who may create databases.
//! 2. Postgres' server programs on this machine: in `PGMQ_TEST_POSTGRES_BIN`, in `PATH`, in the folder that
//!    `pg_config` reports, or in the folders that packages use. A new cluster runs in a temporary folder, in
//!    memory if there is enough of it, on a free port of 127.0.0.1.
//! 3. Docker, with the image `PGMQ_TEST_POSTGRES_IMAGE` (feature `docker`).
//!
//! The newest PGMQ is installed from its official crate. `PGMQ_TEST_PGMQ_VERSION` selects an older version,
//! `1.5.1` as an extension or `1.5.1-sql` as plain SQL; both need a superuser.
//!
//! # Cleaning up
//!
//! Servers, databases and folders are removed when they are dropped, and also when the test process is
//! killed: a small shell process waits for its end.
//!
//! Several processes share one server and one template when their parent sets `PGMQ_TEST_DATABASE_URL`,
//! `PGMQ_TEST_TEMPLATE` and `PGMQ_TEST_RUN` for them. A server in a `static` is never dropped. A server that
//! was started here is removed all the same, but one that was given by URL keeps the template until the next
//! run.
//!
//! Everything here blocks. Obtain servers and databases outside async runtimes.
//!
//! This crate is for the tests of this workspace only and is not published. It needs a Unix system.

mod account;
mod address;
mod admin;
mod binaries;
mod certificates;
mod cluster;
mod database;
#[cfg(feature = "docker")]
mod docker;
mod error;
pub mod fake;
mod faults;
mod folder;
mod guardian;
mod leftovers;
mod old_pgmq;
mod pgbouncer;
mod pooler;
pub mod proxy;
mod purpose;
mod run;
mod secret;
mod server;
mod shared;
mod template;
mod tls;

pub use self::{
    admin::outside_of_runtimes,
    database::Database,
    error::ServerError,
    pooler::{Pooler, Poolers},
    purpose::Purpose,
    server::Server,
    tls::{TlsLibrary, TlsServer},
};
