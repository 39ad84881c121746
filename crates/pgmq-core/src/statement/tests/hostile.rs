//! Whatever the arguments are, the SQL stays one of those written down.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::every_operation::{Arguments, Visit};
use crate::queue_name::fold;

/// The SQL of all operations, with the names of tables blanked.
static EXPECTED_SQL: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let lines = include_str!("../expected.txt").lines().filter_map(|line| line.strip_prefix("    "));
    let texts = lines.map(|line| match line.split_once(": ") {
        Some((begin, newer)) if begin.starts_with("from ") => newer,
        _ => line,
    });
    texts.filter(|text| !text.starts_with('$')).map(|text| blank(text).0).collect()
});

/// A text with its quoted identifiers blanked, and those identifiers as the server understands them.
///
/// It reads quotes as the server does: one that an argument could close would leave something behind that is not blanked.
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
            let (part, behind) = rest.split_once('"').expect("what is quoted ends");
            identifier.push_str(part);
            rest = behind;
            let Some(behind) = rest.strip_prefix('"') else { break };
            identifier.push('"');
            rest = behind;
        }
        identifiers.push(identifier);
    }
    (blanked + rest, identifiers)
}

/// Checks each statement that it is shown.
struct Check<'a>(&'a Arguments);

impl Visit for Check<'_> {
    fn visit<O: Output>(&mut self, statement: Statement<'_, O>) {
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
                for text in [Some(sql.text.as_ref()), sql.newer.map(|(_, text)| text)].into_iter().flatten() {
                    let (blanked, identifiers) = blank(text);
                    assert!(EXPECTED_SQL.contains(&blanked), "{shown}");
                    let are_mine =
                        |name| Some(name) == table('q').as_ref() || Some(name) == table('a').as_ref();
                    assert!(identifiers.iter().all(are_mine), "{shown}");
                    let highest = (1..10).rfind(|n| blanked.contains(&format!("${n}"))).unwrap_or_default();
                    assert_eq!(highest, params.len(), "{shown}");
                }
                params.iter().for_each(|param| self.check_param(param));
            }
        }
    }
}

impl Check<'_> {
    /// A text is an argument as it was given, but for the queue's name, which is folded.
    fn check_param(&self, param: &Param<'_>) {
        let Arguments { queue, routing_key, pattern, interval, json, .. } = self.0;
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
    fn no_argument_gets_into_the_sql(arguments in Arguments::hostile()) {
        arguments.each(&mut Check(&arguments));
    }
}

#[test]
fn harmless_arguments_are_refused_by_no_operation() {
    struct Asks(usize);

    impl Visit for Asks {
        fn visit<O: Output>(&mut self, statement: Statement<'_, O>) {
            assert!(matches!(statement.body, Body::Query { .. }), "{statement:?}");
            self.0 += 1;
        }
    }

    let mut asks = Asks(0);
    Arguments::default().each(&mut asks);
    let all: BTreeSet<&str> = crate::operations!(names);
    assert_eq!(asks.0, all.len());
}
