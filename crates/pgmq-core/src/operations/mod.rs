//! The operations: their table, the table as data, and the traits that have a method for each row.

mod catalog;
mod docs;
mod queue;
mod table;

pub(crate) use catalog::rows;
pub use catalog::{Feature, Group, OPERATIONS, Operation, Property};
pub use queue::{AsyncQueue, Queue, run_async};
