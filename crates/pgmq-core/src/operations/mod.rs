//! The operations: their table, the table as data, and the traits that have a method for each row.

mod catalog;
mod docs;
mod listen;
mod pointers;
mod queue;
mod table;

pub(crate) use catalog::rows;
pub use catalog::{Feature, Group, OPERATIONS, Operation, Property};
pub use listen::{AsyncListen, AsyncListening, Listen, Listening};
pub use queue::{AsyncQueue, Queue, run_async};
