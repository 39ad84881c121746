//! Tests of the machine: its rules one by one, and all of them against a server and handlers that misbehave.

mod commands;
mod fuzz;
mod judge;
mod leases;
mod looks;
mod messages;
mod rig;
mod server;
mod shell;
mod stops;
mod timeouts;
mod weather;
mod world;

use std::time::Duration;

use crate::machine::config::Config;

/// A configuration with round numbers.
fn config() -> Config {
    Config {
        concurrency: 4,
        prefetch: 4,
        max_prefetch: 0,
        batch: 1,
        linger: Duration::ZERO,
        max_claim: 100,
        max_settle: 100,
        max_in_flight: 1_000,
        vt: Duration::from_secs(30),
        max_reads: 10,
        suspect_after: 3,
        timeout: None,
        grace: Duration::from_secs(5),
        keeps_stuck: false,
        throttle: Some(Duration::from_millis(250)),
        backstop: Duration::from_secs(10),
        poll: Duration::from_secs(1),
    }
}
