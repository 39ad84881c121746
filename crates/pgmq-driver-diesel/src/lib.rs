//! Diesel, as the sync and the async back end over it use it: statements as query fragments, rows, and errors; and what of
//! PGMQ can be part of a query that is composed in Diesel.

mod error;
pub mod functions;
mod json;
mod param;
mod query;
mod row;
mod tables;

pub use error::{attempt_of, connecting_kind_of, connecting_sqlstate_of, kind_of, sqlstate_of};
pub use json::Json;
pub use query::DieselQuery;
pub use row::DieselRow;
