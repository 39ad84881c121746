//! `tokio-postgres`, and `postgres` which is built on it: parameters, rows, errors, configuration and TLS.

mod config;
mod error;
mod param;
mod row;
mod tls;

pub use config::{config, listen_config};
pub use error::{Attempt, kind_of};
pub use param::Bound;
pub use row::TokioRow;
pub use tls::{Tls, TlsConnector, TlsStream};
