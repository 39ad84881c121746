//! `cargo xtask tidy`: the checks that a change has to pass, apart from the tests.

mod api;
mod dependencies;
mod features;
mod rules;
mod sources;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::setup::{self, Need};
use crate::terminal::{bold, green, red, say};

const CLIPPY: [&str; 3] = ["clippy", "--workspace", "--all-targets"];
const DOC: [&str; 3] = ["doc", "--workspace", "--no-deps"];

/// The arguments of cargo that select features.
type Features = &'static [&'static str];

type Check = fn(Features) -> Result<bool>;

/// The checks that take seconds.
const QUICK: [(&str, Check); 2] = [("rules", |_| rules::hold()), ("format", |_| is_formatted())];
/// The checks that build the workspace.
const SLOW: [(&str, Check); 2] = [("lints", has_no_warnings), ("docs", has_clean_docs)];

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let mut checks = QUICK.to_vec();
    let mut features: Features = &[];
    if !options.quick {
        checks.extend(SLOW);
        // All features take native-tls, which takes OpenSSL.
        let ready = setup::prepare(&[Need::CCompiler, Need::OpenSsl], false, None)?;
        if !ready.missing.contains(&Need::OpenSsl) {
            features = &["--all-features"];
        }
    }
    if options.fix {
        succeeds(&mut cargo::command(["fmt", "--all"]))?;
        let fix = ["--fix", "--allow-dirty", "--allow-staged"];
        succeeds(cargo::command(CLIPPY).args(features).args(fix))?;
    }
    // Every check runs, also after one that fails, so that one run reports everything.
    let mut failed = Vec::new();
    for (name, check) in checks {
        say(bold(name));
        if check(features)? {
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

#[derive(Default)]
struct Options {
    fix: bool,
    quick: bool,
}

impl Options {
    fn parse(arguments: Vec<OsString>) -> Result<Self> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("fix") => options.fix = true,
                lexopt::Arg::Long("quick") => options.quick = true,
                other => return Err(other.unexpected()).context("usage: cargo xtask tidy [--fix | --quick]"),
            }
        }
        if options.fix && options.quick {
            bail!("--fix and --quick exclude each other, since --fix builds the workspace");
        }
        Ok(options)
    }
}

fn is_formatted() -> Result<bool> {
    succeeds(&mut cargo::command(["fmt", "--all", "--check"]))
}

fn has_no_warnings(features: Features) -> Result<bool> {
    succeeds(cargo::command(CLIPPY).args(features).args(["--", "--deny=warnings"]))
}

fn has_clean_docs(features: Features) -> Result<bool> {
    succeeds(cargo::command(DOC).args(features).env("RUSTDOCFLAGS", "--deny=warnings"))
}

fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command.status().context("cannot run cargo")?.success())
}
