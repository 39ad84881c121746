//! The purpose of a server that is started here.

/// The purpose that a server is started for, which decides its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Many short tests: the data is in memory if there is enough of it, and would not survive a crash.
    Tests,
    /// Tests that crash the server: confirmed data outlives its processes, and it can have a standby.
    Faults,
    /// Measurements: the data is on a disk, or below `TMPDIR`, and is flushed to it as by default. Nothing
    /// runs in the background.
    Measurements,
}
