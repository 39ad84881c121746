//! The temporary folder that a cluster lives in.

use std::{
    env,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use super::{Account, Purpose, ServerError};

/// Room for `/pgmq-test-`, six random characters and the name of a socket such as `/.s.PGSQL.65535.lock`, in the 103
/// bytes that every system allows.
const LONGEST: usize = 60;

/// A file system in memory, which Linux has. Copying a database there is several times faster than on a disk.
const MEMORY: &str = "/dev/shm";
/// What it must have free, in KiB: a database takes 8 MiB, and containers give it 64 MiB in all.
const MEMORY_NEEDED: u64 = 4 << 20;

/// Makes a folder for a cluster, and says which user has to run it if that is not the present one.
///
/// It is below `TMPDIR` if that is set, else in memory where there is enough of it, unless a disk is to be measured.
///
/// Nothing removes the folder yet: that is for the guardian.
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

/// Tells whether sockets below the folder have names that are short enough, and whether others can get there.
fn suits(folder: &Path) -> bool {
    let open = |folder: &Path| folder.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 != 0);
    folder.as_os_str().len() <= LONGEST && folder.is_absolute() && folder.ancestors().all(open)
}

/// Returns what a file system has free, in KiB, or 0 if it does not say.
fn free(folder: &Path) -> u64 {
    // The standard library does not tell; this format is fixed by POSIX.
    let output = Command::new("df").args(["-k", "-P"]).arg(folder).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = text.lines().nth(1).unwrap_or_default();
    line.split_whitespace().nth(3).and_then(|field| field.parse().ok()).unwrap_or(0)
}
