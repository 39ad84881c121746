//! Capturing log records. Events of `tracing` become records, since the drivers enable its feature `log`.

use std::{
    fmt::Write,
    sync::{Mutex, Once, PoisonError},
};

static TEXT: Mutex<String> = Mutex::new(String::new());

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut text = TEXT.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(text, "{} {}: {}", record.level(), record.target(), record.args())
            .expect("writing to a string does not fail");
    }

    fn flush(&self) {}
}

/// Starts to capture the records of all levels and threads.
///
/// # Panics
///
/// If the process has another logger.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        log::set_logger(&Capture).expect("no other logger is set");
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// The records since the last call.
pub(crate) fn take() -> String {
    std::mem::take(&mut *TEXT.lock().unwrap_or_else(PoisonError::into_inner))
}
