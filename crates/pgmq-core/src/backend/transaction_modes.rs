//! The modes of a transaction, for the drivers that take them one by one, and as SQL for the others.

use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::transaction_options::{IsolationLevel, TransactionOptions};

/// The modes that a transaction begins with. `None` leaves a mode to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionModes {
    /// The isolation level.
    pub isolation: Option<IsolationLevel>,
    /// `true` for `READ ONLY`, `false` for `READ WRITE`.
    pub read_only: Option<bool>,
    /// `true` for `DEFERRABLE`, `false` for `NOT DEFERRABLE`.
    pub deferrable: Option<bool>,
}

impl From<&TransactionOptions> for TransactionModes {
    fn from(options: &TransactionOptions) -> Self {
        let TransactionOptions { isolation, read_only, deferrable } = *options;
        Self { isolation, read_only, deferrable }
    }
}

impl TransactionModes {
    /// The statement that begins a transaction with these modes, for a simple query. `None` if all modes are
    /// left to the session, so that the driver's own statement does.
    pub fn begin(&self) -> Option<String> {
        let isolation = self.isolation.map(|level| match level {
            IsolationLevel::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
            IsolationLevel::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
            IsolationLevel::Serializable => "ISOLATION LEVEL SERIALIZABLE",
        });
        let access = self.read_only.map(|read_only| if read_only { "READ ONLY" } else { "READ WRITE" });
        let deferrable =
            self.deferrable.map(|deferrable| if deferrable { "DEFERRABLE" } else { "NOT DEFERRABLE" });
        let modes: Vec<_> = [isolation, access, deferrable].into_iter().flatten().collect();
        (!modes.is_empty()).then(|| format!("BEGIN {}", modes.join(", ")))
    }
}

/// The error of a transaction with options in a session that is in a transaction already.
pub fn savepoint_takes_no_options() -> Error {
    let text = "the session is in a transaction already, such as a test transaction, and a savepoint takes no options; use `transaction` there";
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_begins_with_the_modes_that_are_set() {
        let begin = |options: TransactionOptions| TransactionModes::from(&options).begin();
        let options = TransactionOptions::new();
        assert_eq!(begin(options), None);
        assert_eq!(begin(options.read_only(false)).unwrap(), "BEGIN READ WRITE");
        assert_eq!(
            begin(options.isolation(IsolationLevel::RepeatableRead).deferrable(false)).unwrap(),
            "BEGIN ISOLATION LEVEL REPEATABLE READ, NOT DEFERRABLE"
        );
        assert_eq!(
            begin(options.deferrable(true).read_only(true).isolation(IsolationLevel::Serializable)).unwrap(),
            "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE"
        );
        assert_eq!(
            begin(options.isolation(IsolationLevel::ReadCommitted)).unwrap(),
            "BEGIN ISOLATION LEVEL READ COMMITTED"
        );
    }
}
