//! Rows as Diesel returns them.

use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use diesel::deserialize::FromSql;
use diesel::pg::data_types::PgTimestamp;
use diesel::pg::{Pg, PgValue};
use diesel::row::{Field, Row as DriverRow, RowIndex};
use diesel::sql_types::{BigInt, Bool, Integer, Text, Timestamptz};
use pgmq_core::backend::{jsonb_text, timestamptz};
use pgmq_core::{CellError, Row};

use crate::param::JSONB;

// The OIDs of the column types.
const BOOL: u32 = 16;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const JSON: u32 = 114;
const VARCHAR: u32 = 1043;
const TIMESTAMPTZ: u32 = 1184;

/// Diesel's row.
pub struct DieselRow<'conn, R>(R, PhantomData<&'conn ()>);

impl<'conn, R: DriverRow<'conn, Pg>> DieselRow<'conn, R> {
    /// Wraps a row of Diesel's.
    pub fn new(row: R) -> Self {
        Self(row, PhantomData)
    }

    fn cell<ST, T: FromSql<ST, Pg>>(&self, column: usize, types: &[u32]) -> Result<Option<T>, CellError> {
        self.value(column, types, |value| T::from_sql(value))?.transpose()
    }

    /// Calls `read` with the value, if its type is one of these OIDs. Diesel itself would accept any type.
    fn value<V>(
        &self,
        column: usize,
        types: &[u32],
        read: impl FnOnce(PgValue<'_>) -> V,
    ) -> Result<Option<V>, CellError> {
        let field = DriverRow::get(&self.0, column).ok_or("the row has no such column")?;
        let Some(value) = field.value() else { return Ok(None) };
        let oid = value.get_oid().get();
        match types.contains(&oid) {
            true => Ok(Some(read(value))),
            false => Err(format!("the column has an unexpected type, whose OID is {oid}").into()),
        }
    }
}

impl<'conn, R: DriverRow<'conn, Pg>> Row for DieselRow<'conn, R> {
    fn column(&self, name: &str) -> Option<usize> {
        RowIndex::idx(&self.0, name)
    }

    fn bigint(&self, column: usize) -> Result<Option<i64>, CellError> {
        self.cell::<BigInt, _>(column, &[INT8])
    }

    fn int(&self, column: usize) -> Result<Option<i32>, CellError> {
        self.cell::<Integer, _>(column, &[INT4])
    }

    fn boolean(&self, column: usize) -> Result<Option<bool>, CellError> {
        self.cell::<Bool, _>(column, &[BOOL])
    }

    fn text(&self, column: usize) -> Result<Option<String>, CellError> {
        self.cell::<Text, _>(column, &[TEXT, VARCHAR, NAME])
    }

    fn timestamptz(&self, column: usize) -> Result<Option<DateTime<Utc>>, CellError> {
        Ok(self.cell::<Timestamptz, PgTimestamp>(column, &[TIMESTAMPTZ])?.map(|at| timestamptz(at.0)))
    }

    fn json<V>(&self, column: usize, read: impl FnOnce(&[u8]) -> V) -> Result<Option<V>, CellError> {
        let read = |value: PgValue<'_>| match value.get_oid().get() {
            JSON => Ok(read(value.as_bytes())),
            _ => jsonb_text(value.as_bytes()).map(read),
        };
        self.value(column, &[JSONB, JSON], read)?.transpose()
    }
}
