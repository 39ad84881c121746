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

    fn records(&self) -> &[T] {
        self
    }
}

impl<T: Record> Output for Option<T> {
    type Record = T;

    fn from_records(records: Vec<T>) -> Option<Self> {
        if records.is_empty() { Some(None) } else { only(records).map(Some) }
    }

    fn records(&self) -> &[T] {
        self.as_slice()
    }
}

/// The result of a function that returns nothing.
impl Output for () {
    type Record = ();

    fn from_records(_: Vec<()>) -> Option<Self> {
        Some(())
    }

    fn records(&self) -> &[()] {
        &[]
    }
}

impl Record for () {
    type Columns = ();

    fn columns<R: Row>(_: &R) {}

    fn decode<R: Row>(_: &R, (): &()) -> Result<Self, Error> {
        Ok(())
    }
}

/// Implements the results that are one value in one row: with the type of the cell, and the number of
/// messages that the value stands for and the id of the only one.
macro_rules! scalars {
    ($($scalar:ty: $cell:ty, $value:ident stands for $messages_and_id:expr;)*) => {$(
        impl Output for $scalar {
            type Record = $scalar;

            fn from_records(records: Vec<$scalar>) -> Option<Self> {
                only(records)
            }

            fn records(&self) -> &[$scalar] {
                std::slice::from_ref(self)
            }
        }

        impl Record for $scalar {
            type Columns = ();

            fn columns<R: Row>(_: &R) {}

            fn decode<R: Row>(row: &R, (): &()) -> Result<Self, Error> {
                let cell: $cell = required(row, "result", Some(0))?;
                Self::try_from(cell).map_err(|error| mismatch("result").because(error))
            }

            fn messages(&self) -> usize {
                let $value = *self;
                let (messages, _): (usize, Option<i64>) = $messages_and_id;
                messages
            }

            fn message_id(&self) -> Option<i64> {
                let $value = *self;
                let (_, id): (usize, Option<i64>) = $messages_and_id;
                id
            }
        }
    )*};
}

scalars! {
    bool: bool, found stands for (usize::from(found), None);
    i64: i64, id stands for (1, Some(id));
    u32: i32, number stands for (usize::try_from(number).unwrap_or(usize::MAX), None);
    u64: i64, number stands for (usize::try_from(number).unwrap_or(usize::MAX), None);
}
