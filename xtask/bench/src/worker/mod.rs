//! `cargo xtask bench --worker`: the worker, compared to loops by hand and to its peers.
//!
//! [`mod@contestants`] has the list of what is measured, and [`comparisons`] the ratios that come out of it,
//! with their goals. [`asynchronous`] and [`blocking`] have the workers and the loops, [`latency`] the times
//! of single messages, [`telemetry`] the cost of OpenTelemetry, and `peers` the other crates.

mod asynchronous;
mod blocking;
mod comparisons;
mod contestant;
mod contestants;
mod latency;
#[cfg(feature = "peers")]
mod peers;
mod setting;
mod telemetry;

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::comparisons::{COMPARISONS, Comparison};
use self::contestant::{Contestant, Unit};
use self::contestants::contestants;
use self::setting::Setting;
use crate::options::Options;
use crate::report::facts_of;
use crate::rounds::order;
use crate::statistics::Spread;

/// The results of a contestant, one for each round.
struct Measured {
    contestant: Contestant,
    values: Vec<f64>,
    failure: Option<anyhow::Error>,
}

/// Measures all contestants in each round, and prints and writes the table.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut setting = Setting::new(options.is_quick)?;
    let all = contestants();
    let chosen = options.contestants(&all, |contestant| contestant.name)?;
    let mut measured: Vec<_> = chosen
        .into_iter()
        .map(|&contestant| Measured { contestant, values: Vec::new(), failure: None })
        .collect();
    for round in 0..options.budget.rounds {
        for index in order(measured.len(), round) {
            let Some(one) = measured.get_mut(index).filter(|one| one.failure.is_none()) else { continue };
            match (one.contestant.measure)(&mut setting) {
                Ok(value) => {
                    eprintln!("round {round}, {}: {}", one.contestant.name, one.contestant.unit.show(value));
                    one.values.push(value);
                }
                Err(error) => {
                    eprintln!("round {round}, {} failed: {error:#}", one.contestant.name);
                    one.failure = Some(error);
                }
            }
        }
    }
    let mut facts = facts_of(&mut setting.db)?;
    facts.push(format!("{} rounds, synchronous_commit = off", options.budget.rounds));
    facts.push(format!("{} messages in each measurement of a rate", setting.messages));
    let table = table(&facts, &measured)?;
    println!("{table}");
    if let Some(folder) = &options.out {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(folder.join("worker.md"), table)?;
    }
    let has_failed = measured.iter().any(|one| one.failure.is_some());
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(facts: &[String], measured: &[Measured]) -> Result<String> {
    let mut out = String::from("# What the worker costs\n\n");
    for fact in facts {
        writeln!(out, "- {fact}")?;
    }
    writeln!(out, "\n## Ratios\n\nEach ratio is taken within a round.\n")?;
    writeln!(out, "| compared | with | ratio | min to max | goal |\n|---|---|---:|---:|---:|")?;
    for Comparison { subject, baseline, goal } in COMPARISONS {
        let values =
            |name: &str| measured.iter().find(|one| one.contestant.name == name).map(|one| &one.values);
        let (Some(values), Some(floors)) = (values(subject), values(baseline)) else { continue };
        if let Some(Spread { median, min, max }) = Spread::of_ratios(values, floors) {
            writeln!(out, "| {subject} | {baseline} | {median:.2} | {min:.2} to {max:.2} | {goal} |")?;
        }
    }
    writeln!(out, "\n## Measured\n")?;
    writeln!(out, "| name | measured | median | min to max |\n|---|---|---:|---:|")?;
    for Measured { contestant: Contestant { name, about, unit, .. }, values, failure } in measured {
        match (Spread::of(values.iter().copied()), failure) {
            (_, Some(error)) => writeln!(out, "| {name} | {about} | failed: {error:#} | |")?,
            (Some(Spread { median, min, max }), None) => {
                let [median, min, max] = [median, min, max].map(|value| unit.show(value));
                writeln!(out, "| {name} | {about} | {median} | {min} to {max} |")?;
            }
            (None, None) => {}
        }
    }
    Ok(out)
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Statements => format!("{value:.2} statements"),
        }
    }
}
