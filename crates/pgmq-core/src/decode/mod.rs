//! Decoding: from the rows that the server returns to the result of an operation.

mod cells;
mod installation;
mod message;
mod outputs;
mod records;
mod rows;
mod sealed;

pub use rows::{Output, Record, Rows};

#[cfg(test)]
pub(crate) mod tests;
