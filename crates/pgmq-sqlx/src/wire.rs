//! Parameters and rows as the driver sends and receives them.

use pgmq_core::backend::{jsonb_text, timestamptz};
use pgmq_core::{CellError, JsonArray, JsonText, Param, Row};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef, Postgres,
};
use sqlx::types::Json;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Arguments, Column, Decode, Encode, Row as _, Type, TypeInfo, ValueRef};

/// The parameters of a query, in the driver's buffer.
pub(crate) fn arguments(params: &[Param<'_>]) -> Result<PgArguments, BoxDynError> {
    let mut arguments = PgArguments::default();
    for param in params {
        match param {
            Param::Text(text) => arguments.add(text.as_ref())?,
            Param::Int4(int) => arguments.add(int)?,
            Param::Int8(int) => arguments.add(int)?,
            Param::Int8Array(ints) => arguments.add(ints)?,
            Param::Timestamptz(at) => arguments.add(at)?,
            Param::Jsonb(json) => arguments.add(Jsonb::new(json))?,
            Param::JsonbArray(values) => arguments.add(Jsonb::all_of(values))?,
        }
    }
    Ok(arguments)
}

/// The text of a `jsonb`, sent unchanged.
struct Jsonb<'t>(&'t [u8]);

impl<'t> Jsonb<'t> {
    fn new(json: &'t JsonText) -> Self {
        Self(json.as_bytes())
    }

    fn all_of(values: &'t JsonArray) -> Vec<Option<Self>> {
        values.iter().map(|text| text.map(Self)).collect()
    }
}

impl Type<Postgres> for Jsonb<'_> {
    fn type_info() -> PgTypeInfo {
        Json::<()>::type_info()
    }
}

impl PgHasArrayType for Jsonb<'_> {
    fn array_type_info() -> PgTypeInfo {
        Json::<()>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Jsonb<'_> {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        // The binary format of `jsonb` is a version number, which is 1, and the JSON text.
        buf.push(1);
        buf.extend_from_slice(self.0);
        Ok(IsNull::No)
    }
}

/// A `timestamptz`, also one that the type of `chrono` cannot hold.
struct Timestamptz(DateTime<Utc>);

impl Type<Postgres> for Timestamptz {
    fn type_info() -> PgTypeInfo {
        DateTime::<Utc>::type_info()
    }
}

impl Decode<'_, Postgres> for Timestamptz {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(timestamptz(i64::from_be_bytes(value.as_bytes()?.try_into()?))))
    }
}

/// The driver's row, with all values in the binary format.
pub(crate) struct SqlxRow(pub(crate) PgRow);

impl SqlxRow {
    fn cell<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
        &'r self,
        column: usize,
    ) -> Result<Option<T>, CellError> {
        Ok(self.0.try_get(column)?)
    }
}

impl Row for SqlxRow {
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
        let value = self.0.try_get_raw(column)?;
        if value.is_null() {
            return Ok(None);
        }
        let sql_type = value.type_info();
        match sql_type.name() {
            "JSON" => Ok(Some(read(value.as_bytes()?))),
            "JSONB" => Ok(Some(read(jsonb_text(value.as_bytes()?)?))),
            other => Err(format!("the column is {other}, not JSONB").into()),
        }
    }
}
