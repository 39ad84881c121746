//! The same for handlers that block, each on a thread: the words are those of the async worker.
//!
//! The [`Queue`](crate::Queue), the [`Outcome`](crate::Outcome), the [`Handle`](crate::Handle), and the
//! [`StopReport`](crate::StopReport) are the same for both.

mod erased;
mod handler;
pub(crate) mod into_handler;
pub(crate) mod job;
mod layer;
mod redrive;
mod router;
pub(crate) mod shell;
pub mod testing;
mod worker;

pub use handler::{Batch, BatchHandler, Function, Handler};
pub use into_handler::{
    AnyHandler, ByBatchHandler, ByHandler, IntoHandler, OfBatches, OfJobs, OneHandler, Runnable, RunnableOne,
    Typed, TypedBatch,
};
pub use job::Job;
pub use layer::{Layer, Next, NextBatch};
pub use redrive::redrive;
pub use router::{OfTypes, Router};
pub use worker::{Builder, Worker};
