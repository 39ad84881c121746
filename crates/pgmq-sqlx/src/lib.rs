#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod config;
mod connection;
mod error;
mod in_flight;
mod listen;
mod losses;
mod panics;
mod pool;
mod queue;
mod run;
mod server;
mod subscription;
mod timeout;
mod tls;
mod url;
mod wire;

pub use bound::BoundQueue;
pub use config::Builder;
pub use connection::Connection;
pub use error::Error;
pub use listen::Listener;
pub use pgmq_core::api::*;
pub use pgmq_core::{self, AsyncQueue, chrono, serde_json};
pub use pool::{Pool, Session, Transaction};
pub use queue::PGMQueue;
pub use sqlx;
