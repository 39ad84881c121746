#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod client;
mod config;
mod connect;
mod connection;
mod error;
mod listen;
mod manager;
mod pool;
mod queue;
mod run;
mod runtime;
mod transaction;

pub use bound::BoundQueue;
pub use config::Builder;
pub use connection::Connection;
pub use error::Error;
pub use listen::Listener;
pub use manager::{ManageClients, Manager, PooledClient};
pub use pgmq_core::api::*;
pub use pgmq_core::{self, Queue, chrono, serde_json};
pub use pool::{Pool, Session};
pub use queue::PGMQueue;
pub use transaction::Transaction;
pub use {postgres, r2d2};
