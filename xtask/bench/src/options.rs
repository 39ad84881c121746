//! What is asked for on the command line.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lexopt::ValueExt;

use crate::contestants::Entry;
use crate::growth::{DIMENSIONS, Dimension};
use crate::measure::Effort;
use crate::workload::{WORKLOADS, Workload};

const USAGE: &str = "usage: cargo xtask bench [--quick] [--growth] [--rounds NUMBER] [--out FOLDER] \
                     [--only WORKLOAD,...] [--contestants NAME,...]";

const FULL: Effort = Effort { rounds: 7, window: Duration::from_millis(300), warm_up: 50, portion: 600 };

const QUICK: Effort = Effort { rounds: 2, window: Duration::from_millis(30), warm_up: 6, portion: 300 };

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Compare the contestants.
    Compare,
    /// Have things grow.
    Grow,
    /// Check that what is counted is not more than this file says.
    CheckBaseline(PathBuf),
    /// Write what is counted to this file.
    WriteBaseline(PathBuf),
}

/// The command line.
pub(crate) struct Options {
    pub(crate) task: Task,
    pub(crate) effort: Effort,
    pub(crate) is_quick: bool,
    /// The folder for tables and plots.
    pub(crate) out: Option<PathBuf>,
    only: Vec<String>,
    contestants: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = Self {
            task: Task::Compare,
            effort: FULL,
            is_quick: false,
            out: None,
            only: Vec::new(),
            contestants: Vec::new(),
        };
        let mut rounds = None;
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("quick") => (options.effort, options.is_quick) = (QUICK, true),
                lexopt::Arg::Long("rounds") => {
                    rounds = Some(parser.value()?.parse::<NonZeroUsize>()?.get());
                }
                lexopt::Arg::Long("growth") => options.task = Task::Grow,
                lexopt::Arg::Long("check-baseline") => {
                    options.task = Task::CheckBaseline(parser.value()?.into());
                }
                lexopt::Arg::Long("write-baseline") => {
                    options.task = Task::WriteBaseline(parser.value()?.into());
                }
                lexopt::Arg::Long("out") => options.out = Some(parser.value()?.into()),
                lexopt::Arg::Long("only") => options.only = names(parser.value()?),
                lexopt::Arg::Long("contestants") => options.contestants = names(parser.value()?),
                other => return Err(other.unexpected()).context(USAGE),
            }
        }
        // Wherever it stands, it goes before what `--quick` says.
        options.effort.rounds = rounds.unwrap_or(options.effort.rounds);
        Ok(options)
    }

    /// The workloads that were chosen, or all.
    pub(crate) fn workloads(&self) -> Result<Vec<Workload>> {
        let chosen = chosen("workload", &self.only, &WORKLOADS, |workload| workload.name)?;
        Ok(chosen.into_iter().copied().collect())
    }

    /// What was chosen to grow, or all.
    pub(crate) fn dimensions(&self) -> Result<Vec<&'static Dimension>> {
        chosen("dimension", &self.only, &DIMENSIONS, |dimension| dimension.name)
    }

    /// The contestants that were chosen, or all.
    pub(crate) fn contestants<'e>(&self, all: &'e [Entry]) -> Result<Vec<&'e Entry>> {
        chosen("contestant", &self.contestants, all, |entry| entry.name)
    }
}

fn names(list: OsString) -> Vec<String> {
    list.to_string_lossy().split(',').map(str::to_owned).collect()
}

/// Those of `all` that have been named, in the order of `all`. No name means all.
fn chosen<'a, T>(
    what: &str,
    names: &[String],
    all: &'a [T],
    name: fn(&T) -> &'static str,
) -> Result<Vec<&'a T>> {
    if let Some(unknown) = names.iter().find(|typed| all.iter().all(|one| name(one) != *typed)) {
        let known: Vec<_> = all.iter().map(name).collect();
        bail!("there is no {what} {unknown:?}; there are {}", known.join(", "));
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
        let rounds = |arguments: &[&str]| -> Result<usize> { Ok(parse(arguments)?.effort.rounds) };
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
        assert!(error.starts_with("there is no workload \"sned\"; there are send, "), "{error}");
        assert!(parse(&["--fast"]).is_err());
    }
}
