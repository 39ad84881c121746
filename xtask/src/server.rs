//! The server of a test run, held by a child process that ends with this one, however this one ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, pipe};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo;
use crate::workspace::{DEMO_PACKAGE, SERVER_HOLDER, SERVER_PACKAGE};

/// A Postgres for a test run, with a template database and poolers if the variables ask for them.
///
/// The holder is a child process that keeps the server until its standard input ends.
/// So the server goes away also when this process is killed.
pub(crate) struct TestServer {
    held: Arc<Mutex<Held>>,
    /// The variables by which test programs find the server, the template and the poolers.
    variables: Vec<(String, OsString)>,
}

/// The destination of a child process' errors.
#[derive(Clone, Copy)]
pub(crate) enum Errors {
    /// The terminal.
    Shown,
    /// The lines that are handed on, in their order.
    AmongTheLines,
}

#[derive(Default)]
struct Held {
    /// The child process that does the current work.
    child: Option<Child>,
    holder: Option<Child>,
    is_interrupted: bool,
}

impl TestServer {
    /// Builds the holder, and starts it with these variables.
    pub(crate) fn start(variables: Vec<(&'static str, OsString)>) -> Result<Self> {
        let held = Arc::<Mutex<Held>>::default();
        let interrupted = Arc::clone(&held);
        ctrlc::set_handler(move || interrupt(&interrupted)).context("cannot wait for Ctrl-C")?;
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut server = Self { held, variables };
        let mut command = Command::new(server.build_holder()?);
        cargo::forget_own_package(&mut command);
        command.arg("--run").envs(server.variables.iter().map(|(name, value)| (name, value)));
        // Ctrl-C on the terminal must not reach the holder: the test programs still use the server.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let line = {
            let mut held = server.lock();
            let mut holder = command.spawn().context("cannot start the program that holds the server")?;
            let output = holder.stdout.take();
            held.holder = Some(holder);
            drop(held);
            let mut line = String::new();
            output.map(|output| BufReader::new(output).read_line(&mut line)).transpose()?;
            line
        };
        if line.is_empty() {
            bail!("there is no server for the tests: see above");
        }
        let given: BTreeMap<String, String> =
            serde_json::from_str(&line).context("cannot parse the variables of the server")?;
        server.variables.extend(given.into_iter().map(|(name, value)| (name, value.into())));
        Ok(server)
    }

    /// Builds the program that holds the server, together with the demo, so that both have the same
    /// dependencies.
    fn build_holder(&self) -> Result<PathBuf> {
        #[derive(Deserialize)]
        struct Message {
            target: Option<Target>,
            executable: Option<PathBuf>,
        }
        #[derive(Deserialize)]
        struct Target {
            name: String,
        }
        let mut command = cargo::command(["build", "--package", SERVER_PACKAGE, "--package", DEMO_PACKAGE]);
        command.args(["--bin", SERVER_HOLDER, "--message-format=json-render-diagnostics"]);
        let mut program = None;
        let status = self.run(command, Errors::Shown, |line| {
            let message = serde_json::from_str::<Message>(line).ok();
            let is_holder = |message: &Message| {
                message.target.as_ref().is_some_and(|target| target.name == SERVER_HOLDER)
            };
            if let Some(path) = message.filter(is_holder).and_then(|message| message.executable) {
                program = Some(path);
            }
        })?;
        if !status.success() {
            bail!("{SERVER_PACKAGE} does not compile");
        }
        program.with_context(|| format!("cargo built no program {SERVER_HOLDER} in {SERVER_PACKAGE}"))
    }

    /// The variables by which test programs find the server, the template and the poolers.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&String, &OsString)> {
        self.variables.iter().map(|(name, value)| (name, value))
    }

    /// Runs a child process to its end, and hands on each line of its output.
    pub(crate) fn run(
        &self,
        mut command: Command,
        errors: Errors,
        mut line: impl FnMut(&str),
    ) -> Result<ExitStatus> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = || format!("cannot run {program}");
        let (reader, writer) = pipe()?;
        if matches!(errors, Errors::AmongTheLines) {
            command.stderr(writer.try_clone()?);
        }
        command.stdin(Stdio::null()).stdout(writer);
        {
            // Under the lock, so that Ctrl-C either finds the child or comes before it starts.
            let mut held = self.lock();
            held.child = Some(command.spawn().with_context(failed)?);
        }
        // The command holds the other end of the pipe, which has to end with the child.
        drop(command);
        for text in BufReader::new(reader).split(b'\n') {
            line(String::from_utf8_lossy(&text?).trim_end());
        }
        let mut child = self.lock().child.take().with_context(failed)?;
        child.wait().with_context(failed)
    }

    /// Locks the child processes. After Ctrl-C this never returns: the process is about to exit.
    fn lock(&self) -> MutexGuard<'_, Held> {
        loop {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if !held.is_interrupted {
                return held;
            }
            drop(held);
            thread::park();
        }
    }
}

impl Held {
    /// Ends the holder's input, and waits until the holder has removed the server.
    fn end_holder(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            if let Err(error) = holder.wait() {
                eprintln!("cannot wait for the program that holds the server: {error}");
            }
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.lock().end_holder();
    }
}

/// Ends the child processes, and then this process.
fn interrupt(held: &Mutex<Held>) {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    held.is_interrupted = true;
    if let Some(mut child) = held.child.take() {
        // Ctrl-C on a terminal reaches the child as well, so it may have ended.
        let _ = child.kill();
        let _ = child.wait();
    }
    held.end_holder();
    eprintln!("\ninterrupted");
    exit(130);
}
