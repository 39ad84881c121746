//! Running cargo from within cargo.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::Command;

use crate::workspace;

/// Cargo with these arguments, in the folder of the repository.
pub(crate) fn command<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(workspace::root());
    forget_own_package(&mut command);
    command
}

/// Takes out what `cargo run` says of this package to us. A build script that looks at it would be run anew each time.
pub(crate) fn forget_own_package(command: &mut Command) {
    let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME"];
    for (name, _) in env::vars_os() {
        if ours.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
}
