//! The temporary folder of a cluster or a pooler.

use std::{
    env,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{account::Account, error::ServerError, purpose::Purpose};

/// Room for `/pgmq-test-`, six random characters and the name of a socket such as `/.s.PGSQL.65535.lock`, in
/// the 103 bytes that every system allows.
const LONGEST: usize = 60;

/// The file system in memory on Linux. Copying a database there is several times faster than on a disk.
const MEMORY: &str = "/dev/shm";
/// Free space that [`MEMORY`] must have, in KiB: a database takes 8 MiB, and containers limit it to 64 MiB in
/// all.
const MEMORY_NEEDED: u64 = 4 << 20;

/// Creates a folder, and returns the user that has to run the program in it if that is not the current one.
///
/// The folder is below `TMPDIR` if that is set, otherwise in memory if there is enough of it. For
/// measurements it is never in memory.
///
/// Removing the folder is left to the guardian.
pub(crate) fn create(purpose: Purpose) -> Result<(PathBuf, Option<Account>), ServerError> {
    let failed = |error| ServerError::because("cannot create a temporary folder for the server", error);
    let folder =
        tempfile::Builder::new().prefix("pgmq-test-").tempdir_in(parent(purpose)).map_err(failed)?.keep();
    let root = folder.metadata().map_err(failed)?.uid() == 0;
    let account = if root { Some(Account::unprivileged()?) } else { None };
    if let Some(account) = account {
        chown(&folder, Some(account.user), Some(account.group)).map_err(failed)?;
    }
    Ok((folder, account))
}

fn parent(purpose: Purpose) -> PathBuf {
    let memory = Path::new(MEMORY);
    let may_be_memory = purpose != Purpose::Measurements && env::var_os("TMPDIR").is_none();
    if may_be_memory && suits(memory) && free(memory) >= MEMORY_NEEDED {
        return memory.to_owned();
    }
    let temporary = env::temp_dir();
    if suits(&temporary) { temporary } else { PathBuf::from("/tmp") }
}

/// Returns `true` if the names of sockets below the folder are short enough, and other users can reach it.
fn suits(folder: &Path) -> bool {
    let open = |folder: &Path| folder.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 != 0);
    folder.as_os_str().len() <= LONGEST && folder.is_absolute() && folder.ancestors().all(open)
}

/// Returns the free space of a file system in KiB, or 0 if it is unknown.
fn free(folder: &Path) -> u64 {
    // The standard library has no call for this. POSIX defines the format of `df -P`.
    let output = Command::new("df").args(["-k", "-P"]).arg(folder).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = text.lines().nth(1).unwrap_or_default();
    line.split_whitespace().nth(3).and_then(|field| field.parse().ok()).unwrap_or(0)
}
