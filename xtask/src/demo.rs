//! `cargo xtask demo`: each back end at work.
//!
//! The demo is a separate package, since it depends on every back end.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo;
use crate::setup::{self, Need};
use crate::workspace::{BACKENDS, DEMO_PACKAGE, chosen};

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Arguments { names, install } = Arguments::parse(arguments)?;
    let backends = chosen(&names, &BACKENDS)?;
    // Before the build, which takes minutes.
    let ready = setup::prepare(&[Need::CCompiler, Need::Postgres], install, None)?;
    let mut command = cargo::command(["run", "--package", DEMO_PACKAGE, "--"]);
    let status = command.args(backends).envs(ready.variables).status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Arguments {
    names: Vec<String>,
    install: bool,
}

impl Arguments {
    fn parse(arguments: Vec<OsString>) -> Result<Self> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let (mut names, mut install) = (Vec::new(), false);
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("install") => install = true,
                lexopt::Arg::Value(name) => names.push(name.to_string_lossy().into_owned()),
                other => {
                    return Err(other.unexpected())
                        .context("usage: cargo xtask demo [--install] [BACKEND ...]");
                }
            }
        }
        Ok(Self { names, install })
    }
}
