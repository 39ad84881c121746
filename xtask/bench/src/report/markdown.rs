//! Tables.

use std::fmt::Write;
use std::time::Duration;

use crate::measure::Sample;
use crate::rounds::{Measured, Outcome, Setting, on_or_off};
use crate::statistics::Spread;

/// The title of a setting.
pub(super) fn begin(facts: &[String]) -> String {
    let mut out = String::from("# What the clients cost\n\n");
    facts.iter().for_each(|fact| line(&mut out, &format!("- {fact}")));
    out
}

/// The tables of each workload.
pub(super) fn tables(out: &mut String, outcomes: &[Outcome]) {
    for outcome in outcomes {
        let Setting { workload, synchronous_commit } = &outcome.setting;
        let commit = on_or_off(*synchronous_commit);
        line(out, &format!("\n## {}: {}, `synchronous_commit = {commit}`\n", workload.name, workload.about));
        rates(out, outcome);
        counts(out, outcome);
        failures(out, outcome);
    }
}

fn rates(out: &mut String, outcome: &Outcome) {
    let has_tasks = outcome.setting.workload.tasks > 1;
    let mut headings =
        vec!["client", "op/s", "min to max", "of its floor", "min to max", "p50 µs", "p99 µs", "CPU µs"];
    if has_tasks {
        headings.push("op per task");
    }
    heading(out, &headings);
    for result in outcome.results.iter().filter(|result| !result.samples.is_empty()) {
        let rates = per_second(result);
        let floor = outcome.results.iter().find(|other| other.name == result.floor);
        let ratios = floor.and_then(|floor| Spread::of_ratios(&rates, &per_second(floor)));
        let cpu = result.samples.iter().filter_map(|sample| Some(micros(sample.cpu_per_operation()?)));
        let mut cells = vec![result.name.to_owned()];
        cells.extend(both(Spread::of(rates), whole));
        cells.extend(both(ratios, |ratio| format!("{ratio:.2}")));
        cells.extend(quantiles(&result.samples));
        cells.push(Spread::of(cpu).map_or("-".to_owned(), |cpu| whole(cpu.median)));
        if has_tasks {
            let done = Spread::of(per_task(&result.samples));
            cells.push(done.map_or("-".to_owned(), |done| range(done, whole)));
        }
        row(out, &cells);
    }
}

fn counts(out: &mut String, outcome: &Outcome) {
    let counted: Vec<_> =
        outcome.results.iter().filter_map(|result| Some((result.name, result.counts?))).collect();
    if counted.is_empty() {
        return;
    }
    line(out, "");
    heading(out, &["client", "round trips per op", "allocations per op", "bytes per op", "peak KiB"]);
    for (name, counts) in counted {
        row(
            out,
            &[
                name.to_owned(),
                format!("{:.2}", counts.round_trips_per_operation()),
                format!("{:.1}", counts.allocations_per_operation()),
                whole(counts.bytes_per_operation()),
                format!("{:.1}", counts.peak_bytes as f64 / 1024.0),
            ],
        );
    }
}

fn failures(out: &mut String, outcome: &Outcome) {
    let failed = outcome.results.iter().filter_map(|result| Some((result.name, result.failure.as_ref()?)));
    for (name, failure) in failed {
        line(out, &format!("\n**{name} failed**: {failure:#}"));
    }
}

fn per_second(result: &Measured) -> Vec<f64> {
    result.samples.iter().map(Sample::per_second).collect()
}

/// The median and the 99th percentile of the latencies of all rounds together, in microseconds.
pub(super) fn quantiles(samples: &[Sample]) -> [String; 2] {
    let latencies = samples.iter().map(|sample| sample.latencies.clone());
    let all = latencies.reduce(|mut all, more| {
        // The histograms have the same bounds.
        let _ = all.add(more);
        all
    });
    [0.5, 0.99].map(|quantile| match &all {
        Some(all) => whole(all.value_at_quantile(quantile) as f64 / 1000.0),
        None => "-".to_owned(),
    })
}

/// The number of operations of each task, over all rounds.
fn per_task(samples: &[Sample]) -> impl Iterator<Item = f64> {
    samples.iter().flat_map(|sample| sample.per_task.iter().map(|operations| *operations as f64))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The median and the range of the values, as two cells.
pub(super) fn both(spread: Option<Spread>, show: fn(f64) -> String) -> [String; 2] {
    match spread {
        Some(spread) => [show(spread.median), range(spread, show)],
        None => ["-".to_owned(), "-".to_owned()],
    }
}

pub(super) fn range(spread: Spread, show: fn(f64) -> String) -> String {
    format!("{} to {}", show(spread.min), show(spread.max))
}

pub(super) fn whole(value: f64) -> String {
    format!("{value:.0}")
}

/// The head of a table; all columns but the first are flush right.
pub(super) fn heading(out: &mut String, names: &[&str]) {
    row(out, names);
    let rules: Vec<_> = (0..names.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
    row(out, &rules);
}

pub(super) fn row<T: AsRef<str>>(out: &mut String, cells: &[T]) {
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    line(out, &format!("| {} |", cells.join(" | ")));
}

pub(super) fn line(out: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}
