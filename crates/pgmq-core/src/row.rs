//! The interface of a driver's row.

use chrono::{DateTime, Utc};

/// The driver's error for a value that cannot be read from a row.
pub type CellError = Box<dyn std::error::Error + Send + Sync>;

/// One row of a result, over a driver's own row type.
///
/// A decoder looks columns up by name once per result, and reads them by position in each row. `Ok(None)` is
/// SQL NULL.
///
/// # Errors
///
/// Each method returns a [`CellError`], if the column has another type than the one asked for, or there is no
/// column at this position.
#[allow(clippy::missing_errors_doc, reason = "the trait documents the errors of all methods")]
pub trait Row {
    /// The position of the column with this name, if there is one.
    fn column(&self, name: &str) -> Option<usize>;

    /// A `bigint`.
    fn bigint(&self, column: usize) -> Result<Option<i64>, CellError>;

    /// An `integer`.
    fn int(&self, column: usize) -> Result<Option<i32>, CellError>;

    /// A `boolean`.
    fn boolean(&self, column: usize) -> Result<Option<bool>, CellError>;

    /// A `text` or `varchar`.
    fn text(&self, column: usize) -> Result<Option<String>, CellError>;

    /// A `timestamptz`.
    fn timestamptz(&self, column: usize) -> Result<Option<DateTime<Utc>>, CellError>;

    /// Calls `read` with the JSON text of a `jsonb`, and returns the result. The text is borrowed from the
    /// row for the call only, because not every driver lends it for longer.
    fn json<V>(&self, column: usize, read: impl FnOnce(&[u8]) -> V) -> Result<Option<V>, CellError>;
}
