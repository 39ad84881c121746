//! What a driver's row can give.

use chrono::{DateTime, Utc};

/// Why a value could not be taken from a row: the driver's own error.
pub type CellError = Box<dyn std::error::Error + Send + Sync>;

/// One row of a result, over a driver's own row type.
///
/// Columns are looked up by name once per result, and read by their place in each row. `Ok(None)` is SQL NULL.
///
/// # Errors
///
/// Each method fails when the column has another type than the one asked for, or there is none at this place.
#[allow(clippy::missing_errors_doc, reason = "the trait says it once for all of them")]
pub trait Row {
    /// The place of the column with this name.
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

    /// What `read` makes of the JSON text of a `jsonb`, in the row's own bytes. Not every driver lends them for longer.
    fn json<V>(&self, column: usize, read: impl FnOnce(&[u8]) -> V) -> Result<Option<V>, CellError>;
}
