//! The name of a test run, which is the prefix of its databases' names.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    process,
    sync::OnceLock,
};

use crate::error::ServerError;

/// Prefix of the names of all databases of all test runs.
pub(crate) const FAMILY: &str = "pgmq_test_";

const VARIABLE: &str = "PGMQ_TEST_RUN";

/// The name of this run: `PGMQ_TEST_RUN`, or a name for this process.
pub(crate) fn name() -> Result<String, ServerError> {
    static OWN: OnceLock<String> = OnceLock::new();
    let Ok(given) = env::var(VARIABLE) else {
        return Ok(OWN.get_or_init(fresh).clone());
    };
    // The name is used in SQL and selects the databases to drop, so it must have the expected form.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if given.starts_with(FAMILY) && given.len() <= 40 && given.chars().all(plain) {
        Ok(given)
    } else {
        Err(ServerError::new(format!(
            "{VARIABLE} must begin with {FAMILY} and have at most 40 of a-z, 0-9 and _"
        )))
    }
}

/// A new name for a run.
fn fresh() -> String {
    format!("{FAMILY}{}_{}", process::id(), tag())
}

/// Returns eight random hexadecimal digits.
pub(crate) fn tag() -> String {
    format!("{:08x}", random() & 0xffff_ffff)
}

/// Returns a random number for names and throw-away passwords.
pub(crate) fn random() -> u64 {
    // The standard library seeds each hasher from the system's random source.
    RandomState::new().hash_one(process::id())
}
