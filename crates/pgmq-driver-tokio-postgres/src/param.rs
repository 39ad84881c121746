//! Parameters in the binary format of the wire.

use std::fmt;

use bytes::{BufMut, BytesMut};
use pgmq_core::{JsonArray, Param};
use postgres_protocol::types::{ArrayDimension, array_to_sql, int8_to_sql};
use postgres_types::{IsNull, ToSql, Type, to_sql_checked};

/// A parameter of a statement, in the form that the driver sends.
pub struct SqlParam<'s, 'a>(pub &'s Param<'a>);

impl fmt::Debug for SqlParam<'_, '_> {
    /// Shows the type and the size, because the driver logs its parameters, and this one may be a payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.sql_type(), self.0.size())
    }
}

impl SqlParam<'_, '_> {
    /// The SQL type to which the statement casts the parameter.
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

/// The SQL types of parameters, for preparing a statement.
pub fn sql_types(params: &[Param<'_>]) -> Vec<Type> {
    params.iter().map(|param| SqlParam(param).sql_type()).collect()
}

type Cause = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for SqlParam<'_, '_> {
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
        // The type is always the one that `sql_type` returned.
        true
    }

    to_sql_checked!();
}

/// Writes a `jsonb`: the version number 1, and the JSON text.
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

#[cfg(test)]
mod tests {
    use pgmq_core::statement::{self, Action};

    use super::*;

    #[test]
    fn debug_output_shows_the_size_of_a_payload_and_not_its_text() {
        let Action::Run(query) = statement::send("q", "s3cret").into_action() else {
            panic!("send runs a query")
        };
        let shown = format!("{:?}", query.params().iter().map(SqlParam).collect::<Vec<_>>());
        assert_eq!(shown, "[text of 1 bytes, jsonb of 8 bytes]");
    }
}
