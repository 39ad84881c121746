//! Following a test program while it runs.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::outcome::Outcome;
use crate::postgres::{Errors, Postgres};
use crate::terminal::{is_watched, red, say, say_more};

/// A line about a test program, which grows while the program runs.
pub(super) struct Progress {
    package: String,
    what: String,
    started: Instant,
    outcome: Outcome,
}

/// How a test program ended.
pub(super) struct Ended {
    pub(super) package: String,
    pub(super) what: String,
    pub(super) time: Duration,
    pub(super) outcome: Outcome,
    /// How it ended, if not by saying how its tests went.
    pub(super) crash: Option<String>,
}

impl Ended {
    /// How many tests failed; a crash is a failure as well.
    pub(super) fn failed(&self) -> usize {
        self.outcome.failed() + usize::from(self.crash.is_some())
    }

    /// Whether there was anything to do, or it crashed before it could say so.
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
    pub(super) fn follow(mut self, postgres: &Postgres, command: Command) -> Result<Ended> {
        let status = postgres.run(command, Errors::AmongTheLines, |line| self.read(line))?;
        let said_so = status.success() || self.outcome.failed() > 0;
        let crash = (!said_so || !self.outcome.is_closed()).then(|| format!("it ended with {status}"));
        Ok(self.end(crash))
    }

    /// Ends without a status of its own.
    pub(super) fn end_by_itself(self) -> Ended {
        let crash = (!self.outcome.is_closed()).then(|| "it ended early".to_owned());
        self.end(crash)
    }

    /// Reads a line that the program wrote.
    pub(super) fn read(&mut self, line: &str) {
        self.outcome.read(line);
        if is_watched() {
            say_more(format!("\r{}{}", self.title(), self.outcome.tests.len()));
        }
    }

    /// Ends the line, and says below what failed.
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
        if ended.failed() > 0 {
            let crash = ended.crash.as_deref().map(red);
            let remarks = ended.outcome.remarks.iter().chain(&crash);
            remarks.for_each(|remark| say(format!("    {remark}").trim_end()));
        }
        ended
    }
}
