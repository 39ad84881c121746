//! Parameters in the binary format of the wire.

use bytes::{BufMut, BytesMut};
use postgres_protocol::types::{ArrayDimension, array_to_sql, int8_to_sql};
use postgres_types::{IsNull, ToSql, Type, to_sql_checked};

use pgmq_core::{JsonArray, Param};

/// A parameter of a statement, as the driver takes it.
#[derive(Debug)]
pub struct Bound<'s, 'a>(pub &'s Param<'a>);

impl Bound<'_, '_> {
    /// The SQL type that the statement casts it to.
    pub fn sql_type(&self) -> Type {
        match self.0 {
            Param::Text(_) => Type::TEXT,
            Param::Int4(_) => Type::INT4,
            Param::Int8(_) => Type::INT8,
            Param::Int8Array(_) => Type::INT8_ARRAY,
            Param::Timestamptz(_) => Type::TIMESTAMPTZ,
            Param::Jsonb(_) => Type::JSONB,
            Param::JsonbArray(_) => Type::JSONB_ARRAY,
        }
    }
}

type Cause = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Bound<'_, '_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        match self.0 {
            Param::Text(text) => text.as_ref().to_sql(ty, out),
            Param::Int4(int) => int.to_sql(ty, out),
            Param::Int8(int) => int.to_sql(ty, out),
            Param::Int8Array(ints) => {
                let ints = ints.iter().map(Some);
                array(ints, Type::INT8, out, |int, out| int8_to_sql(*int, out))
            }
            Param::Timestamptz(at) => at.to_sql(ty, out),
            Param::Jsonb(json) => {
                jsonb(json.as_bytes(), out);
                Ok(IsNull::No)
            }
            Param::JsonbArray(values) => jsonb_array(values, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // The type is the one that `sql_type` gave.
        true
    }

    to_sql_checked!();
}

/// `jsonb` is its JSON text behind a version number, which is 1.
fn jsonb(text: &[u8], out: &mut BytesMut) {
    out.reserve(text.len() + 1);
    out.put_u8(1);
    out.put_slice(text);
}

fn jsonb_array(values: &JsonArray, out: &mut BytesMut) -> Result<IsNull, Cause> {
    array(values.iter(), Type::JSONB, out, jsonb)
}

fn array<T>(
    elements: impl ExactSizeIterator<Item = Option<T>>,
    of: Type,
    out: &mut BytesMut,
    write: impl Fn(T, &mut BytesMut),
) -> Result<IsNull, Cause> {
    let dimension = ArrayDimension { len: i32::try_from(elements.len())?, lower_bound: 1 };
    let element = |element: Option<T>, out: &mut BytesMut| match element {
        None => Ok(postgres_protocol::IsNull::Yes),
        Some(element) => {
            write(element, out);
            Ok(postgres_protocol::IsNull::No)
        }
    };
    array_to_sql([dimension], of.oid(), elements, element, out)?;
    Ok(IsNull::No)
}
