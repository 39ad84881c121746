//! Cases about environment variables, which only a process of its own can have for itself.

use std::{
    env,
    process::{Command, ExitCode},
};

use pgmq_core::{AsyncQueue, QueueError};

use super::{Backend, Failure, Q};

const CHILD: &str = "PGMQ_CONFORMANCE_CHILD";

/// What a child is to know of its surroundings, for nothing of the parent's to shine through.
const VARIABLES: [&str; 7] =
    ["DATABASE_URL", "PG_HOST", "PG_PORT", "PG_DATABASE", "PG_USERNAME", "PG_PASSWORD", "PG_INIT_EXTENSION"];

/// If this process is a child: connects by its variables, says on standard output how that went, and ends.
pub(super) fn run<B: Backend>() -> Option<ExitCode> {
    env::var_os(CHILD)?;
    let said = B::block_on(async {
        match B::from_env().await {
            Err(error) => format!("connect: {:?}", error.kind()),
            Ok(queue) => match queue.send(Q, "from the child").await {
                Err(error) => format!("send: {:?}", error.kind()),
                Ok(id) => format!("sent {id}"),
            },
        }
    });
    println!("{said}");
    Some(ExitCode::SUCCESS)
}

/// What a child with these variables says.
pub(super) fn with_variables(variables: &[(&str, &str)]) -> Result<String, Failure> {
    let mut command = Command::new(env::current_exe()?);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let output = command.env(CHILD, "1").envs(variables.iter().copied()).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
