//! The table of the conformance suite in the report.

use std::collections::BTreeSet;

use super::build::CONFORMANCE;
use super::outcome::Test;
use super::progress::Ended;
use crate::terminal::{Table, say};
use crate::workspace::short_name;

/// Prints a row for each group of cases and a column for each back end that ran the suite.
pub(super) fn print(programs: &[Ended]) {
    let ran: Vec<_> =
        programs.iter().filter(|program| program.what == CONFORMANCE && program.ran_any()).collect();
    let groups: BTreeSet<_> = ran.iter().flat_map(|program| &program.outcome.tests).map(group).collect();
    if groups.is_empty() {
        return;
    }
    let mut table = Table::new(1);
    table.row(["conformance"].into_iter().chain(ran.iter().map(|program| short_name(&program.package))));
    for group in groups {
        let cells = ran.iter().map(|program| cell(&program.outcome.tests, group));
        table.row([group.to_owned()].into_iter().chain(cells));
    }
    table.print();
    say("");
}

/// The group of a case, which is the first part of its name.
fn group(test: &Test) -> &str {
    test.name.split("::").next().unwrap_or_default()
}

/// The number of tests of a group that passed, with their total if some failed.
fn cell(tests: &[Test], of: &str) -> String {
    let tests: Vec<_> = tests.iter().filter(|test| group(test) == of).collect();
    let passed = tests.iter().filter(|test| test.passed).count();
    match tests.len() {
        0 => String::new(),
        all if all == passed => format!("{all} ✓"),
        all => format!("{passed} of {all} ✗"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_counts_the_tests_of_its_group() {
        let test = |name: &str, passed| Test { name: name.to_owned(), passed };
        let tests =
            [test("send::pool::a", true), test("send::transaction::a", false), test("faults::b", true)];
        assert_eq!(cell(&tests, "send"), "1 of 2 ✗");
        assert_eq!(cell(&tests, "faults"), "1 ✓");
        assert_eq!(cell(&tests, "topics"), "");
    }
}
