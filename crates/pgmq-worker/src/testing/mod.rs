//! What tests of handlers are written with: see the guide's page on testing.

pub(crate) mod drain;
mod executor;
pub(crate) mod fate;
mod job;
mod memory;
pub(crate) mod perform;
pub(crate) mod sent;
mod world;

pub use drain::{Drain, DrainReport, DrainedMessage, drain};
pub use fate::Fate;
pub use job::TestJob;
pub use memory::{MemoryListener, MemoryQueue, Op};
pub use perform::{Perform, Performed, perform, perform_batch};
pub use sent::{assert_not_sent, assert_sent};
pub use world::World;
