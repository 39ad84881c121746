//! The process that cleans up when the test process no longer can.

use std::{
    ffi::OsStr,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// A small `sh` process that runs a clean-up script to its end once this process lets go of it.
///
/// It waits for the end of a pipe that only this process holds. The system closes that pipe whatever becomes of this
/// process: it exits, panics, is interrupted or is killed. The standard library opens pipes close-on-exec, so no
/// other child keeps it open.
pub(crate) struct Guardian {
    process: Child,
}

impl Guardian {
    /// Starts a guardian for a script that waits for the end of its input, and for the thing that it cleans up.
    pub(crate) fn start(script: &str, subject: &OsStr) -> io::Result<Self> {
        let process = Command::new("sh")
            .args(["-c", script, "pgmq-test-guardian"])
            .arg(subject)
            .stdin(Stdio::piped())
            // Whoever reads this process' output waits for all holders of it.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // Ctrl-C in a terminal goes to the whole group of the test process.
            .process_group(0)
            .spawn()?;
        Ok(Self { process })
    }

    /// Sends it a line. What a line means is up to the script.
    pub(crate) fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.process.stdin {
            // It fails if somebody has killed the guardian, which shows at the end.
            let _ = writeln!(pipe, "{line}");
        }
    }

    /// Makes it clean up and waits until it has.
    pub(crate) fn finish(&mut self) -> io::Result<bool> {
        drop(self.process.stdin.take());
        Ok(self.process.wait()?.success())
    }
}
