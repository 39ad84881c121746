//! The report at the end.

mod growth;
mod machine;
mod markdown;
mod plot;
mod summary;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::bench_db::BenchDb;
use crate::growth::Grown;
use crate::measure::Budget;
use crate::rounds::{Outcome, Setting, on_or_off};

/// Lines about the machine and the server.
pub(crate) fn facts_of(db: &mut BenchDb) -> Result<Vec<String>> {
    machine::facts(db)
}

/// The results, and the machine and server that they come from.
pub(crate) struct Report {
    /// Lines about the machine, the server and the budget.
    facts: Vec<String>,
    outcomes: Vec<Outcome>,
    growths: Vec<Grown>,
}

impl Report {
    pub(crate) fn begin(db: &mut BenchDb, budget: &Budget) -> Result<Self> {
        let Budget { rounds, window, .. } = budget;
        let mut facts = machine::facts(db)?;
        facts.push(format!("{rounds} rounds of {} ms each", window.as_millis()));
        Ok(Self { facts, outcomes: Vec::new(), growths: Vec::new() })
    }

    /// Adds a note for the reader.
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
