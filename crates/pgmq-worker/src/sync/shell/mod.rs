//! The sync shell: each task of a lane is a thread. The lane, its requests and its messages are those of the
//! async shell, in `shell`; the files here are twins of files there.

pub(crate) mod backend;
pub(crate) mod broker;
pub(crate) mod keepers;
pub(crate) mod limit;
pub(crate) mod listening;
pub(crate) mod slot;
pub(crate) mod spawn;
