//! The look at a server, decoded from rows.

use crate::decode::cells::{record, required};
use crate::decode::rows::Record;
use crate::error::Error;
use crate::installation::{RecordedVersion, ServerLook};
use crate::row::Row;

record!(ServerLook {
    extension_version: optional,
    is_installed: required,
    is_recorded: required,
    is_available: required,
    at_least: optional,
});

impl Record for RecordedVersion {
    type Columns = Option<usize>;

    fn columns<R: Row>(row: &R) -> Self::Columns {
        row.column("version")
    }

    fn decode<R: Row>(row: &R, version: &Self::Columns) -> Result<Self, Error> {
        required(row, "version", *version).map(Self)
    }
}
