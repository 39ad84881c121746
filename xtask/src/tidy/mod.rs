//! `cargo xtask tidy`: the checks that a change has to pass, apart from the tests.

mod api;
mod backends;
mod changelog;
mod circles;
mod dependencies;
mod docs_drift;
mod features;
mod graph;
mod manifests;
mod metadata;
mod modules;
mod operations;
mod packages;
mod prose;
mod repository;
mod rules;
mod rust_version;
mod sources;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use lexopt::ValueExt;

use crate::cargo;
use crate::setup::{self, Need};
use crate::terminal::{bold, green, red, say};
use repository::Repository;
use rules::{RULES, Rule};

const USAGE: &str = "usage: cargo xtask tidy [--fix | --quick] [--rule NAME ...] [--count]";

const CLIPPY: [&str; 3] = ["clippy", "--workspace", "--all-targets"];
const DOC: [&str; 3] = ["doc", "--workspace", "--no-deps"];

type Check = fn(&Options) -> Result<bool>;

/// The checks that take seconds.
const QUICK: [(&str, Check); 2] = [("rules", rules_hold), ("format", is_formatted)];

/// The checks that build the workspace.
const SLOW: [(&str, Check); 2] = [("lints", has_no_warnings), ("docs", has_clean_docs)];

#[derive(Debug, Default)]
struct Options {
    fix: bool,
    quick: bool,
    count: bool,
    /// The rules to check, without the other checks; all if empty.
    rules: Vec<String>,
    /// The arguments of cargo that select features.
    features: &'static [&'static str],
}

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let mut options = Options::parse(arguments)?;
    let mut checks = QUICK.to_vec();
    if !options.rules.is_empty() || options.count {
        checks.truncate(1);
    } else if !options.quick {
        checks.extend(SLOW);
        // The feature native-tls needs OpenSSL.
        let ready = setup::prepare(&[Need::CCompiler, Need::OpenSsl], false, None)?;
        if !ready.missing.contains(&Need::OpenSsl) {
            options.features = &["--all-features"];
        }
    }
    if options.fix {
        succeeds(&mut cargo::command(["fmt", "--all"]))?;
        let fix = ["--fix", "--allow-dirty", "--allow-staged"];
        succeeds(cargo::command(CLIPPY).args(options.features).args(fix))?;
    }
    // A failed check does not end the run, so that one run reports everything.
    let mut failed = Vec::new();
    for (name, check) in checks {
        say(bold(name));
        if check(&options)? {
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

impl Options {
    fn parse(arguments: Vec<OsString>) -> Result<Self> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("fix") => options.fix = true,
                lexopt::Arg::Long("quick") => options.quick = true,
                lexopt::Arg::Long("count") => options.count = true,
                lexopt::Arg::Long("rule") => options.rules.push(parser.value()?.string()?),
                other => return Err(other.unexpected()).context(USAGE),
            }
        }
        if options.fix && options.quick {
            bail!("--fix and --quick exclude each other, since --fix builds the workspace");
        }
        Ok(options)
    }
}

/// Checks the rules and prints their findings, or the number of findings of each.
fn rules_hold(options: &Options) -> Result<bool> {
    let chosen: Vec<(&str, Rule)> = match options.rules.as_slice() {
        [] => RULES.to_vec(),
        names => names.iter().map(|name| rules::named(name)).collect::<Result<_>>()?,
    };
    let repository = Repository::read()?;
    let mut holds = true;
    for (name, rule) in chosen {
        let findings = rule(&repository).with_context(|| format!("cannot check the rule {name}"))?;
        holds &= findings.is_empty();
        if options.count {
            say(format!("{:5} {name}", findings.len()));
        } else {
            findings.iter().for_each(say);
        }
    }
    Ok(holds)
}

fn is_formatted(_: &Options) -> Result<bool> {
    succeeds(&mut cargo::command(["fmt", "--all", "--check"]))
}

fn has_no_warnings(options: &Options) -> Result<bool> {
    succeeds(cargo::command(CLIPPY).args(options.features).args(["--", "--deny=warnings"]))
}

fn has_clean_docs(options: &Options) -> Result<bool> {
    let mut doc = cargo::command(DOC);
    succeeds(doc.args(options.features).env("RUSTDOCFLAGS", "--deny=warnings"))
}

fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command.status().context("cannot run cargo")?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed_and_unknown_ones_are_refused() {
        let parse = |arguments: &[&str]| Options::parse(arguments.iter().map(OsString::from).collect());
        let options = parse(&["--quick", "--rule", "circles", "--rule=sql"]).unwrap();
        assert!(options.quick && !options.fix && !options.count);
        assert_eq!(options.rules, ["circles", "sql"]);
        assert!(parse(&["--slow"]).is_err());
    }

    #[test]
    fn every_rule_has_one_name() {
        for (name, _) in RULES.iter().copied() {
            assert_eq!(RULES.iter().filter(|(other, _)| *other == name).count(), 1, "{name}");
        }
        let error = rules::named("circle").unwrap_err().to_string();
        assert!(error.contains("circles"), "{error}");
    }
}
