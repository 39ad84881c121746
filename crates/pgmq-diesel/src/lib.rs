#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod config;
mod conninfo;
mod error;
mod listen;
mod queue;
mod run;
mod session;
mod transaction;

// Named for its features alone, which say how libpq is built.
#[cfg(any(feature = "bundled", feature = "bundled_without_openssl"))]
use pq_sys as _;

pub use bound::{BoundQueue, Connection};
pub use config::Builder;
pub use diesel::{self, r2d2};
pub use error::Error;
pub use listen::Listener;
pub use pgmq_core::{self, chrono, serde_json};
pub use pgmq_core::{
    ArchivePartitionOptions, ArchivedMessage, Delay, ErrorKind, Failure, Installation, InstallationSource,
    Message, Notification, NotifyOptions, NotifyThrottle, Output, PartitionInterval, PartitionOptions,
    PollOptions, Queue, QueueError, QueueInfo, QueueMetrics, RawJson, ReadOptions, RoutingMatch,
    SendBatchOptions, SendOptions, TopicBinding, TopicMessage, Version, VisibilityTimeout,
};
pub use pgmq_driver_diesel::{Json, archive_table, functions, queue_table};
pub use queue::{PGMQueue, Pool, Session};
