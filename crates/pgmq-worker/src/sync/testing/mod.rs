//! Helpers for tests of sync handlers. The names are those of [`testing`](crate::testing), which also has
//! the types that are the same for both.

mod drain;
mod perform;
mod sent;
mod world;

pub use drain::{Drain, drain};
pub use perform::{Perform, perform, perform_batch};
pub use sent::{assert_not_sent, assert_sent};
pub use world::World;
