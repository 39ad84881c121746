//! The machine and the server, on which the numbers depend.

use std::{fs, thread};

use anyhow::Result;
use chrono::{SecondsFormat, Utc};

use crate::bench_db::BenchDb;

/// The settings of the server that matter most.
const SETTINGS: [&str; 4] = ["fsync", "full_page_writes", "shared_buffers", "autovacuum"];

/// Lines about the machine and the server.
pub(super) fn facts(db: &mut BenchDb) -> Result<Vec<String>> {
    let mut settings = Vec::new();
    for name in SETTINGS {
        settings.push(format!("{name} = {}", db.ask(&format!("SELECT current_setting('{name}')"))?));
    }
    let version = db.ask("SELECT current_setting('server_version')")?;
    Ok(vec![
        Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        machine(),
        format!("PostgreSQL {version}, PGMQ {}", db.pgmq_version()),
        settings.join(", "),
        if cfg!(debug_assertions) {
            "built WITHOUT optimisation".to_owned()
        } else {
            "built for release".to_owned()
        },
    ])
}

fn machine() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("processor not known", |(_, name)| name);
    format!("{cores} cores ({model}), {}", std::env::consts::OS)
}
