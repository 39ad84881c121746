//! Finds Postgres' server programs, for the tests and for the set-up that comes before them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that names the folder of the server programs.
pub const POSTGRES_BIN: &str = "PGMQ_TEST_POSTGRES_BIN";

/// Folders in which packages create one folder per version: the parent, the prefix of the versions' folders,
/// and the folder of the programs below them.
const PACKAGES: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/local", "pgsql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// Returns a folder with the programs: on `PATH`, where `pg_config` says, or where packages put them.
pub fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let packaged = PACKAGES.iter().flat_map(|(parent, prefix, below)| versions(parent, prefix, below));
    env::split_paths(&path).chain(pg_config()).chain(packaged).find(|folder| is_complete(folder))
}

/// Returns `true` if a folder has `initdb`, `postgres` and `pg_ctl`.
pub fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"].iter().all(|program| folder.join(program).is_file())
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// Lists the packaged versions below a folder, newest first.
fn versions(parent: &str, prefix: &str, below: &str) -> Vec<PathBuf> {
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

/// Returns the first number in a version such as `@17` or `16.2`, or 0.
fn number(version: &str) -> u32 {
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{number, versions};

    #[test]
    fn versions_are_ordered_by_number() {
        assert_eq!(number("@17"), 17);
        assert_eq!(number("9.6"), 9);
        assert_eq!(number("latest"), 0);

        let folder = tempfile::tempdir().unwrap();
        for name in ["pgsql-9", "pgsql-15", "other-99"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found = versions(folder.path().to_str().unwrap(), "pgsql-", "bin");
        assert_eq!(found, [folder.path().join("pgsql-15/bin"), folder.path().join("pgsql-9/bin")]);
    }
}
