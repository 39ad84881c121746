//! From the rows of a result to the value that an operation returns.

use crate::call::Context;
use crate::decode::sealed::Sealed;
use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::message::Message;
use crate::observer::received::ReceivedMessage;
use crate::raw_json::RawJson;
use crate::row::Row;

/// The result of an operation, made from the records that its rows decode to. Only types of this crate
/// implement it.
pub trait Output: Sealed + Sized + Send {
    /// The type that one row decodes to.
    type Record: Record;

    /// `true` if there can be more than one row.
    const IS_LIST: bool = false;

    /// The result of all records, in their order; `None` if there are too few or too many.
    fn from_records(records: Vec<Self::Record>) -> Option<Self>;

    /// The records of the result, for observers.
    fn records(&self) -> &[Self::Record];
}

/// The type that one row decodes to. Only types of this crate implement it.
pub trait Record: Sealed + Sized + Send {
    /// The positions of the record's columns in the result.
    type Columns: Send;

    /// Looks the columns up, once per result. Columns that came with a later PGMQ may be missing.
    fn columns<R: Row>(row: &R) -> Self::Columns;

    /// Decodes one row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`], if a required column is missing, or a value does not fit.
    fn decode<R: Row>(row: &R, columns: &Self::Columns) -> Result<Self, Error>;

    /// `true` if rows are kept until all of them have decoded, because the server may no longer return their
    /// messages.
    const KEPT: bool = false;

    /// The number of messages that the record stands for, in the result of an operation about messages.
    fn messages(&self) -> usize {
        1
    }

    /// The id of the message that the record stands for, if it has one.
    fn message_id(&self) -> Option<i64> {
        None
    }

    /// The message, if the record is one.
    fn received(&self) -> Option<ReceivedMessage<'_>> {
        None
    }

    /// The message in a row, not decoded. Called only if rows are [`KEPT`](Self::KEPT).
    fn undecoded<R: Row>(_row: &R, _columns: &Self::Columns) -> Option<Message<RawJson>> {
        None
    }
}

/// Decodes the rows of a statement one by one, as they arrive, and combines them to the result.
pub struct Rows<O: Output, R: Row> {
    sort: Option<fn(&mut [O::Record])>,
    columns: Option<<O::Record as Record>::Columns>,
    records: Vec<O::Record>,
    kept: Vec<R>,
    failed: Option<Error>,
}

impl<O: Output, R: Row> Rows<O, R> {
    pub(crate) fn new(sort: Option<fn(&mut [O::Record])>) -> Self {
        Self { sort, columns: None, records: Vec::new(), kept: Vec::new(), failed: None }
    }

    /// Decodes one row. A row that does not decode does not end the result, since later rows hold messages
    /// too.
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

    /// Makes the result, after the last row. An error reports `context`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`] with all messages of the result, if a row did not decode, or there are more or
    /// fewer rows than the operation returns.
    pub fn finish(mut self, context: impl FnOnce() -> Context) -> Result<O, Error> {
        let error = match self.failed.take() {
            Some(error) => error,
            None => {
                if let Some(sort) = self.sort {
                    sort(&mut self.records);
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

    /// All messages of the result, in the order in which a success would have returned them.
    fn undecoded(&self) -> Vec<Message<RawJson>> {
        let Some(columns) = &self.columns else { return Vec::new() };
        let mut undecoded: Vec<_> =
            self.kept.iter().filter_map(|row| O::Record::undecoded(row, columns)).collect();
        if self.sort.is_some() {
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
