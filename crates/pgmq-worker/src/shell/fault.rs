//! The error of a back end, of which the shell knows the kind and shows the text.

use std::fmt;
use std::sync::Arc;

use pgmq_core::{ErrorKind, QueueError};

use crate::machine::event::Fault;

/// The error of a back end. Cloning it shares the error.
#[derive(Clone)]
pub struct DatabaseError {
    kind: ErrorKind,
    source: Arc<dyn QueueError>,
}

impl DatabaseError {
    pub(crate) fn new(error: impl QueueError) -> Self {
        Self { kind: error.kind(), source: Arc::new(error) }
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error of the back end.
    pub fn get_ref(&self) -> &(dyn QueueError + 'static) {
        &*self.source
    }

    pub(crate) fn fault(&self) -> Fault {
        if self.source.is_transient() { Fault::Transient } else { Fault::Lasting }
    }

    /// The fault of a settlement. What is wrong with the whole queue or with the server is no fault of a
    /// message, and the settlement is repeated until it works.
    pub(crate) fn fault_of_settlement(&self) -> Fault {
        let is_of_message = match self.kind {
            ErrorKind::InvalidArgument | ErrorKind::Encode | ErrorKind::Decode | ErrorKind::Unsupported => {
                true
            }
            // Not enough resources, and errors of the system.
            ErrorKind::Database => {
                !self.source.sqlstate().is_some_and(|code| code.starts_with("53") || code.starts_with("58"))
            }
            _ => false,
        };
        if is_of_message { Fault::Lasting } else { Fault::Transient }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

impl fmt::Debug for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl std::error::Error for DatabaseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// The reason for which a call has no result.
pub(crate) enum Failed {
    /// The database returned an error.
    Database(DatabaseError),
    /// There is no answer in time, or the back end has panicked.
    NoAnswer,
    /// The lane has stopped, and the call was dropped.
    Stopped,
}

impl Failed {
    /// The kind of the error, if there is an answer.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Database(error) => Some(error.kind()),
            Self::NoAnswer | Self::Stopped => None,
        }
    }

    /// Returns `true` if a queue that the call names is not there.
    pub(crate) fn is_missing_queue(&self) -> bool {
        matches!(self, Self::Database(error) if error.kind() == ErrorKind::QueueNotFound)
    }

    /// Returns `true` if a queue that the call names is not there, or must not be used.
    pub(crate) fn is_of_queue(&self) -> bool {
        let kinds = [ErrorKind::QueueNotFound, ErrorKind::PermissionDenied];
        matches!(self, Self::Database(error) if kinds.contains(&error.kind()))
    }

    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Database(error) => error.fault(),
            Self::NoAnswer | Self::Stopped => Fault::Transient,
        }
    }

    pub(crate) fn fault_of_settlement(&self) -> Fault {
        match self {
            Self::Database(error) => error.fault_of_settlement(),
            Self::NoAnswer | Self::Stopped => Fault::Transient,
        }
    }
}
