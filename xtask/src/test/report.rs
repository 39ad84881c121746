//! The report of a test run: tables, failures, and the closing line.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use super::conformance;
use super::progress::Ended;
use super::tally::Tally;
use super::tls::is_library;
use crate::terminal::{Table, red, say};
use crate::workspace::short_name;

/// The test programs of a run that have ended.
#[derive(Default)]
pub(super) struct Report {
    programs: Vec<Ended>,
    /// The parts of the run that were left out, each with its reason.
    left_out: Vec<String>,
}

impl Extend<Ended> for Report {
    fn extend<T: IntoIterator<Item = Ended>>(&mut self, programs: T) {
        self.programs.extend(programs);
    }
}

impl Report {
    /// Records that a part of the run is left out, and why.
    pub(super) fn leave_out(&mut self, what: impl Into<String>) {
        self.left_out.push(what.into());
    }

    /// Prints the tables and the closing line.
    pub(super) fn conclude(&self, arguments: &[OsString]) -> ExitCode {
        say("");
        self.print_programs();
        conformance::print(&self.programs);
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
        for what in &self.left_out {
            say(format!("left out: {what}"));
        }
        say(format!("{passed} passed, {failed} failed"));
        if passed == 0 || failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// Prints a row for each program that ran a test.
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

    /// Prints the numbers of the fault trials: a table for each back end, with a row for each fault.
    fn print_faults(&self) {
        for program in self.programs.iter().filter(|program| !program.outcome.tallies.is_empty()) {
            let mut table = Table::new(1);
            table.row([
                short_name(&program.package),
                "injections",
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

    /// Prints the failed tests, each with the command that runs it again.
    fn print_failures(&self) {
        for program in &self.programs {
            let package = short_name(&program.package);
            let tls =
                if is_library(&program.what) { format!("--tls {} ", program.what) } else { String::new() };
            for test in program.outcome.tests.iter().filter(|test| !test.passed) {
                let name = &test.name;
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

/// The numbers of a trial as cells. The longest time until all workers worked again is in seconds.
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
