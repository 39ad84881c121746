#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod config;
mod connect;
mod connection;
mod conninfo;
mod error;
mod listen;
mod pool;
mod queue;
mod run;
mod session;
mod transaction;

// The crate is a dependency only for its features, which choose how libpq is built.
#[cfg(any(feature = "bundled", feature = "bundled_without_openssl"))]
use pq_sys as _;

pub use bound::BoundQueue;
pub use config::Builder;
pub use connection::Connection;
pub use diesel::{self, r2d2};
pub use error::Error;
pub use listen::Listener;
pub use pgmq_core::api::*;
pub use pgmq_core::{self, Queue, chrono, serde_json};
pub use pgmq_driver_diesel::{Json, archive_table, functions, queue_table};
pub use pool::{Pool, Session};
pub use queue::PGMQueue;
