//! Postgres' load generator, whose cost is almost that of the server alone.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::bench_db::BenchDb;
use crate::client::QUEUE;
use crate::clients::raw::sql::SQL;
use crate::measure::{Budget, Sample, prepare};
use crate::payload::Order;
use crate::workload::Workload;

/// The transactions of each client in the trial run, from which the number of the measured ones follows.
const WARM_UP: u32 = 100;

/// Has `pgbench` send with prepared statements.
///
/// Its clients do not wait for connections, so there is one client for each connection.
pub(crate) fn measure(workload: &Workload, db: &mut BenchDb, budget: &Budget) -> Result<Sample> {
    prepare(workload, db, 0)?;
    let per_second = run(workload, db, WARM_UP)?.per_second();
    prepare(workload, db, 0)?;
    let transactions = per_second * budget.window.as_secs_f64() / f64::from(workload.connections);
    // A rate is not negative, and the number is far below the limit of the type.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a small count")]
    let transactions = (transactions as u32).max(WARM_UP / 10);
    run(workload, db, transactions)
}

fn run(workload: &Workload, db: &BenchDb, transactions: u32) -> Result<Sample> {
    let program = db.program("pgbench").context("pgbench is not next to the server's programs")?;
    let folder = TempDir::new()?;
    let script = folder.path().join("send.sql");
    // In a script, parameters have names.
    fs::write(&script, SQL.send.replace("$1", ":queue").replace("$2", ":message"))?;
    let config = db.config()?;
    let password = config.get_password().map(String::from_utf8_lossy).unwrap_or_default();
    let output = Command::new(program)
        .current_dir(folder.path())
        .args(["--no-vacuum", "--protocol=prepared", "--log", "--log-prefix=log"])
        .arg(format!("--file={}", script.display()))
        .arg(format!("--define=queue={QUEUE}"))
        .arg(format!("--define=message={}", serde_json::to_string(&Order::of_about(workload.bytes))?))
        .arg(format!("--client={}", workload.connections))
        .arg(format!("--jobs={}", workload.connections.min(2)))
        .arg(format!("--transactions={transactions}"))
        .arg(format!("--host={}", db.addr()?.ip()))
        .arg(format!("--port={}", db.addr()?.port()))
        .arg(format!("--username={}", config.get_user().unwrap_or_default()))
        .arg(config.get_dbname().unwrap_or_default())
        .env("PGPASSWORD", &*password)
        .stdin(Stdio::null())
        .output()
        .context("cannot run pgbench")?;
    if !output.status.success() {
        bail!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let mut sample = Sample::empty()?;
    sample.cpu = None;
    for entry in fs::read_dir(folder.path())? {
        let path = entry?.path();
        if path != script {
            read_log(&fs::read_to_string(path)?, workload.connections, &mut sample)?;
        }
    }
    sample.elapsed = time_of(sample.operations(), &String::from_utf8_lossy(&output.stdout))?;
    Ok(sample)
}

/// Reads the log of a thread: for each transaction its client, its number, and its duration in microseconds.
fn read_log(log: &str, clients: u32, sample: &mut Sample) -> Result<()> {
    sample.per_task.resize(usize::try_from(clients)?, 0);
    for line in log.lines() {
        let mut fields = line.split(' ');
        let (Some(client), Some(_), Some(time)) = (fields.next(), fields.next(), fields.next()) else {
            bail!("a line in the log of pgbench is not as expected: {line}");
        };
        let microseconds: u64 = time.parse()?;
        sample.latencies.saturating_record(microseconds * 1000);
        let client: usize = client.parse()?;
        *sample.per_task.get_mut(client).context("pgbench has more clients than it was told")? += 1;
    }
    Ok(())
}

/// Computes the duration from the rate per second, which does not include connecting.
fn time_of(operations: u64, output: &str) -> Result<Duration> {
    let rate = output.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    let rate: f64 = rate.context("pgbench does not say how fast it was")?.parse()?;
    ensure!(rate > 0.0, "pgbench did nothing");
    Ok(Duration::from_secs_f64(operations as f64 / rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_says_is_understood() {
        let mut sample = Sample::empty().unwrap();
        read_log("0 1 250 0 1700000000 123456\n1 1 750 0 1700000000 123999\n", 2, &mut sample).unwrap();
        assert_eq!(sample.per_task, [1, 1]);
        assert_eq!(sample.latencies.max() / 1000, 750);
        let output = "transaction type: send.sql\nlatency average = 0.5 ms\n\
                      tps = 4.000000 (without initial connection time)\n";
        assert_eq!(time_of(2, output).unwrap(), Duration::from_millis(500));
        assert!(time_of(2, "").is_err());
    }
}
