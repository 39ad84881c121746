#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod context;
mod instruments;
mod names;
mod observation;
mod observer;
mod shared;
mod tracing;
#[cfg(feature = "worker")]
mod worker;

pub use context::{span_context, trace_context};
pub use observer::OtelObserver;
#[cfg(feature = "worker")]
#[cfg_attr(docsrs, doc(cfg(feature = "worker")))]
pub use worker::OtelWorker;
