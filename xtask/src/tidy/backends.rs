//! The rule that all back ends have the same files.

use anyhow::Result;

use super::repository::Repository;
use crate::workspace::BACKENDS;

/// The files below `src/` that a reader finds in every back end.
const FILES: [&str; 7] = ["lib.rs", "queue.rs", "bound.rs", "run.rs", "config.rs", "listen.rs", "error.rs"];

pub(super) fn backends_have_the_same_files(repository: &Repository) -> Result<Vec<String>> {
    let all = BACKENDS.iter().flat_map(|backend| FILES.map(|file| repository.sources_of(backend).join(file)));
    let missing = all.filter(|path| !path.is_file());
    Ok(missing
        .map(|path| format!("{}: missing; add it, as all back ends have it", repository.shown(&path)))
        .collect())
}
