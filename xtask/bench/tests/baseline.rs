//! The test that no operation costs more than the recorded baseline.

use std::env;
use std::process::Command;

/// The variable that has the baseline written instead of checked.
const WRITE: &str = "PGMQ_BENCH_WRITE_BASELINE";

#[test]
fn the_hot_paths_cost_no_more_than_they_did() {
    let option = if env::var_os(WRITE).is_some() { "--write-baseline" } else { "--check-baseline" };
    // A separate program, so that allocations of other tests are not counted.
    let bench =
        Command::new(env!("CARGO_BIN_EXE_pgmq-bench")).args([option, "baseline.txt"]).output().unwrap();
    assert!(
        bench.status.success(),
        "{}if the change is intended, {WRITE}=1 writes the baseline again",
        String::from_utf8_lossy(&bench.stderr)
    );
}
