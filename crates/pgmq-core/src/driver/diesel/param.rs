//! JSON in the binary format of the wire.

use std::io::{self, Write};

use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, Jsonb, Nullable};

use crate::{JsonArray, JsonText};

/// The OID of `jsonb`.
pub(super) const JSONB: u32 = 3802;

/// A `jsonb` is its JSON text behind a version number, which is 1.
const VERSION: &[u8] = &[1];

/// Writes a `jsonb`.
pub(super) fn write_jsonb(text: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(VERSION)?;
    out.write_all(text)
}

impl ToSql<Jsonb, Pg> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write_jsonb(self.as_bytes(), out)?;
        Ok(IsNull::No)
    }
}

impl ToSql<Array<Nullable<Jsonb>>, Pg> for JsonArray {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let has_null = self.iter().any(|text| text.is_none());
        let [dimensions, lower_bound] = [1_i32, 1];
        out.write_all(&dimensions.to_be_bytes())?;
        out.write_all(&i32::from(has_null).to_be_bytes())?;
        out.write_all(&JSONB.to_be_bytes())?;
        out.write_all(&i32::try_from(self.len())?.to_be_bytes())?;
        out.write_all(&lower_bound.to_be_bytes())?;
        for text in self.iter() {
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
}
