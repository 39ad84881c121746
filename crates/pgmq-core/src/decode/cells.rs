//! The values in the columns of a row.

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::raw_json::RawJson;
use crate::row::{CellError, Row};

/// A type of value that a column can hold.
pub(crate) trait Cell: Sized {
    fn get<R: Row>(row: &R, column: usize) -> Result<Option<Self>, CellError>;
}

macro_rules! cells {
    ($($cell:ty: $method:ident),*) => {$(
        impl Cell for $cell {
            fn get<R: Row>(row: &R, column: usize) -> Result<Option<Self>, CellError> {
                row.$method(column)
            }
        }
    )*};
}

cells!(i64: bigint, i32: int, bool: boolean, String: text, DateTime<Utc>: timestamptz);

impl Cell for RawJson {
    fn get<R: Row>(row: &R, column: usize) -> Result<Option<Self>, CellError> {
        Ok(row.json(column, Self::from_slice)?.transpose()?)
    }
}

/// The value of a column that must be present and must not be NULL.
pub(crate) fn required<C: Cell>(row: &impl Row, name: &str, column: Option<usize>) -> Result<C, Error> {
    let missing = |problem| Error::new(ErrorKind::Decode, format!("the column {name:?} {problem}"));
    let column = column.ok_or_else(|| missing("is missing"))?;
    let cell = C::get(row, column).map_err(|error| mismatch(name).because(error))?;
    cell.ok_or_else(|| missing("is NULL"))
}

/// The value of a column that may be NULL, or missing because it came with a later PGMQ.
pub(crate) fn optional<C: Cell>(
    row: &impl Row,
    name: &str,
    column: Option<usize>,
) -> Result<Option<C>, Error> {
    match column {
        Some(column) => C::get(row, column).map_err(|error| mismatch(name).because(error)),
        None => Ok(None),
    }
}

pub(crate) fn mismatch(name: &str) -> Error {
    Error::new(ErrorKind::Decode, format!("the column {name:?} does not have a value of the expected type"))
}

/// Implements `Record` for a struct whose fields have the names of columns.
macro_rules! record {
    ($record:ident { $($field:ident: $presence:ident),* $(,)? }) => {
        impl $crate::decode::rows::Record for $record {
            type Columns = [Option<usize>; [$(stringify!($field)),*].len()];

            fn columns<R: $crate::row::Row>(row: &R) -> Self::Columns {
                [$(row.column(stringify!($field))),*]
            }

            fn decode<R: $crate::row::Row>(row: &R, columns: &Self::Columns) -> Result<Self, $crate::error::Error> {
                let [$($field),*] = *columns;
                Ok(Self { $($field: $crate::decode::cells::$presence(row, stringify!($field), $field)?),* })
            }
        }
    };
}

pub(crate) use record;
