//! The names that the table of operations uses. For back ends, which expand it.

pub use std::time::Duration;

pub use serde::Serialize;
pub use serde::de::DeserializeOwned;

pub use crate::{
    ArchivePartitionOptions, ArchivedMessage, Delay, Message, NotifyOptions, NotifyThrottle,
    PartitionOptions, PollOptions, QueueInfo, QueueMetrics, ReadOptions, RoutingMatch, SendBatchOptions,
    SendOptions, TopicBinding, TopicMessage, VisibilityTimeout,
};
