//! The length of the trials, and their figures.

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The figures of the trials, which are printed when all have ended.
static FIGURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds the figures of a trial at full length.
pub(crate) fn tell(figures: String) {
    if is_full() {
        lock(&FIGURES).push(figures);
    }
}

/// Returns `true` if the trials have their full length.
pub(crate) fn is_full() -> bool {
    env::var_os("PGMQ_TEST_FAULTS").is_some()
}

/// Prints the figures of all trials.
pub(crate) fn print() {
    lock(&FIGURES).iter().for_each(|figures| println!("figures: {figures}"));
}
