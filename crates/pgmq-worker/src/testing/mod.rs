//! What tests of handlers are written with: see the guide's page on testing.

mod executor;
mod job;
mod memory;
mod world;

pub use job::TestJob;
pub use memory::{MemoryListener, MemoryQueue, Op};
pub use world::World;
