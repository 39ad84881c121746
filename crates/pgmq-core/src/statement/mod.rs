//! Operations as values: SQL, parameters, and the type that the rows decode to.
//!
//! Each operation has a builder of the same name, in a file per group. A statement can be inspected without a
//! database. An invalid argument stays inside the statement until it is run, so a builder returns no
//! `Result`.

mod browse;
mod builder;
mod claims;
mod finish;
mod notify;
mod query;
mod queues;
mod read;
mod send;
mod server;
mod topics;
mod variants;

pub use browse::*;
pub use claims::*;
pub use finish::*;
pub use notify::*;
pub use query::{Action, Query, SqlVariant, Statement};
pub use queues::*;
pub use read::*;
pub use send::*;
pub use server::*;
pub use topics::*;

#[cfg(test)]
pub(crate) mod tests;
