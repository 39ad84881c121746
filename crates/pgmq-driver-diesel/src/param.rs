//! Parameters in the binary format of the wire.

use std::fmt;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Timestamptz};
use pgmq_core::{JsonArray, Param};

/// The OID of `jsonb`.
pub(crate) const JSONB: u32 = 3802;

/// The version number that precedes the JSON text of a `jsonb`.
const VERSION: &[u8] = &[1];

/// Writes a `jsonb`.
pub(crate) fn write_jsonb(text: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(VERSION)?;
    out.write_all(text)
}

/// A parameter of a statement, in the form in which Diesel binds it.
#[derive(Clone, Copy)]
pub(crate) struct SqlParam<'q>(pub(crate) &'q Param<'q>);

impl SqlParam<'_> {
    /// Binds the parameter as the SQL type to which the statement casts it.
    pub(crate) fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self.0 {
            Param::Text(text) => out.push_bind_param::<Text, str>(text.as_ref()),
            Param::Int4(int) => out.push_bind_param::<Integer, i32>(int),
            Param::Int8(int) => out.push_bind_param::<BigInt, i64>(int),
            Param::Int8Array(ints) => out.push_bind_param::<Array<BigInt>, Vec<i64>>(ints),
            Param::Timestamptz(at) => out.push_bind_param::<Timestamptz, DateTime<Utc>>(at),
            Param::Jsonb(_) => out.push_bind_param::<Jsonb, Self>(self),
            Param::JsonbArray(_) => out.push_bind_param::<Array<Nullable<Jsonb>>, Self>(self),
        }
    }
}

impl fmt::Debug for SqlParam<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Param::Jsonb(json) => json.fmt(f),
            Param::JsonbArray(values) => values.fmt(f),
            other => other.fmt(f),
        }
    }
}

impl ToSql<Jsonb, Pg> for SqlParam<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        match self.0 {
            Param::Jsonb(json) => {
                write_jsonb(json.as_bytes(), out)?;
                Ok(IsNull::No)
            }
            _ => mismatch(),
        }
    }
}

impl ToSql<Array<Nullable<Jsonb>>, Pg> for SqlParam<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        match self.0 {
            Param::JsonbArray(values) => write_jsonb_array(values, out),
            _ => mismatch(),
        }
    }
}

fn write_jsonb_array(values: &JsonArray, out: &mut Output<'_, '_, Pg>) -> serialize::Result {
    let has_null = values.iter().any(|text| text.is_none());
    let [dimensions, lower_bound] = [1_i32, 1];
    out.write_all(&dimensions.to_be_bytes())?;
    out.write_all(&i32::from(has_null).to_be_bytes())?;
    out.write_all(&JSONB.to_be_bytes())?;
    out.write_all(&i32::try_from(values.len())?.to_be_bytes())?;
    out.write_all(&lower_bound.to_be_bytes())?;
    for text in values.iter() {
        match text {
            None => out.write_all(&(-1_i32).to_be_bytes())?,
            Some(text) => {
                out.write_all(&i32::try_from(VERSION.len() + text.len())?.to_be_bytes())?;
                write_jsonb(text, out)?;
            }
        }
    }
    Ok(IsNull::No)
}

/// The error for a parameter that is bound as another type than its own. Shows no value, which may be a
/// payload.
fn mismatch() -> serialize::Result {
    Err("the parameter has another type than the one it is bound as".into())
}
