//! The recorded costs of an operation on each back end. A test fails when an operation costs more.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::bench_db::BenchDb;
use crate::clients::{Entry, Kind};
use crate::counts::Counts;
use crate::workload::{SEND, WORKLOADS, Workload};

const HEADING: &str = "\
# What one operation costs a client, in round trips and allocations: checked by the test of this package.
# PGMQ_BENCH_WRITE_BASELINE=1 cargo xtask test bench -- hot writes it again.
";

/// The number of operations over which the costs are counted.
const OPERATIONS: u32 = 20;

/// The tolerated increase of allocations: a share, and at least one. A new compiler or driver changes a few.
const TOLERATED: f64 = 0.05;

/// The recorded costs of a back end in a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    round_trips: f64,
    allocations: f64,
}

/// The costs by the names of the back end and of the workload.
type Costs = BTreeMap<(String, String), Cost>;

/// Writes the present costs.
pub(crate) fn write(entries: &[Entry], file: &Path) -> Result<ExitCode> {
    let costs = look(entries)?;
    fs::write(file, shown(&costs)).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the costs that exceed the recorded ones.
pub(crate) fn check(entries: &[Entry], file: &Path) -> Result<ExitCode> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let findings = compare(&parse(&text)?, &look(entries)?);
    findings.iter().for_each(|finding| eprintln!("{finding}"));
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look(entries: &[Entry]) -> Result<Costs> {
    let mut db = BenchDb::to_count()?;
    // Large messages cost the same calls as small ones, and take longer.
    let is_looked_at = |workload: &&Workload| workload.tasks == 1 && workload.bytes == SEND.bytes;
    let mut costs = Costs::new();
    for entry in entries.iter().filter(|entry| entry.kind == Kind::Ours) {
        let Some(count) = entry.count else { continue };
        for workload in WORKLOADS.iter().filter(is_looked_at) {
            let counts = count(workload, &mut db, OPERATIONS)
                .with_context(|| format!("{} does not {}", entry.name, workload.name))?;
            costs.insert((entry.name.to_owned(), workload.name.to_owned()), Cost::of(&counts));
        }
    }
    Ok(costs)
}

impl Cost {
    fn of(counts: &Counts) -> Self {
        Self {
            round_trips: counts.round_trips_per_operation(),
            allocations: counts.allocations_per_operation(),
        }
    }
}

fn compare(before: &Costs, now: &Costs) -> Vec<String> {
    let mut findings = Vec::new();
    for ((name, workload), cost) in now {
        let Some(known) = before.get(&(name.clone(), workload.clone())) else {
            findings.push(format!("{name} {workload}: not in the baseline"));
            continue;
        };
        let most = known.allocations + (known.allocations * TOLERATED).max(1.0);
        if cost.allocations > most {
            let (now, then) = (cost.allocations, known.allocations);
            findings.push(format!("{name} {workload}: {now:.1} allocations, where there were {then:.1}"));
        }
        // A round trip more or less over all operations belongs to the pool, not to the operation.
        if cost.round_trips > known.round_trips + 1.5 / f64::from(OPERATIONS) {
            let (now, then) = (cost.round_trips, known.round_trips);
            findings.push(format!("{name} {workload}: {now:.2} round trips, where there were {then:.2}"));
        }
    }
    findings
}

fn shown(costs: &Costs) -> String {
    let mut text = HEADING.to_owned();
    for ((name, workload), Cost { round_trips, allocations }) in costs {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} {workload} {round_trips:.2} {allocations:.1}");
    }
    text
}

fn parse(text: &str) -> Result<Costs> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let mut word = || words.next().with_context(|| format!("the baseline has a line {line:?}"));
        let names = (word()?.to_owned(), word()?.to_owned());
        Ok((names, Cost { round_trips: word()?.parse()?, allocations: word()?.parse()? }))
    };
    lines.map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(round_trips: f64, allocations: f64) -> Costs {
        [(("tokio".to_owned(), "send".to_owned()), Cost { round_trips, allocations })].into()
    }

    #[test]
    fn a_baseline_is_read_as_it_is_written() {
        let costs = costs(1.0, 23.5);
        assert_eq!(parse(&shown(&costs)).unwrap(), costs);
        assert!(parse("tokio send").is_err());
    }

    #[test]
    fn what_costs_more_is_found_and_what_costs_less_is_not() {
        let before = costs(1.0, 100.0);
        assert_eq!(compare(&before, &costs(1.0, 104.0)), [""; 0]);
        assert_eq!(compare(&before, &costs(0.5, 10.0)), [""; 0]);
        assert_eq!(
            compare(&before, &costs(1.0, 106.0)),
            ["tokio send: 106.0 allocations, where there were 100.0"]
        );
        assert_eq!(
            compare(&before, &costs(2.0, 100.0)),
            ["tokio send: 2.00 round trips, where there were 1.00"]
        );
        assert_eq!(compare(&Costs::new(), &before), ["tokio send: not in the baseline"]);
    }
}
