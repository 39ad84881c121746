//! Postgres' server programs on this machine.
//!
//! The search has the same places and the same order as that of the package that starts the server.
//! The search is repeated here, since that package takes minutes to build and the set-up comes first.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// The variable that names the folder of the server programs, here and in the programs of the tests.
pub(crate) const POSTGRES_BIN: &str = "PGMQ_TEST_POSTGRES_BIN";

/// The folders in which packages have a folder for each version: the parent, the start of the version's
/// folder, and the folder of the programs below it.
const PACKAGES: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/local", "pgsql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The folder that the user has chosen, on the command line or by the variable.
///
/// # Errors
///
/// If the programs are not in that folder.
pub(super) fn chosen(argument: Option<&OsStr>) -> Result<Option<PathBuf>> {
    let variable = env::var_os(POSTGRES_BIN);
    let Some(folder) = argument.map(PathBuf::from).or(variable.map(PathBuf::from)) else { return Ok(None) };
    if !is_complete(&folder) {
        bail!(
            "initdb, postgres and pg_ctl are not in {}; name another folder by --postgres-bin or {POSTGRES_BIN}",
            folder.display()
        );
    }
    Ok(Some(folder))
}

/// A folder with the programs: on `PATH`, where `pg_config` says, or where packages put them.
pub(super) fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let packaged =
        PACKAGES.iter().flat_map(|(parent, prefix, below)| versions(Path::new(parent), prefix, below));
    env::split_paths(&path).chain(pg_config()).chain(packaged).find(|folder| is_complete(folder))
}

/// Returns `true` if the server was built with OpenSSL.
pub(super) fn speak_tls(folder: &Path) -> bool {
    let mut command = Command::new(folder.join("postgres"));
    let output = command.arg("--describe-config").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    has_ciphers(&text)
}

/// Reads the default of `ssl_ciphers`, which is `none` in a build without OpenSSL.
fn has_ciphers(description: &str) -> bool {
    let line = description.lines().find(|line| line.starts_with("ssl_ciphers\t"));
    line.is_some_and(|line| !line.split('\t').any(|field| field == "none"))
}

pub(super) fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"].iter().all(|program| folder.join(program).is_file())
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// The packaged versions below a folder, the newest first.
fn versions(parent: &Path, prefix: &str, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?;
            Some((number(version), entry.path().join(below)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// The first number in a version such as `@17` or `16.2`, or 0.
fn number(version: &str) -> u32 {
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_and_other_folders_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pgsql-9", "pgsql-15", "other-99"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found = versions(folder.path(), "pgsql-", "bin");
        assert_eq!(found, [folder.path().join("pgsql-15/bin"), folder.path().join("pgsql-9/bin")]);
    }

    #[test]
    fn a_folder_that_lacks_a_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["initdb", "postgres"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(chosen(Some(folder.path().as_os_str())).unwrap_err().to_string().contains("pg_ctl"));
        fs::write(folder.path().join("pg_ctl"), "").unwrap();
        let found = chosen(Some(folder.path().as_os_str())).unwrap();
        assert_eq!(found.as_deref(), Some(folder.path()));
    }

    #[test]
    fn the_default_ciphers_show_a_build_with_tls() {
        assert!(has_ciphers("ssl\tpostmaster\nssl_ciphers\tsighup\tTLS\tSTRING\tHIGH:!aNULL\t\t\n"));
        assert!(!has_ciphers("ssl_ciphers\tsighup\tTLS\tSTRING\tnone\t\t\n"));
        assert!(!has_ciphers(""));
    }
}
