//! Finds Postgres' server programs on this machine.

use std::env;
use std::path::{Path, PathBuf};

use pgmq_test_programs::{POSTGRES_BIN, is_complete};

use crate::error::ServerError;

/// Returns the folder with `initdb`, `postgres` and `pg_ctl`, if this machine has one.
///
/// # Errors
///
/// If `PGMQ_TEST_POSTGRES_BIN` names a folder without them. An explicit choice is never replaced by another
/// server.
pub(crate) fn find() -> Result<Option<PathBuf>, ServerError> {
    let Some(folder) = env::var_os(POSTGRES_BIN) else { return Ok(pgmq_test_programs::find()) };
    let folder = PathBuf::from(folder);
    if is_complete(&folder) {
        Ok(Some(folder))
    } else {
        Err(ServerError::new(format!(
            "{POSTGRES_BIN} is {}, which does not contain initdb, postgres and pg_ctl",
            folder.display()
        )))
    }
}

/// Returns the path of one of the programs in such a folder.
///
/// A folder may have only links to the usual three programs; then it is the path next to the link's target.
pub(crate) fn program(folder: &Path, name: &str) -> PathBuf {
    let program = folder.join(name);
    let linked = || Some(folder.join("postgres").canonicalize().ok()?.with_file_name(name));
    if program.is_file() { program } else { linked().unwrap_or(program) }
}
