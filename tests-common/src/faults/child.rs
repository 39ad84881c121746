//! The process that a trial runs in.

use std::{
    env,
    io::{self, Read},
    process::{Command, ExitCode, Output, Stdio, exit},
    thread,
    time::Duration,
};

use super::{FAULTS, Tally, trial};
use crate::conformance::{Backend, Failure};

/// Names the trial to a child.
const TRIAL: &str = "PGMQ_FAULT";

/// No trial takes longer, unless something hangs that no time-out limits.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a trial in a child process to its end.
pub(crate) fn run_in_child(name: &str) -> Result<Tally, String> {
    let failed = |error: io::Error| format!("the process of the trial cannot be run: {error}");
    let mut command = Command::new(env::current_exe().map_err(failed)?);
    command.env(TRIAL, name).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    // The child ends when this end of the pipe is closed, whatever becomes of this process.
    let held = child.stdin.take();
    let Output { status, stdout, stderr } = child.wait_with_output().map_err(failed)?;
    drop(held);
    let said = String::from_utf8_lossy(&stdout);
    if !status.success() {
        return Err(format!("{}{said}it ended with {status}", String::from_utf8_lossy(&stderr)));
    }
    serde_json::from_str(&said).map_err(|error| format!("the trial said {said:?}: {error}"))
}

/// If this process is such a child: runs its trial, says on standard output what it counted, and ends.
pub(crate) fn run<B: Backend>() -> Option<ExitCode> {
    let name = env::var(TRIAL).ok()?;
    let fault = FAULTS.iter().find(|fault| fault.name == name).expect("the parent knows the faults");
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        exit(1)
    });
    thread::spawn(|| {
        thread::sleep(LIMIT);
        eprintln!("something hangs: the trial has taken {LIMIT:?}");
        exit(1)
    });
    let tally = trial::run::<B>(fault).and_then(|tally| Ok::<_, Failure>(serde_json::to_string(&tally)?));
    Some(match tally {
        Ok(tally) => {
            println!("{tally}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    })
}
