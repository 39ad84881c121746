//! The progress of a test program while it runs.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::outcome::Outcome;
use crate::server::{Errors, TestServer};
use crate::terminal::{is_watched, red, say, say_more};

/// The line about a test program, which is updated while the program runs.
pub(super) struct Progress {
    package: String,
    what: String,
    started: Instant,
    outcome: Outcome,
}

/// The result of a test program that has ended.
pub(super) struct Ended {
    pub(super) package: String,
    pub(super) what: String,
    pub(super) time: Duration,
    pub(super) outcome: Outcome,
    /// The way in which it ended, if it ended without a report of its tests.
    pub(super) crash: Option<String>,
}

impl Ended {
    /// The number of failed tests. A crash counts as one.
    pub(super) fn failed(&self) -> usize {
        self.outcome.failed() + usize::from(self.crash.is_some())
    }

    /// Returns `true` if a test ran, or the program crashed before that.
    pub(super) fn ran_any(&self) -> bool {
        self.outcome.passed() + self.failed() + self.outcome.ignored > 0
    }
}

impl Progress {
    pub(super) fn begin((package, what): (&str, &str)) -> Self {
        let outcome = Outcome::default();
        let progress =
            Self { package: package.to_owned(), what: what.to_owned(), started: Instant::now(), outcome };
        say_more(progress.title());
        progress
    }

    fn title(&self) -> String {
        format!("{:<16} {:<16} ", self.package, self.what)
    }

    /// Runs the program.
    pub(super) fn follow(mut self, server: &TestServer, command: Command) -> Result<Ended> {
        let status = server.run(command, Errors::AmongTheLines, |line| self.read(line))?;
        let is_explained = status.success() || self.outcome.failed() > 0;
        let crash = (!is_explained || !self.outcome.is_closed()).then(|| format!("it ended with {status}"));
        Ok(self.end(crash))
    }

    /// Ends without the exit status of a program.
    pub(super) fn end_without_status(self) -> Ended {
        let crash = (!self.outcome.is_closed()).then(|| "it ended early".to_owned());
        self.end(crash)
    }

    /// Reads a line of the program's output.
    pub(super) fn read(&mut self, line: &str) {
        self.outcome.read(line);
        if is_watched() {
            say_more(format!("\r{}{}", self.title(), self.outcome.tests.len()));
        }
    }

    /// Completes the line, and prints the failures below it.
    fn end(self, crash: Option<String>) -> Ended {
        let start = if is_watched() { format!("\r{}", self.title()) } else { String::new() };
        let Self { package, what, outcome, started } = self;
        let ended = Ended { package, what, time: started.elapsed(), outcome, crash };
        let failed = format!("{} failed", ended.failed());
        let failed = if ended.failed() == 0 { failed } else { red(&failed) };
        say(format!(
            "{start}{:>4} passed, {failed} in {:.1} s",
            ended.outcome.passed(),
            ended.time.as_secs_f64()
        ));
        ended.outcome.figures.iter().for_each(|figures| say(format!("    {figures}")));
        if ended.failed() > 0 {
            let crash = ended.crash.as_deref().map(red);
            let remarks = ended.outcome.remarks.iter().chain(&crash);
            remarks.for_each(|remark| say(format!("    {remark}").trim_end()));
        }
        ended
    }
}
