//! Rows as the driver returns them.

use chrono::{DateTime, Utc};
use pgmq_core::backend::{jsonb_text, timestamptz};
use pgmq_core::{CellError, Row};
use postgres_protocol::types::timestamp_from_sql;
use postgres_types::{FromSql, Type};
use tokio_postgres::Row as DriverRow;

/// The driver's row.
pub struct TokioRow(pub DriverRow);

impl TokioRow {
    fn cell<'r, T: FromSql<'r>>(&'r self, column: usize) -> Result<Option<T>, CellError> {
        Ok(self.0.try_get(column)?)
    }
}

impl Row for TokioRow {
    fn column(&self, name: &str) -> Option<usize> {
        self.0.columns().iter().position(|column| column.name() == name)
    }

    fn bigint(&self, column: usize) -> Result<Option<i64>, CellError> {
        self.cell(column)
    }

    fn int(&self, column: usize) -> Result<Option<i32>, CellError> {
        self.cell(column)
    }

    fn boolean(&self, column: usize) -> Result<Option<bool>, CellError> {
        self.cell(column)
    }

    fn text(&self, column: usize) -> Result<Option<String>, CellError> {
        self.cell(column)
    }

    fn timestamptz(&self, column: usize) -> Result<Option<DateTime<Utc>>, CellError> {
        Ok(self.cell::<Timestamptz>(column)?.map(|at| at.0))
    }

    fn json<V>(&self, column: usize, read: impl FnOnce(&[u8]) -> V) -> Result<Option<V>, CellError> {
        Ok(self.cell::<JsonbText<'_>>(column)?.map(|text| read(text.0)))
    }
}

/// A `timestamptz`, which may be outside the range of `chrono`.
struct Timestamptz(DateTime<Utc>);

impl<'r> FromSql<'r> for Timestamptz {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, CellError> {
        Ok(Self(timestamptz(timestamp_from_sql(raw)?)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

/// The text of a `jsonb` (or `json`), borrowed from the row.
struct JsonbText<'r>(&'r [u8]);

impl<'r> FromSql<'r> for JsonbText<'r> {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, CellError> {
        Ok(Self(if *ty == Type::JSON { raw } else { jsonb_text(raw)? }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::JSONB | Type::JSON)
    }
}
