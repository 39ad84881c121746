//! `cargo xtask tidy`: what has to hold before a change goes in, but for the tests.

mod api;
mod dependencies;
mod features;
mod rules;
mod sources;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cargo;
use crate::terminal::{bold, green, red, say};

const CLIPPY: [&str; 4] = ["clippy", "--workspace", "--all-targets", "--all-features"];

type Check = fn() -> Result<bool>;

/// The quickest first.
const CHECKS: [(&str, Check); 4] =
    [("rules", rules::hold), ("format", is_formatted), ("lints", has_no_warnings), ("docs", has_clean_docs)];

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    if asks_to_fix(arguments)? {
        succeeds(&mut cargo::command(["fmt", "--all"]))?;
        succeeds(cargo::command(CLIPPY).args(["--fix", "--allow-dirty", "--allow-staged"]))?;
    }
    // All of them, also when one fails: whoever tidies up wants to know everything at once.
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        say(bold(name));
        if check()? {
            say(green("ok"));
        } else {
            say(red("not ok"));
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(format!("\nnot tidy: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

fn asks_to_fix(arguments: Vec<OsString>) -> Result<bool> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut fix = false;
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("fix") => fix = true,
            other => return Err(other.unexpected()).context("usage: cargo xtask tidy [--fix]"),
        }
    }
    Ok(fix)
}

fn is_formatted() -> Result<bool> {
    succeeds(&mut cargo::command(["fmt", "--all", "--check"]))
}

fn has_no_warnings() -> Result<bool> {
    succeeds(cargo::command(CLIPPY).args(["--", "--deny=warnings"]))
}

fn has_clean_docs() -> Result<bool> {
    let mut doc = cargo::command(["doc", "--workspace", "--no-deps", "--all-features"]);
    succeeds(doc.env("RUSTDOCFLAGS", "--deny=warnings"))
}

fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command.status().context("cannot run cargo")?.success())
}
