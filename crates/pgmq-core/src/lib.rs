//! What the PGMQ clients of this family share.
//!
//! [PGMQ](https://github.com/pgmq/pgmq) is a message queue inside Postgres, made of SQL functions. This crate knows them, and
//! knows no driver: an operation is a [`Statement`], which is SQL, parameters and the type that its rows decode to. A back end
//! runs it. **Applications use a back end**, such as `pgmq-postgres` or `pgmq-tokio`, which re-exports what is needed of this.
//!
//! Code that is to work with several back ends is written over [`Queue`] or [`AsyncQueue`]:
//!
//! ```
//! use pgmq_core::{Queue, RawJson};
//!
//! /// Moves what has been read too often to another queue.
//! fn bury<Q: Queue>(queue: &Q, from: &str, to: &str, reads: i32) -> Result<(), Q::Error> {
//!     for message in queue.peek::<RawJson>(from, 100)? {
//!         if message.read_ct > reads {
//!             queue.send(to, &message.message)?;
//!             queue.archive(from, message.msg_id)?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! To read this crate: [`operations`](Queue) is the table of the whole API; [`statement`] has a builder for each row of it;
//! [`Row`] and [`Output`] are how results are decoded.

#[doc(hidden)]
pub mod backend;
mod decode;
mod error;
#[cfg(test)]
mod every_operation;
mod init;
mod installation;
mod learned;
mod message;
mod notification;
mod operations;
mod options;
mod param;
#[doc(hidden)]
pub mod prelude;
mod queue_name;
mod raw_json;
mod records;
mod routing;
mod row;
mod settings;
pub mod statement;
mod time;
mod version;

pub use decode::{Output, Record, Rows};
pub use error::{Context, Error, ErrorKind, Failure, QueueError};
pub use init::{init, init_async, version, version_async};
pub use installation::{Installation, InstallationSource, ServerLook};
pub use learned::Learned;
pub use message::{ArchivedMessage, Message};
pub use notification::{Backoff, Channels, Notification};
pub use operations::{AsyncQueue, Queue};
pub use options::{
    ArchivePartitionOptions, NotifyOptions, PartitionInterval, PartitionOptions, PollOptions, ReadOptions,
    SendBatchOptions, SendOptions,
};
pub use param::{JsonArray, JsonText, Param};
pub use raw_json::RawJson;
pub use records::{NotifyThrottle, QueueInfo, QueueMetrics, RoutingMatch, TopicBinding, TopicMessage};
pub use row::{CellError, Row};
pub use settings::Settings;
pub use statement::{Call, Form, Plan, Query, Statement};
pub use time::{Delay, VisibilityTimeout};
pub use version::{ParseVersionError, Version};
pub use {chrono, serde_json};
