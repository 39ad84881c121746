//! The process that cleans up if the test process no longer can.

use std::{
    ffi::OsStr,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// A small `sh` process that runs a clean-up script once this process drops it or ends.
///
/// The script waits for the end of a pipe that only this process holds. The system closes that pipe in any
/// case: if this process exits, panics, is interrupted or is killed. The standard library opens pipes
/// close-on-exec, so no other child keeps the pipe open.
pub(crate) struct Guardian {
    process: Child,
}

impl Guardian {
    /// Starts a guardian for `script`, which waits for the end of its input, and for `subject`, which it
    /// cleans up.
    pub(crate) fn start(script: &str, subject: &OsStr) -> io::Result<Self> {
        let process = Command::new("sh")
            .args(["-c", script, "pgmq-test-guardian"])
            .arg(subject)
            .stdin(Stdio::piped())
            // A reader of this process' output waits until every process that holds it has ended.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // Ctrl-C in a terminal goes to the whole process group of the test process.
            .process_group(0)
            .spawn()?;
        Ok(Self { process })
    }

    /// Sends a line to the script, which defines its meaning.
    pub(crate) fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.process.stdin {
            // Writing fails if the guardian was killed, and `finish` reports that.
            let _ = writeln!(pipe, "{line}");
        }
    }

    /// Makes the guardian clean up, and waits for it. Returns `true` if it succeeded.
    pub(crate) fn finish(&mut self) -> io::Result<bool> {
        drop(self.process.stdin.take());
        Ok(self.process.wait()?.success())
    }
}
