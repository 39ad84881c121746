//! A back end without a server: queues in the memory of the process.

mod arguments;
mod faults;
mod jsonb;
mod listener;
mod queue;
mod row;
mod store;
mod table;

pub use faults::Op;
pub use listener::MemoryListener;
pub use queue::MemoryQueue;
