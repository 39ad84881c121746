//! The processes of workers. Each is this program once more, with a task in its environment.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::{memory, poison, soak, suspension};

/// The task of a child, its shell, and the database.
const TASK: &str = "PGMQ_WORKER_TASK";
const SHELL: &str = "PGMQ_WORKER_SHELL";
const URL: &str = "PGMQ_WORKER_URL";

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

/// Runs a worker if this process is a child, until its parent ends it. Returns `false` otherwise.
pub(crate) fn run() -> bool {
    let Ok(task) = env::var(TASK) else { return false };
    let (shell, url) = (env::var(SHELL).unwrap(), env::var(URL).unwrap());
    let tasks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tasks);
    thread::spawn(move || answer(&counted));
    let (async_worker, sync_worker): (fn(String) -> AsyncWorker, fn(String)) = match task.as_str() {
        soak::TASK => (soak::async_worker, soak::sync_worker),
        suspension::TASK | suspension::OTHER | suspension::FINISHING => {
            (suspension::async_worker, suspension::sync_worker)
        }
        poison::TASK => (poison::async_worker, poison::sync_worker),
        memory::TASK => (memory::async_worker, memory::sync_worker),
        other => panic!("there is no task {other}"),
    };
    match shell.as_str() {
        "async" => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let _worker = async_worker(url).await;
                let handle = tokio::runtime::Handle::current();
                loop {
                    tasks.store(handle.metrics().num_alive_tasks(), Ordering::Relaxed);
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            });
        }
        _ => sync_worker(url),
    }
    true
}

/// The start of an async worker.
pub(crate) type AsyncWorker = std::pin::Pin<Box<dyn Future<Output = pgmq_worker::Worker>>>;

/// The task of this child.
pub(crate) fn task() -> String {
    env::var(TASK).unwrap()
}

/// Tells the parent of this process about its state, until the parent has closed the pipe or has ended.
fn answer(tasks: &AtomicUsize) {
    for line in io::stdin().lines() {
        if line.is_err() {
            break;
        }
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
        let threads = fs::read_dir("/proc/self/task").unwrap().count();
        // Pages have 4 KiB on the machines that run these trials, and the bounds are no exact ones.
        println!("{} {threads} {}", pages * 4096, tasks.load(Ordering::Relaxed));
    }
    exit(1)
}
