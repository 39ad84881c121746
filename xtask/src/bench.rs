//! `cargo xtask bench`: measures the clients against their drivers and the official client.
//!
//! The bench is a separate package, since it is built in release mode and has dependencies that no other
//! command needs.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo;
use crate::setup::{self, Need};
use crate::workspace::BENCH_PACKAGE;

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let ready = setup::prepare(&[Need::CCompiler, Need::ServerPrograms], false, None)?;
    // The contestants that are not of this workspace, which take a while to build.
    let others = if arguments.iter().any(|argument| argument == "--worker") { "peers" } else { "official" };
    let mut command =
        cargo::command(["run", "--release", "--package", BENCH_PACKAGE, "--features", others, "--"]);
    // A folder among the arguments is relative to the folder in which the command was typed.
    let status = command.args(arguments).envs(ready.variables).current_dir(".").status();
    Ok(if status.context("cannot run cargo")?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
