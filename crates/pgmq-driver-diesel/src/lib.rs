#![doc = include_str!("../README.md")]

mod error;
pub mod functions;
mod json;
mod param;
mod query;
mod row;
mod tables;

pub use error::{connecting_kind_of, connecting_sqlstate_of, failure_class, kind_of, sqlstate_of};
pub use json::Json;
pub use query::DieselQuery;
pub use row::DieselRow;
