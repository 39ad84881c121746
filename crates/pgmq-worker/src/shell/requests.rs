//! The requests of a lane to its tasks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::AbortRegistration;
use pgmq_core::Claim;

use crate::machine::command::{BatchId, Settlement};
use crate::meta::Meta;
use crate::verdict::Kept;

/// Messages for a handler, and the registration by which it can be stopped.
pub(crate) struct Work {
    pub(crate) jobs: Vec<Arc<Meta>>,
    pub(crate) abort: AbortRegistration,
}

/// A settlement for the server.
pub(crate) struct Settling {
    pub(crate) batch: BatchId,
    pub(crate) what: Settlement,
    /// The messages, if the statement needs more than their claims.
    pub(crate) held: Vec<(Arc<Meta>, Kept)>,
}

/// Leases to extend, counted from `asked`.
pub(crate) struct Beat {
    pub(crate) batch: BatchId,
    pub(crate) claims: Vec<Claim>,
    /// Messages that their handlers are finishing: they are hidden without an extension.
    pub(crate) finishing: Vec<i64>,
    pub(crate) vt: Duration,
    pub(crate) asked: Instant,
    /// The time by which the extension is late.
    pub(crate) late: Duration,
}
