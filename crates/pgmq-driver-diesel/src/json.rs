//! JSON in queries that are composed with Diesel.

use std::fmt::Debug;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use pgmq_core::JsonText;
use pgmq_core::backend::jsonb_text;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::param::write_jsonb;

/// A value as `jsonb` in a query that is composed with Diesel, of any type that serde can serialize or
/// deserialize.
///
/// The value is serialized like the message of a `send`: once, to bytes, with every digit, and refused if
/// `jsonb` cannot hold it. To be bound as a parameter, `T` needs `Debug`, too, which Diesel requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub struct Json<T>(pub T);

impl<T: Serialize + Debug> ToSql<Jsonb, Pg> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write_jsonb(JsonText::new(&self.0)?.as_bytes(), out)?;
        Ok(IsNull::No)
    }
}

impl<T: DeserializeOwned> FromSql<Jsonb, Pg> for Json<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_slice(jsonb_text(value.as_bytes())?)?))
    }
}
