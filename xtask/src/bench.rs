//! `cargo xtask bench`: measures the clients, beside their drivers and beside the official client.
//!
//! What does it is a package of its own: it is built for release, and pulls in what nothing else here needs.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo;

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let mut command =
        cargo::command(["run", "--release", "--package", "bench", "--features", "official", "--"]);
    // A folder that is given is meant from where the command was typed.
    let status = command.args(arguments).current_dir(".").status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
