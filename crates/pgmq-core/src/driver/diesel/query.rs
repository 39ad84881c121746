//! Statements as Diesel sees them.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Timestamptz, Untyped};

use crate::{Form, Param};

/// One form of a statement, with its parameters.
///
/// Diesel numbers parameters in the order in which they come: so the text is split where it names one, and the parameter
/// bound there. What it names twice is bound twice.
#[derive(Debug, Clone, Copy)]
pub struct DieselQuery<'q> {
    text: &'q str,
    params: &'q [Param<'q>],
    generation: u64,
    is_kept: bool,
}

impl<'q> DieselQuery<'q> {
    /// This form, with these parameters.
    pub fn new(form: Form<'q>, params: &'q [Param<'q>]) -> Self {
        Self { text: form.text, params, generation: 0, is_kept: true }
    }

    /// Whether Diesel is to keep the statement prepared; it does unless told not to.
    #[must_use]
    pub fn kept(self, is_kept: bool) -> Self {
        Self { is_kept, ..self }
    }

    /// Has Diesel prepare the statement apart from those of earlier generations, which the server may not run any more.
    #[must_use]
    pub fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }
}

impl QueryFragment<Pg> for DieselQuery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.is_kept {
            out.unsafe_to_cache_prepared();
        }
        let mut parts = self.text.split('$');
        out.push_sql(parts.next().unwrap_or_default());
        for part in parts {
            // Statements have fewer than ten parameters, and a dollar sign in them is always that of one.
            let number = part.bytes().next().unwrap_or_default().wrapping_sub(b'1');
            let param = self.params.get(usize::from(number)).ok_or_else(|| {
                diesel::result::Error::QueryBuilderError(
                    "a statement names a parameter that it does not have".into(),
                )
            })?;
            bind(param, &mut out)?;
            out.push_sql(part.get(1..).unwrap_or_default());
        }
        if self.generation > 0 {
            out.push_sql(&format!(" /* {} */", self.generation));
        }
        Ok(())
    }
}

fn bind<'b>(param: &'b Param<'_>, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    match param {
        Param::Text(text) => out.push_bind_param::<Text, str>(text.as_ref()),
        Param::Int4(int) => out.push_bind_param::<Integer, _>(int),
        Param::Int8(int) => out.push_bind_param::<BigInt, _>(int),
        Param::Int8Array(ints) => out.push_bind_param::<Array<BigInt>, _>(ints),
        Param::Timestamptz(at) => out.push_bind_param::<Timestamptz, _>(at),
        Param::Jsonb(json) => out.push_bind_param::<Jsonb, _>(json),
        Param::JsonbArray(values) => out.push_bind_param::<Array<Nullable<Jsonb>>, _>(values),
    }
}

/// The text is the key under which Diesel keeps the statement prepared.
impl QueryId for DieselQuery<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

/// Columns are read by their names and types as the server gives them.
impl Query for DieselQuery<'_> {
    type SqlType = Untyped;
}

#[cfg(test)]
mod tests {
    use diesel::pg::Pg;

    use super::*;
    use crate::SendOptions;
    use crate::statement::{self, Plan};

    #[test]
    fn parameters_are_bound_where_the_text_names_them() {
        let options = SendOptions::new().delay(5).headers(&true);
        let Plan::Query(query) = statement::send_with("q", &1, &options).plan() else { panic!() };
        let form = query.oldest();
        let shown = diesel::debug_query::<Pg, _>(&DieselQuery::new(form, query.params())).to_string();
        assert!(shown.starts_with(form.text), "{shown}");
        assert!(shown.ends_with("-- binds: [\"q\", 1, true, 5]"), "{shown}");
    }

    #[test]
    fn what_is_named_twice_is_bound_twice_and_in_the_order_of_the_text() {
        let params = [Param::Int4(7), Param::Text("t".into())];
        let form = Form { text: "SELECT $2, $1, $2::text", since: None, is_for_one_queue: false };
        let shown = diesel::debug_query::<Pg, _>(&DieselQuery::new(form, &params)).to_string();
        assert_eq!(shown, "SELECT $1, $2, $3::text -- binds: [\"t\", 7, \"t\"]");
    }

    #[test]
    fn each_generation_has_a_text_of_its_own() {
        let form = Form { text: "SELECT 1", since: None, is_for_one_queue: false };
        for (generation, text) in [(0, "SELECT 1"), (2, "SELECT 1 /* 2 */")] {
            let query = DieselQuery::new(form, &[]).of_generation(generation);
            assert_eq!(diesel::debug_query::<Pg, _>(&query).to_string(), format!("{text} -- binds: []"));
        }
    }

    #[test]
    fn a_parameter_that_is_not_there_is_an_error() {
        let form = Form { text: "SELECT $1", since: None, is_for_one_queue: false };
        assert!(
            diesel::query_builder::QueryFragment::<Pg>::to_sql(
                &DieselQuery::new(form, &[]),
                &mut diesel::pg::PgQueryBuilder::default(),
                &Pg,
            )
            .is_err()
        );
    }

    #[test]
    fn every_statement_names_fewer_than_ten_parameters() {
        let texts =
            include_str!("../../statement/expected.txt").lines().filter(|line| line.contains("SELECT"));
        for part in texts.flat_map(|text| text.split('$').skip(1)) {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            assert_eq!(digits, 1, "${}", part.chars().take(40).collect::<String>());
        }
    }
}
