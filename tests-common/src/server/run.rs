//! The name of a test run, which all its databases begin with.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    process,
    sync::OnceLock,
};

use super::ServerError;

/// What every database of every test run begins with.
pub(crate) const FAMILY: &str = "pgmq_test_";

const VARIABLE: &str = "PGMQ_TEST_RUN";

/// Returns the name of this run: `PGMQ_TEST_RUN`, or one of its own for this process.
pub(crate) fn name() -> Result<String, ServerError> {
    static OWN: OnceLock<String> = OnceLock::new();
    let Ok(given) = env::var(VARIABLE) else {
        return Ok(OWN.get_or_init(fresh).clone());
    };
    // The name goes into SQL and says which databases may be dropped, so it has to be one of ours.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if given.starts_with(FAMILY) && given.len() <= 40 && given.chars().all(plain) {
        Ok(given)
    } else {
        Err(ServerError::new(format!(
            "{VARIABLE} must begin with {FAMILY} and have at most 40 of a-z, 0-9 and _"
        )))
    }
}

/// Makes up a name for a run.
fn fresh() -> String {
    format!("{FAMILY}{}_{}", process::id(), tag())
}

/// Returns eight random hexadecimal digits.
pub(crate) fn tag() -> String {
    format!("{:08x}", random() & 0xffff_ffff)
}

/// Returns a random number, good enough for names and throw-away passwords.
pub(crate) fn random() -> u64 {
    // The standard library seeds each hasher from the system's random source.
    RandomState::new().hash_one(process::id())
}
