//! The parts of a back end's error.

use crate::error::{Error, Failure};
use crate::error_kind::ErrorKind;
use crate::message::Message;
use crate::raw_json::RawJson;

/// The facts that the variants of a back end's error have in common, for any type of cause.
pub trait Reported {
    /// The kind of error.
    fn kind(&self) -> ErrorKind;

    /// Returns `true` if the server may have done what the failed call asked for.
    fn is_in_doubt(&self) -> bool;

    /// All messages of the failed call as raw JSON, if one of them did not decode.
    fn undecoded(&self) -> &[Message<RawJson>];
}

impl Reported for Error {
    fn kind(&self) -> ErrorKind {
        self.kind()
    }

    fn is_in_doubt(&self) -> bool {
        false
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        self.undecoded()
    }
}

impl<E> Reported for Failure<E> {
    fn kind(&self) -> ErrorKind {
        self.kind()
    }

    fn is_in_doubt(&self) -> bool {
        self.is_in_doubt()
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        &[]
    }
}
