//! `cargo xtask bench`: the cost of the clients of this workspace, compared to their drivers and the official
//! client.
//!
//! [`client`] is the trait of everything that is compared, and [`clients`] lists the implementations.
//! [`workload`] has the workloads. [`rounds`] orders the measurements, on the server and database of
//! [`bench_db`]. [`measure`] measures times, and [`counts`] counts what does not depend on time.
//! [`statistics`] and [`report`] turn the results into tables and plots. [`worker`] compares the worker.

mod baseline;
mod bench_db;
mod client;
mod clients;
mod counts;
mod engine;
mod growth;
mod measure;
mod options;
mod payload;
mod report;
mod rounds;
mod statistics;
mod worker;
mod workload;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

use self::bench_db::BenchDb;
use self::clients::Entry;
use self::options::{Options, Task};
use self::report::Report;
use self::rounds::Setting;
use self::workload::SEND;

/// The program that comes with Postgres, and the name of the entry that runs it.
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
    let entries = clients::entries();
    match &options.task {
        Task::Compare => compare(&options, &entries),
        Task::Grow => grow(&options, &entries),
        Task::Work => worker::run(&options),
        Task::CheckBaseline(file) => baseline::check(&entries, file),
        Task::WriteBaseline(file) => baseline::write(&entries, file),
    }
}

/// Measures the workloads of all clients, with and without waiting for the disk.
fn compare(options: &Options, entries: &[Entry]) -> Result<ExitCode> {
    let (workloads, clients) = (options.workloads()?, options.clients(entries)?);
    let mut db = BenchDb::to_measure()?;
    let mut report = Report::begin(&mut db, &options.budget)?;
    let has_pgbench = db.program(PGBENCH).is_some();
    if !has_pgbench {
        report.note("without pgbench, which is not next to the server's programs");
    }
    for workload in workloads {
        let can_take_part =
            |entry: &&Entry| entry.can_do(&workload) && (has_pgbench || entry.name != PGBENCH);
        let taking_part: Vec<_> = clients.iter().copied().filter(can_take_part).collect();
        // The cost of the disk is the same in all workloads.
        let with_the_disk = !options.is_quick || workload.name == SEND.name;
        for synchronous_commit in [false, true].into_iter().filter(|is_on| !is_on || with_the_disk) {
            eprintln!("{}, synchronous_commit {}", workload.name, rounds::on_or_off(synchronous_commit));
            let setting = Setting { workload, synchronous_commit };
            report.add(rounds::run(setting, &taking_part, &mut db, &options.budget)?);
        }
    }
    report.write(options.out.as_deref())
}

/// Measures one dimension of growth after the other.
fn grow(options: &Options, entries: &[Entry]) -> Result<ExitCode> {
    let mut db = BenchDb::to_measure()?;
    let mut report = Report::begin(&mut db, &options.budget)?;
    report.note(format!("{}, synchronous_commit = off", growth::CLIENT));
    db.set_synchronous_commit(false)?;
    for dimension in options.dimensions()? {
        eprintln!("{}: {}", dimension.name, dimension.about);
        report.add_growth(growth::run(dimension, options.is_quick, entries, &mut db, &options.budget)?);
    }
    report.write(options.out.as_deref())
}
