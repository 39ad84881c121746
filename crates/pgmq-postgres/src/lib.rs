#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod config;
mod error;
mod listen;
mod manager;
mod queue;
mod run;
mod transaction;

pub use bound::{BoundQueue, Connection};
pub use config::Builder;
pub use error::Error;
pub use listen::Listener;
pub use manager::{ManageClients, Manager, PooledClient};
pub use pgmq_core::{self, chrono, serde_json};
pub use pgmq_core::{
    ArchivePartitionOptions, ArchivedMessage, Delay, ErrorKind, Failure, Installation, InstallationSource,
    Message, Notification, NotifyOptions, NotifyThrottle, Output, PartitionInterval, PartitionOptions,
    PollOptions, Queue, QueueError, QueueInfo, QueueMetrics, RawJson, ReadOptions, RoutingMatch,
    SendBatchOptions, SendOptions, TopicBinding, TopicMessage, Version, VisibilityTimeout,
};
pub use queue::{PGMQueue, Pool, Session};
pub use transaction::Transaction;
pub use {postgres, r2d2};
