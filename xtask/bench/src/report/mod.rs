//! What is shown at the end.

mod growth;
mod machine;
mod markdown;
mod plot;
mod summary;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::growth::Grown;
use crate::measure::Effort;
use crate::rounds::{Outcome, Setting};
use crate::stage::Stage;

/// What was measured, and on what.
pub(crate) struct Report {
    /// Lines about the machine, the server and the effort.
    facts: Vec<String>,
    outcomes: Vec<Outcome>,
    growths: Vec<Grown>,
}

impl Report {
    pub(crate) fn begin(stage: &mut Stage, effort: &Effort) -> Result<Self> {
        let Effort { rounds, window, .. } = effort;
        let mut facts = machine::facts(stage)?;
        facts.push(format!("{rounds} rounds of {} ms each", window.as_millis()));
        Ok(Self { facts, outcomes: Vec::new(), growths: Vec::new() })
    }

    /// Adds something that a reader should know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.facts.push(text.into());
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    pub(crate) fn add_growth(&mut self, grown: Grown) {
        self.growths.push(grown);
    }

    /// Prints the tables, and writes them with the plots to a folder if there is one.
    pub(crate) fn write(&self, folder: Option<&Path>) -> Result<ExitCode> {
        let mut tables = markdown::begin(&self.facts);
        summary::tables(&mut tables, &self.outcomes);
        markdown::tables(&mut tables, &self.outcomes);
        self.growths.iter().for_each(|grown| growth::table(&mut tables, grown));
        println!("{tables}");
        if let Some(folder) = folder {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let name = if self.growths.is_empty() { "bench.md" } else { "growth.md" };
            fs::write(folder.join(name), tables)?;
            for outcome in &self.outcomes {
                plot::rates(&folder.join(format!("{}.svg", file_name(&outcome.setting))), outcome)?;
            }
            for grown in &self.growths {
                growth::plot(&folder.join(format!("growth-{}.svg", grown.dimension.name)), grown)?;
            }
            eprintln!("written to {}", folder.display());
        }
        let has_failed =
            self.outcomes.iter().flat_map(|outcome| &outcome.results).any(|one| one.failure.is_some());
        Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn file_name(setting: &Setting) -> String {
    format!("{}-commit-{}", setting.workload.name, on_or_off(setting.synchronous_commit))
}

/// As Postgres says it.
pub(crate) fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}
