//! JSON for `postgres` and `tokio-postgres`, between a type and the wire.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// The version number in front of the JSON text of a `jsonb`.
const VERSION: u8 = 1;

/// A value as `jsonb`.
#[derive(Debug)]
pub(crate) struct Jsonb<T>(pub(crate) T);

impl<T: Serialize + std::fmt::Debug> ToSql for Jsonb<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u8(VERSION);
        serde_json::to_writer(out.writer(), &self.0)?;
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}

impl<'a, T: DeserializeOwned> FromSql<'a> for Jsonb<T> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match raw {
            [VERSION, text @ ..] => Ok(Self(serde_json::from_slice(text)?)),
            _ => Err("this is no jsonb".into()),
        }
    }

    accepts!(JSONB);
}
