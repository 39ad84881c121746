//! Installing packages on Debian and its descendants.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::machine::Rights;
use super::need::Need;

/// The packages that meet these needs.
pub(super) fn packages(needs: &[Need]) -> Vec<&'static str> {
    let of_need = |need: &Need| -> &[&str] {
        match need {
            Need::CCompiler => &["gcc", "libc6-dev"],
            Need::Postgres | Need::ServerPrograms => &["postgresql"],
            Need::OpenSsl => &["libssl-dev", "pkg-config"],
        }
    };
    needs.iter().flat_map(of_need).copied().collect()
}

/// Installs packages, in the version of the distribution.
///
/// # Errors
///
/// If apt-get fails; the message ends with its output.
pub(super) fn install(packages: &[&str], rights: Rights) -> Result<()> {
    // A new machine has no list of packages.
    apt_get(&["update"], rights)?;
    apt_get(&[&["--yes", "--no-install-recommends", "install"], packages].concat(), rights)
}

fn apt_get(arguments: &[&str], rights: Rights) -> Result<()> {
    let mut command = match rights {
        Rights::Root => Command::new("env"),
        Rights::Sudo => {
            let mut sudo = Command::new("sudo");
            // `sudo` asks for the password on the terminal, not on standard input.
            sudo.arg("env");
            sudo
        }
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--quiet"]).args(arguments);
    let output = command.stdin(Stdio::null()).output().context("cannot run apt-get")?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        bail!("apt-get fails with {}:\n{}", output.status, String::from_utf8_lossy(&text).trim_end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_need_has_its_packages() {
        assert_eq!(packages(&[Need::Postgres, Need::OpenSsl]), ["postgresql", "libssl-dev", "pkg-config"]);
        assert_eq!(packages(&[Need::CCompiler]), ["gcc", "libc6-dev"]);
    }
}
