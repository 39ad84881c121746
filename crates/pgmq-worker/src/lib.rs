#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod cancel;
mod chain;
mod dead_letter;
mod decoded;
mod erased;
mod failure;
mod finish;
mod finished;
mod handle;
mod handler;
mod headers;
mod into_handler;
mod job;
mod layer;
mod machine;
mod meta;
mod observer;
mod outcome;
mod panics;
mod queue;
mod redrive;
mod retry;
mod router;
mod routes;
mod rules;
mod settings;
mod setup;
mod shell;
mod state;
pub mod sync;
pub mod testing;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub mod tower;
mod verdict;
mod watch;
mod worker;

pub use batch::{BatchOutcome, IntoBatchOutcome, Jobs};
pub use cancel::{Cancelled, Interrupted};
pub use dead_letter::strip;
pub use erased::BoxFuture;
pub use failure::{Class, Classify, Failure, FailureExt, Reason};
pub use finished::{AlreadyGone, Finished};
pub use handle::{Handle, Health, StopReport};
pub use handler::{Batch, BatchHandler, Function, Handler};
pub use headers::Headers;
pub use into_handler::{
    AnyHandler, ByBatchHandler, ByHandler, IntoHandler, OfBatches, OfJobs, OneHandler, Runnable, RunnableOne,
    Typed, TypedBatch,
};
pub use job::Job;
pub use layer::{Layer, Next, NextBatch};
pub use machine::command::CancelReason;
pub use meta::Meta;
pub use observer::{WorkerEvent, WorkerObserver};
pub use outcome::{IntoOutcome, Outcome};
pub use queue::Queue;
pub use redrive::redrive;
pub use retry::{Decision, Dice, Failed, Retry, RetryPolicy};
pub use router::{OfTypes, Router};
pub use routes::Unknown;
pub use rules::On;
pub use settings::SettingsError;
pub use setup::StartError;
pub use shell::fault::DatabaseError;
pub use watch::{Happened, MessageEvent, NotSeen, Watch};
pub use worker::{Builder, Worker};
