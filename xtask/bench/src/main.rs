//! What the clients of this workspace cost, beside their drivers and beside the official client: `cargo xtask bench`.
//!
//! [`contestant`] is what is compared, and [`contestants`] are all of them; [`workload`] is what they do. [`rounds`] says who is
//! measured when, on the server and database of [`stage`]; [`measure`] takes the times of one and [`counts`] what does not depend on time.
//! [`statistics`] and [`report`] make tables and plots of it.

mod baseline;
mod contestant;
mod contestants;
mod counts;
mod engine;
mod growth;
mod measure;
mod options;
mod payload;
mod report;
mod rounds;
mod stage;
mod statistics;
mod workload;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

use self::contestants::Entry;
use self::options::{Options, Task};
use self::report::Report;
use self::rounds::Setting;
use self::stage::Stage;
use self::workload::SEND;

/// The program that comes with Postgres, and the contestant that is named after it.
const PGBENCH: &str = "pgbench";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let options = Options::parse(env::args_os().skip(1))?;
    let entries = contestants::entries();
    match &options.task {
        Task::Compare => compare(&options, &entries),
        Task::Grow => grow(&options, &entries),
        Task::CheckBaseline(file) => baseline::check(&entries, file),
        Task::WriteBaseline(file) => baseline::write(&entries, file),
    }
}

/// Has the contestants do the workloads, with and without waiting for the disk.
fn compare(options: &Options, entries: &[Entry]) -> Result<ExitCode> {
    let (workloads, contestants) = (options.workloads()?, options.contestants(entries)?);
    let mut stage = Stage::to_measure()?;
    let mut report = Report::begin(&mut stage, &options.effort)?;
    let has_pgbench = stage.program(PGBENCH).is_some();
    if !has_pgbench {
        report.note("without pgbench, which does not stand beside the server's programs");
    }
    for workload in workloads {
        let can_take_part =
            |entry: &&Entry| entry.can_do(&workload) && (has_pgbench || entry.name != PGBENCH);
        let taking_part: Vec<_> = contestants.iter().copied().filter(can_take_part).collect();
        // The disk's part is the same in all of them.
        let with_the_disk = !options.is_quick || workload.name == SEND.name;
        for synchronous_commit in [false, true].into_iter().filter(|is_on| !is_on || with_the_disk) {
            eprintln!("{}, synchronous_commit {}", workload.name, report::on_or_off(synchronous_commit));
            let setting = Setting { workload, synchronous_commit };
            report.add(rounds::run(setting, &taking_part, &mut stage, &options.effort)?);
        }
    }
    report.write(options.out.as_deref())
}

/// Has one thing after the other grow.
fn grow(options: &Options, entries: &[Entry]) -> Result<ExitCode> {
    let mut stage = Stage::to_measure()?;
    let mut report = Report::begin(&mut stage, &options.effort)?;
    report.note(format!("{}, synchronous_commit = off", growth::CONTESTANT));
    stage.set_synchronous_commit(false)?;
    for dimension in options.dimensions()? {
        eprintln!("{}: {}", dimension.name, dimension.about);
        report.add_growth(growth::run(dimension, options.is_quick, entries, &mut stage, &options.effort)?);
    }
    report.write(options.out.as_deref())
}
