//! Connection strings: one parser for all back ends.
//!
//! The drivers' own parsers differ in how they split a URL, and they repeat parts of a string in errors and
//! logs. So a driver gets only what this parser has understood: a canonical string, or a list of parameters
//! whose names it knows. No text of a connection string is ever shown, except for the names of known
//! parameters.

mod address;
mod checks;
mod conn_info;
mod dialect;
mod encoding;
mod keywords;
mod pairs;
mod uri;

pub use address::address;
pub use conn_info::ConnInfo;
pub use dialect::{Dialect, IMPLIED};
pub use encoding::{percent, quoted};
pub use keywords::{LIBPQ, known};
