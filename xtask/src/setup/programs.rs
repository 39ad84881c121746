//! Postgres' server programs on this machine.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use pgmq_test_programs::{POSTGRES_BIN, is_complete};

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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
