//! The SQL of a statement is one of the expected texts for any arguments.

use std::collections::HashSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::param::Param;
use crate::queue_name::fold;

/// Arguments of any content, mostly with characters that have a meaning in SQL.
fn hostile() -> impl Strategy<Value = Samples> {
    let text = || {
        let sql =
            "([a-zA-Z_0-9]|['\"$;%\\\\.*#\n\0 ]|--|/\\*|pgmq\\.q_victim|DROP TABLE|ö|队|\u{202e}){0,24}";
        prop_oneof![4 => sql, 2 => "\\PC{0,80}", 2 => "[a-z]{1,9}(\\.[a-z*#]{1,9}){0,40}", 1 => "[a-z]{1,9}"]
    };
    let texts = (text(), text(), text(), text(), text());
    let numbers = (prop::collection::vec(any::<i64>(), 0..4), any::<u32>(), any::<i64>(), any::<Duration>());
    let usual = (prop::collection::vec(1..9_i64, 1..4), 1..9_u32, 0..99_i64, Just(Duration::from_secs(1)));
    let numbers = prop_oneof![numbers.boxed(), usual.boxed()];
    (texts, numbers).prop_map(|((queue, routing_key, pattern, interval, json), numbers)| {
        let (ids, count, seconds, duration) = numbers;
        let premake = Some(count);
        Samples { queue, routing_key, pattern, interval, json, ids, count, seconds, duration, premake }
    })
}

/// The SQL of all operations, with the names of tables blanked.
static EXPECTED_SQL: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let built = built_text();
    let lines = built.lines().filter_map(|line| line.strip_prefix("    "));
    let texts = lines.map(|line| match line.split_once(": ") {
        Some((begin, newer)) if begin.starts_with("from ") => newer,
        _ => line,
    });
    texts.filter(|text| !text.starts_with('$')).map(|text| blank(text).0).collect()
});

/// Blanks the quoted identifiers of a text, and returns the identifiers as the server understands them.
///
/// The scan reads quotes as the server does. If an argument could close a quote, some of it would stay
/// unblanked.
fn blank(sql: &str) -> (String, Vec<String>) {
    let mut blanked = String::new();
    let mut identifiers = Vec::new();
    let mut rest = sql;
    while let Some((before, quoted)) = rest.split_once('"') {
        blanked.push_str(before);
        blanked.push_str("\"\"");
        let mut identifier = String::new();
        rest = quoted;
        loop {
            let (part, after) = rest.split_once('"').expect("every quote is closed");
            identifier.push_str(part);
            rest = after;
            let Some(after) = rest.strip_prefix('"') else { break };
            identifier.push('"');
            rest = after;
        }
        identifiers.push(identifier);
    }
    (blanked + rest, identifiers)
}

/// Checks each statement that it visits.
struct Check<'a>(&'a Samples);

impl<'s> Visit<'s> for Check<'_> {
    fn visit<O: Output + fmt::Debug + 's>(&mut self, _: &'static Operation, statement: Statement<'s, O>) {
        let Self(arguments) = self;
        let shown = format!("{statement:?}");
        match statement.body {
            Body::Answer(_) => {}
            Body::Refused(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::InvalidArgument | ErrorKind::Encode), "{error}: {shown}");
            }
            Body::Query { sql, params } => {
                let table = |prefix| fold(&arguments.queue).map(|name| format!("{prefix}_{name}")).ok();
                let newer = sql.newer.as_ref().map(|(_, text)| text.as_ref());
                for text in [Some(sql.text.as_ref()), newer].into_iter().flatten() {
                    let (blanked, identifiers) = blank(text);
                    assert!(EXPECTED_SQL.contains(&blanked), "{shown}");
                    let own = ["q", "a", "fifo_group_q"].map(table);
                    // A string of this kind has two backslashes for one.
                    let in_string = text.starts_with("DO E'");
                    let is_own = |name: &String| {
                        own.contains(&Some(if in_string { name.replace("\\\\", "\\") } else { name.clone() }))
                    };
                    assert!(identifiers.iter().all(is_own), "{shown}");
                    assert!(!in_string || identifiers.iter().all(|name| !name.contains('\'')), "{shown}");
                    let highest = (1..10).rfind(|n| blanked.contains(&format!("${n}"))).unwrap_or_default();
                    assert_eq!(highest, params.len(), "{shown}");
                }
                params.iter().for_each(|param| self.check_param(param));
            }
        }
    }
}

impl Check<'_> {
    /// Checks that a text is an unchanged argument, or the folded name of the queue.
    fn check_param(&self, param: &Param<'_>) {
        let Samples { queue, routing_key, pattern, interval, json, .. } = self.0;
        match param {
            Param::Text(text) => {
                let is_default = *text == "100000";
                let is_given = [routing_key, pattern, interval].iter().any(|given| *given == text);
                assert!(is_given || is_default || fold(queue).is_ok_and(|name| name == *text), "{text:?}");
            }
            Param::Jsonb(text) => {
                assert_eq!(serde_json::from_slice::<String>(text.as_bytes()).ok().as_ref(), Some(json));
            }
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn no_argument_gets_into_the_sql(arguments in hostile()) {
        arguments.visit(&mut Check(&arguments));
    }
}

#[test]
fn no_operation_refuses_harmless_arguments() {
    struct Queries(usize);

    impl<'s> Visit<'s> for Queries {
        fn visit<O: Output + fmt::Debug + 's>(&mut self, _: &'static Operation, statement: Statement<'s, O>) {
            assert!(matches!(statement.body, Body::Query { .. }), "{statement:?}");
            self.0 += 1;
        }
    }

    let mut queries = Queries(0);
    Samples::default().visit(&mut queries);
    assert_eq!(queries.0, OPERATIONS.len());
}
