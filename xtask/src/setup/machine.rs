//! The parts of a machine that matter for the set-up.

use std::ffi::OsStr;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, os::unix::net::UnixStream};

use anyhow::Result;

use super::command::succeeds;
use super::need::Need;
use super::programs;
use super::registry::Registry;
use crate::workspace;

/// The rights to install packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    Root,
    Sudo,
}

#[derive(Debug, Default)]
pub(super) struct Machine {
    /// `true` if the user names a server by URL.
    pub(super) has_url: bool,
    /// The folder of server programs that the user has chosen.
    pub(super) chosen: Option<PathBuf>,
    /// The folder of Postgres' server programs.
    pub(super) programs: Option<PathBuf>,
    pub(super) has_docker: bool,
    /// The folder of server programs that this set-up has fetched from a package registry, now or earlier.
    pub(super) fetched: Option<PathBuf>,
    pub(super) has_c_compiler: bool,
    pub(super) has_openssl: bool,
    /// `true` if Prometheus' tool for its files is here, which is never installed: the package of the system
    /// would start a server.
    pub(super) has_promtool: bool,
    /// The rights to install packages with apt-get, if the machine has it.
    pub(super) apt: Option<Rights>,
    pub(super) is_root: bool,
    /// `true` if a person can answer a question.
    pub(super) is_attended: bool,
    /// The registries that ship server programs for this platform and whose client works here.
    pub(super) registries: Vec<Registry>,
    /// The folder that cargo builds into.
    pub(super) target: PathBuf,
}

impl Machine {
    /// Looks at this machine.
    ///
    /// # Errors
    ///
    /// If the folder of server programs that the user has chosen lacks some.
    pub(super) fn look(postgres_bin: Option<&OsStr>) -> Result<Self> {
        let chosen = programs::chosen(postgres_bin)?;
        let target = workspace::target_folder()?;
        let is_root = is_root();
        let apt = is_on_path("apt-get").then(|| match is_root {
            true => Some(Rights::Root),
            false => is_on_path("sudo").then_some(Rights::Sudo),
        });
        Ok(Self {
            has_url: env::var_os("PGMQ_TEST_DATABASE_URL").is_some(),
            programs: chosen.clone().or_else(pgmq_test_programs::find),
            chosen,
            has_docker: has_docker(),
            fetched: Registry::ALL.iter().find_map(|registry| registry.fetched(&target)),
            has_c_compiler: succeeds(env::var_os("CC").unwrap_or_else(|| "cc".into()), &["--version"]),
            has_openssl: has_openssl(),
            has_promtool: succeeds("promtool", &["--version"]),
            apt: apt.flatten(),
            is_root,
            is_attended: stdin().is_terminal() && env::var_os("CI").is_none(),
            registries: Registry::ALL.into_iter().filter(|registry| registry.is_usable()).collect(),
            target,
        })
    }

    /// Returns `true` if nothing has to be done for this need.
    pub(super) fn meets(&self, need: Need) -> bool {
        let has_programs = self.programs.is_some() || self.fetched.is_some();
        match need {
            Need::CCompiler => self.has_c_compiler,
            Need::Postgres => self.has_url || has_programs || self.has_docker,
            Need::ServerPrograms => has_programs,
            Need::OpenSsl => self.has_openssl,
        }
    }

    /// Returns `true` if the fetched programs run the server: everything else that meets the need takes
    /// precedence.
    pub(super) fn uses_fetched(&self, needs: &[Need]) -> bool {
        let is_second = self.has_url || self.has_docker;
        self.programs.is_none() && (!is_second || needs.contains(&Need::ServerPrograms))
    }
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Returns `true` if a Docker engine listens.
fn has_docker() -> bool {
    let below = |variable, socket: &str| Some(PathBuf::from(env::var_os(variable)?).join(socket));
    let sockets = [
        Some(PathBuf::from("/var/run/docker.sock")),
        below("XDG_RUNTIME_DIR", "docker.sock"),
        below("HOME", ".docker/run/docker.sock"),
    ];
    env::var_os("DOCKER_HOST").is_some()
        || sockets.iter().flatten().any(|socket| UnixStream::connect(socket).is_ok())
}

/// Returns `true` where the build script of `openssl-sys` finds OpenSSL.
fn has_openssl() -> bool {
    let is_given = |variable| env::var_os(variable).is_some();
    let is_named = is_given("OPENSSL_DIR") || is_given("OPENSSL_LIB_DIR") && is_given("OPENSSL_INCLUDE_DIR");
    let homebrew = ["/opt/homebrew/opt/openssl@3", "/usr/local/opt/openssl@3"];
    let pkg_config = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    is_named
        || cfg!(target_os = "macos") && homebrew.iter().any(|folder| Path::new(folder).is_dir())
        || succeeds(pkg_config, &["--exists", "openssl"])
}
