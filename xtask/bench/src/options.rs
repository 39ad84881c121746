//! The command line.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lexopt::ValueExt;

use crate::clients::Entry;
use crate::growth::{DIMENSIONS, Dimension};
use crate::measure::Budget;
use crate::workload::{WORKLOADS, Workload};

const USAGE: &str = "usage: cargo xtask bench [--quick] [--growth | --worker] [--rounds NUMBER] [--out FOLDER] \
                     [--only WORKLOAD,...] [--clients NAME,...]";

const FULL: Budget = Budget { rounds: 7, window: Duration::from_millis(300), warm_up: 50, portion: 600 };

const QUICK: Budget = Budget { rounds: 2, window: Duration::from_millis(30), warm_up: 6, portion: 300 };

/// The task of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Compare the clients.
    Compare,
    /// Measure growth.
    Grow,
    /// Compare the worker.
    Work,
    /// Check that the counts do not exceed those in this file.
    CheckBaseline(PathBuf),
    /// Write the counts to this file.
    WriteBaseline(PathBuf),
}

/// The options of the command line.
pub(crate) struct Options {
    pub(crate) task: Task,
    pub(crate) budget: Budget,
    pub(crate) is_quick: bool,
    /// The folder for tables and plots.
    pub(crate) out: Option<PathBuf>,
    only: Vec<String>,
    clients: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = Self {
            task: Task::Compare,
            budget: FULL,
            is_quick: false,
            out: None,
            only: Vec::new(),
            clients: Vec::new(),
        };
        let mut rounds = None;
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("quick") => (options.budget, options.is_quick) = (QUICK, true),
                lexopt::Arg::Long("rounds") => {
                    rounds = Some(parser.value()?.parse::<NonZeroUsize>()?.get());
                }
                lexopt::Arg::Long("growth") => options.task = Task::Grow,
                lexopt::Arg::Long("worker") => options.task = Task::Work,
                lexopt::Arg::Long("check-baseline") => {
                    options.task = Task::CheckBaseline(parser.value()?.into());
                }
                lexopt::Arg::Long("write-baseline") => {
                    options.task = Task::WriteBaseline(parser.value()?.into());
                }
                lexopt::Arg::Long("out") => options.out = Some(parser.value()?.into()),
                lexopt::Arg::Long("only") => options.only = names(parser.value()?),
                lexopt::Arg::Long("clients") => options.clients = names(parser.value()?),
                other => return Err(other.unexpected()).context(USAGE),
            }
        }
        // In any position, `--rounds` takes precedence over `--quick`.
        options.budget.rounds = rounds.unwrap_or(options.budget.rounds);
        Ok(options)
    }

    /// The chosen workloads, or all.
    pub(crate) fn workloads(&self) -> Result<Vec<Workload>> {
        let chosen = chosen("workload", &self.only, &WORKLOADS, |workload| workload.name)?;
        Ok(chosen.into_iter().copied().collect())
    }

    /// The chosen dimensions of growth, or all.
    pub(crate) fn dimensions(&self) -> Result<Vec<&'static Dimension>> {
        chosen("dimension", &self.only, &DIMENSIONS, |dimension| dimension.name)
    }

    /// The chosen contestants of the comparison of workers, or all.
    pub(crate) fn contestants<'a, T>(
        &self,
        all: &'a [T],
        name: fn(&T) -> &'static str,
    ) -> Result<Vec<&'a T>> {
        ensure!(self.clients.is_empty(), "--worker takes --only, and no --clients");
        chosen("contestant", &self.only, all, name)
    }

    /// The chosen clients, or all.
    pub(crate) fn clients<'e>(&self, all: &'e [Entry]) -> Result<Vec<&'e Entry>> {
        chosen("client", &self.clients, all, |entry| entry.name)
    }
}

fn names(list: OsString) -> Vec<String> {
    list.to_string_lossy().split(',').map(str::to_owned).collect()
}

/// The named elements of `all`, in the order of `all`. No name means all.
fn chosen<'a, T>(
    what: &str,
    names: &[String],
    all: &'a [T],
    name: fn(&T) -> &'static str,
) -> Result<Vec<&'a T>> {
    if let Some(unknown) = names.iter().find(|typed| all.iter().all(|one| name(one) != *typed)) {
        let known: Vec<_> = all.iter().map(name).collect();
        bail!("there is no {what} {unknown:?}; choose from {}", known.join(", "));
    }
    Ok(all.iter().filter(|one| names.is_empty() || names.iter().any(|typed| typed == name(one))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn rounds_are_as_many_as_asked_for() {
        let rounds = |arguments: &[&str]| -> Result<usize> { Ok(parse(arguments)?.budget.rounds) };
        assert_eq!(rounds(&["--rounds", "30"]).unwrap(), 30);
        assert_eq!(rounds(&["--rounds=3", "--quick"]).unwrap(), 3);
        assert_eq!(rounds(&[]).unwrap(), FULL.rounds);
        for wrong in ["0", "-1", "many"] {
            assert!(rounds(&["--rounds", wrong]).is_err());
        }
    }

    #[test]
    fn names_choose_and_no_name_means_all() {
        let workloads = |arguments: &[&str]| -> Result<Vec<&str>> {
            Ok(parse(arguments)?.workloads()?.iter().map(|workload| workload.name).collect())
        };
        assert_eq!(workloads(&["--quick", "--only", "pop,send"]).unwrap(), ["send", "pop"]);
        assert_eq!(workloads(&[]).unwrap().len(), WORKLOADS.len());
        let error = workloads(&["--only=sned"]).unwrap_err().to_string();
        assert!(error.starts_with("there is no workload \"sned\"; choose from send, "), "{error}");
        assert!(parse(&["--fast"]).is_err());
    }
}
