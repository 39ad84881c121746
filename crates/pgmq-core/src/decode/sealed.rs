//! The seal of the traits of results. A later release may add a method to these traits.

use std::time::Duration;

use crate::installation::{RecordedVersion, ServerLook};
use crate::message::{ArchivedMessage, Message};
use crate::records::{
    Moved, NotifyThrottle, QueueInfo, QueueMetrics, RoutingMatch, TopicBinding, TopicMessage,
};

/// The types of results, which other crates cannot add to.
pub trait Sealed {}

impl<T: Sealed> Sealed for Vec<T> {}
impl<T: Sealed> Sealed for Option<T> {}
impl<T> Sealed for Message<T> {}
impl<T> Sealed for ArchivedMessage<T> {}

macro_rules! sealed {
    ($($type:ty),*) => { $(impl Sealed for $type {})* };
}

sealed!((), bool, i64, u32, u64, Duration);
sealed!(Moved, NotifyThrottle, QueueInfo, QueueMetrics, RoutingMatch, TopicBinding, TopicMessage);
sealed!(RecordedVersion, ServerLook);
