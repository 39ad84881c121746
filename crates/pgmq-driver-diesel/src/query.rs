//! Statements as Diesel sees them.

use std::array;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Untyped;
use pgmq_core::{Param, SqlVariant};

use crate::param::SqlParam;

/// The most parameters that a statement has, so that one digit names each of them.
const MOST_PARAMS: usize = 9;

/// One variant of a statement's SQL, with its parameters.
///
/// Diesel numbers parameters in the order in which they are bound. The text is therefore split at each `$n`,
/// and the parameter is bound there. A parameter that the text names twice is bound twice.
#[derive(Debug, Clone, Copy)]
pub struct DieselQuery<'q> {
    text: &'q str,
    params: [Option<SqlParam<'q>>; MOST_PARAMS],
    generation: u64,
    is_cached: bool,
}

impl<'q> DieselQuery<'q> {
    /// Combines a variant of the SQL with the parameters.
    pub fn new(variant: SqlVariant<'q>, params: &'q [Param<'q>]) -> Self {
        let params = array::from_fn(|index| params.get(index).map(SqlParam));
        Self { text: variant.text, params, generation: 0, is_cached: true }
    }

    /// Sets whether Diesel caches the prepared statement; the default is `true`.
    #[must_use]
    pub fn cached(self, is_cached: bool) -> Self {
        Self { is_cached, ..self }
    }

    /// Has Diesel prepare the statement separately from those of earlier generations, which the server may
    /// refuse to run.
    #[must_use]
    pub fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }
}

impl QueryFragment<Pg> for DieselQuery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.is_cached {
            out.unsafe_to_cache_prepared();
        }
        let mut parts = self.text.split('$');
        out.push_sql(parts.next().unwrap_or_default());
        for part in parts {
            // In a statement, a dollar sign always begins a parameter, and one digit follows it.
            let index = part.bytes().next().unwrap_or_default().wrapping_sub(b'1');
            let param = self.params.get(usize::from(index)).and_then(Option::as_ref).ok_or_else(|| {
                diesel::result::Error::QueryBuilderError(
                    "a statement names a parameter that it does not have".into(),
                )
            })?;
            param.bind(&mut out)?;
            out.push_sql(part.get(1..).unwrap_or_default());
        }
        if self.generation > 0 {
            out.push_sql(&format!(" /* {} */", self.generation));
        }
        Ok(())
    }
}

/// Diesel caches the prepared statement under its text.
impl QueryId for DieselQuery<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

/// Columns are read by the names and types that the server reports.
impl Query for DieselQuery<'_> {
    type SqlType = Untyped;
}

#[cfg(test)]
mod tests {
    use pgmq_core::SendOptions;
    use pgmq_core::statement::{self, Action};

    use super::*;

    #[test]
    fn parameters_are_bound_where_the_text_names_them() {
        let options = SendOptions::new().delay(5).headers(&true);
        let Action::Run(query) = statement::send_with("q", &1, &options).into_action() else {
            panic!("send_with runs a query")
        };
        let variant = query.oldest_variant();
        let shown = diesel::debug_query::<Pg, _>(&DieselQuery::new(variant, query.params())).to_string();
        assert!(shown.starts_with(variant.text), "{shown}");
        assert!(shown.ends_with("-- binds: [\"q\", 1, true, 5]"), "{shown}");
    }

    #[test]
    fn a_parameter_that_the_text_names_twice_is_bound_twice_in_its_order() {
        let params = [Param::Int4(7), Param::Text("t".into())];
        let variant = SqlVariant::new("SELECT $2, $1, $2::text");
        let shown = diesel::debug_query::<Pg, _>(&DieselQuery::new(variant, &params)).to_string();
        assert_eq!(shown, "SELECT $1, $2, $3::text -- binds: [\"t\", 7, \"t\"]");
    }

    #[test]
    fn each_generation_has_its_own_text() {
        let variant = SqlVariant::new("SELECT 1");
        for (generation, text) in [(0, "SELECT 1"), (2, "SELECT 1 /* 2 */")] {
            let query = DieselQuery::new(variant, &[]).of_generation(generation);
            assert_eq!(diesel::debug_query::<Pg, _>(&query).to_string(), format!("{text} -- binds: []"));
        }
    }

    #[test]
    fn a_missing_parameter_is_an_error() {
        let variant = SqlVariant::new("SELECT $1");
        assert!(
            diesel::query_builder::QueryFragment::<Pg>::to_sql(
                &DieselQuery::new(variant, &[]),
                &mut diesel::pg::PgQueryBuilder::default(),
                &Pg,
            )
            .is_err()
        );
    }
}
