//! Support code for back ends: the retry policy, connection strings, wire formats, and state that every
//! client shares.
//!
//! Applications do not need this module, and its API may change in any release.

mod backoff;
mod cache_generation;
mod channels;
pub mod conninfo;
mod failure_class;
mod init;
mod jsonb;
mod last_connect_error;
mod named_file;
mod observing;
mod open_connections;
mod pending_notifications;
pub mod prelude;
mod reconnects;
mod reported;
mod retry;
mod server_report;
mod settings;
mod shared;
mod timestamptz;
mod tls;
mod transaction_modes;

pub use crate::operations::run_async;
pub use backoff::Backoff;
pub use cache_generation::CacheGeneration;
pub use channels::Channels;
pub use failure_class::FailureClass;
pub use init::{init, init_async, version, version_async};
pub use jsonb::jsonb_text;
pub use last_connect_error::LastConnectError;
pub use named_file::NamedFile;
pub use observing::{Observed, Observing};
pub use open_connections::{OpenConnection, OpenConnections};
pub use pending_notifications::PendingNotifications;
pub use reconnects::Reconnects;
pub use reported::Reported;
pub use retry::{Next, Retry};
pub use server_report::ServerReport;
pub use settings::Settings;
pub use shared::Shared;
pub use timestamptz::timestamptz;
pub use tls::{refuses_client, untrusted};
pub use transaction_modes::{TransactionModes, savepoint_takes_no_options};

/// Commits in one round trip, and fails where there is nothing to commit. On `COMMIT` alone the server would
/// report success in a failed transaction, which it rolls back, and outside a transaction, which the caller's
/// own statement has ended. For a simple query.
pub const COMMIT: &str = "SAVEPOINT pgmq_commit; COMMIT";

/// Fails in a failed transaction, with 25P02, and outside a transaction, with 25P01. For a simple query, and
/// for drivers that send `COMMIT` by themselves.
pub const CHECK_TRANSACTION: &str = "SAVEPOINT pgmq_commit";

/// Rolls back. For a simple query.
pub const ROLLBACK: &str = "ROLLBACK";

/// Begins a transaction. For a simple query.
pub const BEGIN: &str = "BEGIN";

/// Has the server end the session. For a simple query.
///
/// The server refuses this in a failed transaction, and to a role that the session has changed to.
pub const END_SESSION: &str = "ROLLBACK; RESET SESSION AUTHORIZATION; SET ROLE NONE; \
     SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())";

/// Asks the server for an answer, and for nothing else. For a simple query.
pub const PING: &str = "SELECT";

/// Returns a row if Diesel has prepared statements on the session, under the names that it gives them.
pub const HAS_DIESEL_STATEMENTS: &str =
    "SELECT FROM pg_prepared_statements WHERE name LIKE '\\_\\_diesel\\_stmt\\_%' LIMIT 1";
