//! How all tests went.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use pgmq_test_suite::faults::Report as Tally;

use super::CONFORMANCE;
use super::progress::Ended;
use super::tls::is_library;
use crate::terminal::{Table, red, say};
use crate::workspace::short_name;

/// The test programs of a run that have ended.
#[derive(Default)]
pub(super) struct Report {
    programs: Vec<Ended>,
}

impl Extend<Ended> for Report {
    fn extend<T: IntoIterator<Item = Ended>>(&mut self, programs: T) {
        self.programs.extend(programs);
    }
}

impl Report {
    /// Prints the tables and the closing line.
    pub(super) fn conclude(&self, arguments: &[OsString]) -> ExitCode {
        say("");
        self.print_programs();
        self.print_conformance();
        self.print_faults();
        self.print_failures();
        let passed: usize = self.programs.iter().map(|program| program.outcome.passed()).sum();
        let failed: usize = self.programs.iter().map(Ended::failed).sum();
        if passed + failed == 0 {
            let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
            say(red(&match arguments.as_slice() {
                [] => "there are no tests".to_owned(),
                words => format!("no test matches {}", words.join(" ")),
            }));
        }
        say(format!("{passed} passed, {failed} failed"));
        if passed == 0 || failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// A row for each program that had something to do.
    fn print_programs(&self) {
        let mut table = Table::new(2);
        table.row(["package", "tests", "passed", "failed", "ignored", "seconds"]);
        for program in self.programs.iter().filter(|program| program.ran_any()) {
            let Ended { package, what, time, outcome, .. } = program;
            let numbers =
                [outcome.passed(), program.failed(), outcome.ignored].map(|number| number.to_string());
            let time = format!("{:.1}", time.as_secs_f64());
            table.row([package.clone(), what.clone()].into_iter().chain(numbers).chain([time]));
        }
        if self.programs.iter().any(Ended::ran_any) {
            table.print();
            say("");
        }
    }

    /// A row for each group of the conformance suite, a column for each back end that ran it.
    fn print_conformance(&self) {
        let group_of: HashMap<_, _> = pgmq_test_suite::cases().map(|case| (case.name, case.group)).collect();
        let ran: Vec<_> =
            self.programs.iter().filter(|program| program.what == CONFORMANCE && program.ran_any()).collect();
        if ran.is_empty() {
            return;
        }
        let mut table = Table::new(1);
        table.row(["conformance"].into_iter().chain(ran.iter().map(|program| short_name(&program.package))));
        let mut groups: Vec<_> = pgmq_test_suite::cases().map(|case| case.group).collect();
        groups.dedup();
        for group in groups {
            let cells: Vec<_> =
                ran.iter().map(|program| cell(program, |name| group_of.get(name) == Some(&group))).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                table.row([group.to_owned()].into_iter().chain(cells));
            }
        }
        table.print();
        say("");
    }

    /// What the faults came to: a table for each back end, with a row for each fault.
    fn print_faults(&self) {
        for program in self.programs.iter().filter(|program| !program.outcome.tallies.is_empty()) {
            let mut table = Table::new(1);
            table.row([
                short_name(&program.package),
                "strikes",
                "messages",
                "in doubt",
                "hidden",
                "lost by pop",
                "errors",
                "back after",
            ]);
            let mut sum = Tally { fault: "all".to_owned(), ..Tally::default() };
            for tally in &program.outcome.tallies {
                table.row(row(tally));
                sum.add(tally);
            }
            table.row(row(&sum));
            table.print();
            for (error, count) in &sum.errors {
                say(format!("{count:>8} {error}"));
            }
            say("");
        }
    }

    /// The names of those that failed, and how to run each of them again.
    fn print_failures(&self) {
        for program in &self.programs {
            let package = short_name(&program.package);
            let tls =
                if is_library(&program.what) { format!("--tls {} ", program.what) } else { String::new() };
            for (name, _) in program.outcome.tests.iter().filter(|(_, passed)| !passed) {
                let quote = if name.contains(' ') { "'" } else { "" };
                say(format!(
                    "{} again with: cargo xtask test {tls}{package} -- {quote}{name}{quote}",
                    red("failed;")
                ));
            }
            if let Some(crash) = &program.crash {
                say(format!("{} {} {}: {crash}", red("crashed:"), program.package, program.what));
            }
        }
        if self.programs.iter().any(|program| program.failed() > 0) {
            say("");
        }
    }
}

/// The numbers of a trial. The longest time until all worked again is in seconds.
fn row(tally: &Tally) -> [String; 8] {
    let in_doubt: u64 = tally.in_doubt.iter().sum();
    let errors: u64 = tally.errors.values().sum();
    let back_after = Duration::from_millis(tally.back_after).as_secs_f64();
    [
        tally.fault.replace('_', " "),
        tally.strikes.to_string(),
        tally.messages.to_string(),
        in_doubt.to_string(),
        tally.hidden.to_string(),
        tally.popped.to_string(),
        errors.to_string(),
        format!("{back_after:.2}"),
    ]
}

/// How many of the cases passed in one program, and out of how many if not all did.
fn cell(program: &Ended, is_meant: impl Fn(&str) -> bool) -> String {
    // The program adds where a case ran, as in `pool::name`.
    let case = |name: &'_ str| name.rsplit("::").next().is_some_and(&is_meant);
    let results: Vec<_> = program.outcome.tests.iter().filter(|(name, _)| case(name)).collect();
    let passed = results.iter().filter(|(_, passed)| *passed).count();
    match results.len() {
        0 => String::new(),
        all if all == passed => format!("{all} ✓"),
        all => format!("{passed} of {all} ✗"),
    }
}
