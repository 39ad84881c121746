//! The classification of a failed query by its effect on the server.

/// The effect of a failed query that ran outside a transaction, as far as the failure proves it.
///
/// The server works message by message: parse, bind, describe, execute, sync. It reports the command as
/// complete when it has executed it, and commits at *sync*, after that. A report of its end (a FATAL error)
/// without "complete" before it therefore proves that nothing was committed. A connection that just breaks
/// proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The server has no such function. An older variant of the call may work.
    UnknownFunction,
    /// The server ended the session and committed nothing. Another connection may work.
    NotCommitted,
    /// The server does not accept writes on this session, and committed nothing. Another connection may work,
    /// if the server was read-only when this one was made.
    ReadOnly,
    /// The prepared statement is stale: the columns that it returns have changed since, or the server has
    /// forgotten it. The server committed nothing, and the statement may work when it is prepared again.
    StalePlan,
    /// The server rolled the query back because of a concurrent one. The same query may work.
    NotSerializable,
    /// The server ended the session because of a limit, and committed nothing. The query would reach the
    /// limit again.
    SessionEnded,
    /// The connection was lost, and the query may have been committed.
    Lost,
    /// The query failed on a connection that is still usable.
    Other,
}

impl FailureClass {
    /// Returns `true` if the server may have committed the query.
    pub fn is_in_doubt(self) -> bool {
        self == Self::Lost
    }
}
