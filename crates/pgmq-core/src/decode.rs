//! From rows to results: the one place where what the server returned is decoded.

use chrono::{DateTime, Utc};

use crate::row::CellError;
use crate::{Context, Error, ErrorKind, Message, RawJson, Row};

/// What an operation returns: made from the records that its rows decode to.
pub trait Output: Sized + Send {
    /// What one row decodes to.
    type Record: Record;

    /// The result of all records in their order; `None` if there are too few, or too many.
    fn from_records(records: Vec<Self::Record>) -> Option<Self>;
}

/// What one row decodes to.
pub trait Record: Sized + Send {
    /// Where its columns stand in the result.
    type Columns: Send;

    /// Looks the columns up, once per result. Those that came with a later PGMQ may be missing.
    fn columns<R: Row>(row: &R) -> Self::Columns;

    /// Decodes one row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`], when a column that has to be there is not, or a value does not fit.
    fn decode<R: Row>(row: &R, columns: &Self::Columns) -> Result<Self, Error>;

    /// Whether rows are kept until all have decoded, because the server no longer has what they hold.
    const KEPT: bool = false;

    /// The message in a row, not decoded. Only asked for where rows are [`KEPT`](Self::KEPT).
    fn undecoded<R: Row>(_row: &R, _columns: &Self::Columns) -> Option<Message<RawJson>> {
        None
    }
}

/// Puts records into the order in which they are returned.
pub(crate) type Arrange<O> = fn(&mut [<O as Output>::Record]);

/// Takes the rows of a statement one by one, as they arrive, and makes them into its result.
pub struct Rows<O: Output, R: Row> {
    arrange: Option<Arrange<O>>,
    columns: Option<<O::Record as Record>::Columns>,
    records: Vec<O::Record>,
    kept: Vec<R>,
    failed: Option<Error>,
}

impl<O: Output, R: Row> Rows<O, R> {
    pub(crate) fn new(arrange: Option<Arrange<O>>) -> Self {
        Self { arrange, columns: None, records: Vec::new(), kept: Vec::new(), failed: None }
    }

    /// Decodes one row. A row that does not decode is no reason to stop: the rows behind it hold messages too.
    pub fn push(&mut self, row: R) {
        let columns = self.columns.get_or_insert_with(|| O::Record::columns(&row));
        if self.failed.is_none() {
            match O::Record::decode(&row, columns) {
                Ok(record) => self.records.push(record),
                Err(error) => self.failed = Some(error),
            }
        }
        if O::Record::KEPT {
            self.kept.push(row);
        }
    }

    /// The result, after the last row. An error says `context`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] with all messages of the result, when one of its rows did not decode, or there are more rows than
    /// the operation returns, or fewer.
    pub fn finish(mut self, context: impl FnOnce() -> Context) -> Result<O, Error> {
        let error = match self.failed.take() {
            Some(error) => error,
            None => {
                if let Some(arrange) = self.arrange {
                    arrange(&mut self.records);
                }
                let count = self.records.len();
                match O::from_records(std::mem::take(&mut self.records)) {
                    Some(output) => return Ok(output),
                    None => wrong_number(count),
                }
            }
        };
        Err(error.during(context()).carrying(self.undecoded()))
    }

    /// All messages of the result, in the order in which they would have been returned.
    fn undecoded(&self) -> Vec<Message<RawJson>> {
        let Some(columns) = &self.columns else { return Vec::new() };
        let mut undecoded: Vec<_> =
            self.kept.iter().filter_map(|row| O::Record::undecoded(row, columns)).collect();
        if self.arrange.is_some() {
            undecoded.sort_by_key(|message| message.msg_id);
        }
        undecoded
    }
}

fn wrong_number(rows: usize) -> Error {
    let text = match rows {
        0 => "the server returned no row".to_owned(),
        _ => format!("the server returned {rows} rows instead of one"),
    };
    Error::new(ErrorKind::Decode, text)
}

/// The only one of the records.
pub(crate) fn only<T>(mut records: Vec<T>) -> Option<T> {
    records.pop().filter(|_| records.is_empty())
}

impl<T: Record> Output for Vec<T> {
    type Record = T;

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

/// Results that are one value in one row.
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

/// A type of value that a column can have.
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

/// The value of a column that has to be there and not be NULL.
pub(crate) fn required<C: Cell>(row: &impl Row, name: &str, column: Option<usize>) -> Result<C, Error> {
    let missing = |what| Error::new(ErrorKind::Decode, format!("the column {name:?} {what}"));
    let column = column.ok_or_else(|| missing("is missing"))?;
    let cell = C::get(row, column).map_err(|error| mismatch(name).because(error))?;
    cell.ok_or_else(|| missing("is NULL"))
}

/// The value of a column that may be NULL, or be missing because it came with a later PGMQ.
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

fn mismatch(name: &str) -> Error {
    Error::new(ErrorKind::Decode, format!("the column {name:?} does not fit its type"))
}

/// Makes a struct a [`Record`] whose fields are columns of the same name.
macro_rules! record {
    ($record:ident { $($field:ident: $presence:ident),* $(,)? }) => {
        impl $crate::decode::Record for $record {
            type Columns = [Option<usize>; [$(stringify!($field)),*].len()];

            fn columns<R: $crate::Row>(row: &R) -> Self::Columns {
                [$(row.column(stringify!($field))),*]
            }

            fn decode<R: $crate::Row>(row: &R, columns: &Self::Columns) -> Result<Self, $crate::Error> {
                let [$($field),*] = *columns;
                Ok(Self { $($field: $crate::decode::$presence(row, stringify!($field), $field)?),* })
            }
        }
    };
}

pub(crate) use record;

#[cfg(test)]
pub(crate) mod tests;
