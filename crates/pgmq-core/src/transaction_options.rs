//! Options of a transaction, which `PGMQueue::transaction_with` takes.

/// The isolation level of a transaction.
///
/// Postgres runs `READ UNCOMMITTED` as [`ReadCommitted`](Self::ReadCommitted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// Each statement sees what was committed before the statement began.
    ReadCommitted,
    /// All statements see what was committed before the first one began. A statement that changes a row which
    /// another transaction has changed since fails with SQLSTATE `40001`, of kind
    /// [`Conflict`](crate::ErrorKind::Conflict).
    RepeatableRead,
    /// The transactions that commit have the same effect as if they had run one after the other. Each of
    /// them, and also the commit, can fail with SQLSTATE `40001`, of kind
    /// [`Conflict`](crate::ErrorKind::Conflict).
    Serializable,
}

/// Options of `transaction_with`.
///
/// A mode that is not set has the session's default: `default_transaction_isolation`,
/// `default_transaction_read_only` or `default_transaction_deferrable`.
///
/// ```
/// use pgmq_core::{IsolationLevel, TransactionOptions};
///
/// let options = TransactionOptions::new().isolation(IsolationLevel::Serializable).read_only(true);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransactionOptions {
    pub(crate) isolation: Option<IsolationLevel>,
    pub(crate) read_only: Option<bool>,
    pub(crate) deferrable: Option<bool>,
}

impl TransactionOptions {
    /// Creates options with which all modes have the session's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the isolation level.
    #[must_use]
    pub fn isolation(mut self, level: IsolationLevel) -> Self {
        self.isolation = Some(level);
        self
    }

    /// Sets whether the transaction refuses writes, with SQLSTATE `25006`, of kind
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly).
    ///
    /// The operations that send, read, finish or hide messages write. The ones that look at messages, queues
    /// and metrics do not.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = Some(read_only);
        self
    }

    /// Sets whether a transaction that is both serializable and read-only waits, in its first statement,
    /// until it can run without a serialization failure. The option has no effect on other transactions.
    ///
    /// The wait ends with the transactions that were running when it began, and has no other limit.
    #[must_use]
    pub fn deferrable(mut self, deferrable: bool) -> Self {
        self.deferrable = Some(deferrable);
        self
    }
}
