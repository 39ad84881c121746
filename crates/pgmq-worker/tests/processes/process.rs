//! The processes of workers, as their parent sees them.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The task of a child, its shell, and the database.
pub(crate) const TASK: &str = "PGMQ_WORKER_TASK";
pub(crate) const SHELL: &str = "PGMQ_WORKER_SHELL";
pub(crate) const URL: &str = "PGMQ_WORKER_URL";

/// The state of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// The resident memory, in bytes.
    pub(crate) memory: usize,
    pub(crate) threads: usize,
    /// The tasks of its async runtime.
    pub(crate) tasks: usize,
}

/// A process with a worker, which is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a worker on the shell `async` or `sync`.
    pub(crate) fn start(task: &str, shell: &str, url: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(TASK, task).env(SHELL, shell).env(URL, url);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// Ends the process without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Returns `true` if the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        // `kill` is built into every shell, but is not a program on every system.
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(status.unwrap().success());
    }

    /// Asks the process for its state.
    pub(crate) fn usage(&mut self) -> Usage {
        self.input.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let numbers: Vec<_> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [memory, threads, tasks] = numbers[..] else { panic!("the process said {line:?}") };
        Usage { memory, threads, tasks }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The start of an async worker.
pub(crate) type AsyncWorker = std::pin::Pin<Box<dyn Future<Output = pgmq_worker::Worker>>>;

/// The task of this child.
pub(crate) fn task() -> String {
    env::var(TASK).unwrap()
}
