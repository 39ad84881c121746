//! Events that a person should hear of, for subscribers of `tracing`. Without the feature of that name, these
//! functions do nothing.

#![cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "the arguments are for `tracing`"))]

use std::time::Duration;

use crate::call::Call;

/// A listener has lost its connection, and connects again after a pause.
pub(crate) fn listener_is_lost(pause: Duration) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "pgmq", ?pause, "a listener has lost its connection, and connects again");
}

/// A listener could not connect, and tries again after a pause.
pub(crate) fn listener_is_refused(pause: Duration) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "pgmq", ?pause, "a listener cannot connect, and tries again");
}

/// A listener has connected again.
pub(crate) fn listener_is_back() {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "pgmq", "a listener has connected again; notifications may have been missed");
}

/// A query runs on another connection, which is safe since the server has committed nothing of it.
pub(crate) fn query_moves(call: Option<Call>, reason: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "pgmq",
        operation = call.map(|call| call.operation),
        reason,
        "an operation runs again on another connection; the server had committed nothing"
    );
}

/// A query runs again on the same connection.
pub(crate) fn query_runs_again(call: Option<Call>, reason: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "pgmq", operation = call.map(|call| call.operation), reason, "an operation runs again");
}
