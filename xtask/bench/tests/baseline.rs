//! That nothing has become more expensive unnoticed.

use std::env;
use std::process::Command;

/// With this variable set, the baseline is written anew.
const WRITE: &str = "PGMQ_BENCH_WRITE_BASELINE";

#[test]
fn the_hot_paths_cost_no_more_than_they_did() {
    let option = if env::var_os(WRITE).is_some() { "--write-baseline" } else { "--check-baseline" };
    // A program of its own: what other tests allocate meanwhile is not counted.
    let bench = Command::new(env!("CARGO_BIN_EXE_bench")).args([option, "baseline.txt"]).output().unwrap();
    assert!(
        bench.status.success(),
        "{}if that is meant to be so, {WRITE}=1 writes the baseline anew",
        String::from_utf8_lossy(&bench.stderr)
    );
}
