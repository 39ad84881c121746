//! The names that every back end re-exports: messages, options, results and errors.

pub use crate::claim::{Claim, Move};
pub use crate::decode::Output;
pub use crate::error::{Failure, QueueError};
pub use crate::error_kind::ErrorKind;
pub use crate::installation::{Installation, InstallationSource};
pub use crate::message::{ArchivedMessage, Message};
pub use crate::notification::Notification;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use crate::observer::TracingObserver;
pub use crate::observer::received::ReceivedMessage;
pub use crate::observer::{
    Ended, Failed, Observation, Observer, OperationKind, ServerAddress, Started, Succeeded, TraceContext,
};
pub use crate::options::{
    ArchivePartitionOptions, NotifyOptions, PartitionInterval, PartitionOptions, PollOptions, ReadOptions,
    SendBatchOptions, SendOptions,
};
pub use crate::pool_error::PoolError;
pub use crate::raw_json::RawJson;
pub use crate::records::{
    Moved, NotifyThrottle, QueueInfo, QueueMetrics, RoutingMatch, TopicBinding, TopicMessage,
};
pub use crate::time::{Delay, VisibilityTimeout};
pub use crate::transaction_options::{IsolationLevel, TransactionOptions};
pub use crate::version::{ParseVersionError, Version};
