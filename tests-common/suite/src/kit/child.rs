//! Child processes of cases about environment variables, which a process cannot set for one of its threads
//! alone.

use std::{
    env,
    process::{Command, ExitCode},
};

use pgmq_core::{AsyncQueue, QueueError};

use crate::kit::{
    backend::{Backend, Builder},
    context::QUEUE,
    failure::Failure,
};

const CHILD: &str = "PGMQ_CONFORMANCE_CHILD";

/// Variables that are removed from a child's environment, so that it does not inherit the parent's.
const VARIABLES: [&str; 7] =
    ["DATABASE_URL", "PG_HOST", "PG_PORT", "PG_DATABASE", "PG_USERNAME", "PG_PASSWORD", "PG_INIT_EXTENSION"];

/// The way in which a child connects.
const PLAIN: &str = "plain";
const BUILDER: &str = "builder";

/// Runs a child: connects by the environment variables and prints the result. Returns `None` if this process
/// is not a child.
pub(crate) fn run<B: Backend>() -> Option<ExitCode> {
    let way = env::var(CHILD).ok()?;
    let result = B::block_on(async {
        let connected = match B::builder_from_env() {
            Ok(builder) if way == BUILDER => builder.install_extension(false).connect().await,
            _ => B::from_env().await,
        };
        match connected {
            Err(error) => format!("connect: {:?}", error.kind()),
            Ok(queue) => match queue.send(QUEUE, "from the child").await {
                Err(error) => format!("send: {:?}", error.kind()),
                Ok(id) => format!("sent {id}"),
            },
        }
    });
    println!("{result}");
    Some(ExitCode::SUCCESS)
}

/// The result that a child with these environment variables prints.
pub(crate) fn with_variables(variables: &[(&str, &str)]) -> Result<String, Failure> {
    connect(PLAIN, variables)
}

/// The result of a child that does not install the extension, by a setting of the builder.
pub(crate) fn with_builder(variables: &[(&str, &str)]) -> Result<String, Failure> {
    connect(BUILDER, variables)
}

fn connect(way: &str, variables: &[(&str, &str)]) -> Result<String, Failure> {
    let mut command = Command::new(env::current_exe()?);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let output = command.env(CHILD, way).envs(variables.iter().copied()).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
