//! The async shell: the I/O, the time and the randomness of a worker; and what it shares with the sync
//! shell, whose own files are in `sync/shell` under the same names.
//!
//! A [`lane`] is one queue of a worker. Its [`keepers`] talk to the database, its [`slot`]s run the handlers,
//! and the [`listening`] task wakes all lanes of a worker. The [`broker`] is the database without its type.

pub(crate) mod backend;
pub(crate) mod broker;
pub(crate) mod change;
pub(crate) mod channels;
pub(crate) mod clock;
pub(crate) mod ending;
pub(crate) mod fault;
pub(crate) mod held;
pub(crate) mod keepers;
pub(crate) mod lane;
pub(crate) mod limit;
pub(crate) mod listening;
pub(crate) mod notifying;
pub(crate) mod requests;
pub(crate) mod slot;
pub(crate) mod spawn;
pub(crate) mod threads;
pub(crate) mod turn;
pub(crate) mod watchers;
