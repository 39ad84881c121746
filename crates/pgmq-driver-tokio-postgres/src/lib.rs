//! `tokio-postgres`, and `postgres` which is built on it: parameters, rows, errors, configuration and TLS.

mod config;
mod error;
mod events;
mod param;
mod row;
mod statements;
mod tls;
mod turns;

pub use config::{config, connect_limit, listen_config};
pub use error::{attempt_of, handshake, kind_of};
pub use events::{Events, Offers, events};
pub use param::Bound;
pub use row::TokioRow;
pub use statements::{Statements, types_of};
pub use tls::{Tls, TlsStream};
pub use turns::{Turn, Turns};
