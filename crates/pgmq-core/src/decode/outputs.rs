//! The types of results: lists, options, nothing, and single values.

use crate::decode::cells::{mismatch, required};
use crate::decode::rows::{Output, Record};
use crate::error::Error;
use crate::row::Row;

/// The only record; `None` if there are more or fewer.
pub(crate) fn only<T>(mut records: Vec<T>) -> Option<T> {
    records.pop().filter(|_| records.is_empty())
}

impl<T: Record> Output for Vec<T> {
    type Record = T;

    const IS_LIST: bool = true;

    fn from_records(records: Vec<T>) -> Option<Self> {
        Some(records)
    }
}

impl<T: Record> Output for Option<T> {
    type Record = T;

    fn from_records(records: Vec<T>) -> Option<Self> {
        if records.is_empty() { Some(None) } else { only(records).map(Some) }
    }
}

/// The result of a function that returns nothing.
impl Output for () {
    type Record = ();

    fn from_records(_: Vec<()>) -> Option<Self> {
        Some(())
    }
}

impl Record for () {
    type Columns = ();

    fn columns<R: Row>(_: &R) {}

    fn decode<R: Row>(_: &R, (): &()) -> Result<Self, Error> {
        Ok(())
    }
}

/// Implements the results that are one value in one row.
macro_rules! scalars {
    ($($scalar:ty: $cell:ty),*) => {$(
        impl Output for $scalar {
            type Record = $scalar;

            fn from_records(records: Vec<$scalar>) -> Option<Self> {
                only(records)
            }
        }

        impl Record for $scalar {
            type Columns = ();

            fn columns<R: Row>(_: &R) {}

            fn decode<R: Row>(row: &R, (): &()) -> Result<Self, Error> {
                let cell: $cell = required(row, "result", Some(0))?;
                Self::try_from(cell).map_err(|error| mismatch("result").because(error))
            }
        }
    )*};
}

scalars!(bool: bool, i64: i64, u32: i32, u64: i64);
