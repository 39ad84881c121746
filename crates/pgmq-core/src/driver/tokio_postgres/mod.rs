//! `tokio-postgres`, and `postgres` which is built on it: parameters, rows, errors, configuration and TLS.

mod config;
mod error;
mod param;
mod refusals;
mod row;
mod tls;

pub use config::{config, connect_limit, listen_config};
pub use error::{Attempt, kind_of};
pub use param::Bound;
pub use refusals::Refusals;
pub use row::TokioRow;
pub use tls::{Tls, TlsConnector, TlsStream};

/// Commits, in one flight, and fails where the transaction has failed: on `COMMIT` alone the server would roll back and say
/// that all is well. For a simple query.
pub const COMMIT: &str = "SELECT; COMMIT";
