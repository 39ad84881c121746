//! Support code for back ends: classification of failures, connection strings, wire formats. Not for applications.

mod attempt;
pub mod conninfo;
mod generation;
mod jsonb;
mod named_file;
mod refusals;
mod timestamptz;
mod tls;

pub use attempt::Attempt;
pub use generation::Generation;
pub use jsonb::jsonb_text;
pub use named_file::NamedFile;
pub use refusals::Refusals;
pub use timestamptz::timestamptz;
pub use tls::{refuses_client, untrusted};

/// Commits, in one flight, and fails where the transaction has failed: on `COMMIT` alone the server would roll back and say
/// that all is well. For a simple query.
pub const COMMIT: &str = "SELECT; COMMIT";
