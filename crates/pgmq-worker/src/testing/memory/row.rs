//! Rows of results, as a driver would return them.

use chrono::{DateTime, Utc};
use pgmq_core::{CellError, Row};

/// A value in a row.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Null,
    Bigint(i64),
    Int(i32),
    Boolean(bool),
    Text(String),
    Time(DateTime<Utc>),
    Json(Box<[u8]>),
}

/// A row: the names of the columns, and the values.
pub(super) type Columns = Vec<(&'static str, Cell)>;

/// A row of a result.
pub(super) struct MemoryRow(pub(super) Columns);

impl MemoryRow {
    /// The value, unless it is NULL.
    fn cell(&self, column: usize) -> Result<Option<&Cell>, CellError> {
        match self.0.get(column) {
            Some((_, Cell::Null)) => Ok(None),
            Some((_, cell)) => Ok(Some(cell)),
            None => Err(format!("there is no column {column}").into()),
        }
    }
}

fn other_type<T>(cell: &Cell) -> Result<T, CellError> {
    Err(format!("the value is {cell:?}").into())
}

/// The method that reads one type of values.
macro_rules! reads {
    ($method:ident, $variant:ident, $type:ty) => {
        fn $method(&self, column: usize) -> Result<Option<$type>, CellError> {
            match self.cell(column)? {
                Some(Cell::$variant(value)) => Ok(Some(value.clone())),
                Some(other) => other_type(other),
                None => Ok(None),
            }
        }
    };
}

impl Row for MemoryRow {
    fn column(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(column, _)| *column == name)
    }

    reads!(bigint, Bigint, i64);
    reads!(int, Int, i32);
    reads!(boolean, Boolean, bool);
    reads!(text, Text, String);
    reads!(timestamptz, Time, DateTime<Utc>);

    fn json<V>(&self, column: usize, read: impl FnOnce(&[u8]) -> V) -> Result<Option<V>, CellError> {
        match self.cell(column)? {
            Some(Cell::Json(text)) => Ok(Some(read(text))),
            Some(other) => other_type(other),
            None => Ok(None),
        }
    }
}
