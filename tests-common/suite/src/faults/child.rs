//! The child process of an experiment.

use std::{
    env,
    io::{self, Read},
    process::{Command, ExitCode, Output, Stdio, exit},
    thread,
    time::Duration,
};

use crate::{
    faults::{catalog::FAULTS, experiment, report::Report},
    kit::{backend::Backend, failure::Failure},
};

/// Variable that names the fault to a child process.
const FAULT: &str = "PGMQ_FAULT";

/// Time limit of an experiment. Only a hang that no timeout ends takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs an experiment in a child process to its end.
pub(crate) fn run_in_child(name: &str) -> Result<Report, String> {
    let failed = |error: io::Error| format!("cannot run the process of the experiment: {error}");
    let mut command = Command::new(env::current_exe().map_err(failed)?);
    command.env(FAULT, name).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    // The child exits when this end of the pipe is closed, even if this process is killed.
    let held = child.stdin.take();
    let Output { status, stdout, stderr } = child.wait_with_output().map_err(failed)?;
    drop(held);
    let printed = String::from_utf8_lossy(&stdout);
    if !status.success() {
        return Err(format!(
            "{}{printed}the experiment ended with {status}",
            String::from_utf8_lossy(&stderr)
        ));
    }
    serde_json::from_str(&printed).map_err(|error| format!("cannot read the report {printed:?}: {error}"))
}

/// Runs an experiment and prints its report, if this process is the child of one. Returns `None` otherwise.
pub(crate) fn run<B: Backend>() -> Option<ExitCode> {
    let name = env::var(FAULT).ok()?;
    let fault =
        FAULTS.iter().find(|fault| fault.name == name).expect("the parent has the same list of faults");
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        exit(1)
    });
    thread::spawn(|| {
        thread::sleep(LIMIT);
        eprintln!("the experiment hangs: it has run for {LIMIT:?}");
        exit(1)
    });
    let report =
        experiment::run::<B>(fault).and_then(|report| Ok::<_, Failure>(serde_json::to_string(&report)?));
    Some(match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    })
}
