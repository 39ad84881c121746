//! The names that the table of operations uses, for the modules that expand it.

pub use std::future::Future;
pub use std::time::Duration;

pub use serde::Serialize;
pub use serde::de::DeserializeOwned;

pub use crate::claim::{Claim, Move};
pub use crate::message::{ArchivedMessage, Message};
pub use crate::options::{
    ArchivePartitionOptions, NotifyOptions, PartitionOptions, PollOptions, ReadOptions, SendBatchOptions,
    SendOptions,
};
pub use crate::records::{
    Moved, NotifyThrottle, QueueInfo, QueueMetrics, RoutingMatch, TopicBinding, TopicMessage,
};
pub use crate::time::{Delay, VisibilityTimeout};
