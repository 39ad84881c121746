#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod config;
mod error;
mod listen;
mod queue;
mod run;
mod transaction;

pub use bound::{BoundQueue, Connection};
pub use config::Builder;
pub use error::Error;
pub use listen::Listener;
pub use pgmq_core::{self, chrono, serde_json};
pub use pgmq_core::{
    ArchivePartitionOptions, ArchivedMessage, AsyncQueue, Delay, ErrorKind, Failure, Installation,
    InstallationSource, Message, Notification, NotifyOptions, NotifyThrottle, Output, PartitionInterval,
    PartitionOptions, PollOptions, QueueError, QueueInfo, QueueMetrics, RawJson, ReadOptions, RoutingMatch,
    SendBatchOptions, SendOptions, TopicBinding, TopicMessage, Version, VisibilityTimeout,
};
pub use pgmq_driver_diesel::{Json, archive_table, functions, queue_table};
pub use queue::{PGMQueue, Pool, Session};
pub use {bb8, diesel, diesel_async, tokio_postgres};
