//! Running programs to find out what a machine has.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// Returns `true` if a program runs and succeeds.
pub(super) fn succeeds(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
