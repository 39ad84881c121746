//! Isolation levels, as the driver names them.

use pgmq_core::IsolationLevel;

/// The driver's name of an isolation level.
pub fn isolation_level(level: IsolationLevel) -> tokio_postgres::IsolationLevel {
    match level {
        IsolationLevel::ReadCommitted => tokio_postgres::IsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead => tokio_postgres::IsolationLevel::RepeatableRead,
        IsolationLevel::Serializable => tokio_postgres::IsolationLevel::Serializable,
    }
}
