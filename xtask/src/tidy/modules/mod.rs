//! The modules of a crate, and the files that its names come from.

mod code;
mod mentions;
mod resolve;
mod tree;

pub(super) use code::without_tests;
pub(super) use resolve::Found;
pub(super) use tree::{Id, Tree};
