//! Middleware of [tower](https://docs.rs/tower) around handlers, and services of tower as handlers.
//!
//! | to | use |
//! |---|---|
//! | put a layer of tower around all handlers of a worker | [`TowerLayer`] |
//! | do the same for handlers of batches | [`TowerBatchLayer`] |
//! | let a service handle the messages of a queue | [`service`] |
//!
//! Each of them takes the service as tower has it: it is cloned for each call, the call waits until the clone
//! is ready, and an error of the service is a failure of the message, which is retried.

mod call;
mod handler;
mod layer;
mod shared;

pub use call::{BatchCall, Call, CallService};
pub use handler::{ServiceHandler, service};
pub use layer::{TowerBatchLayer, TowerLayer};
