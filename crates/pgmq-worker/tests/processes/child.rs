//! The workers in processes of their own. Each is this program once more, with a task in its environment.

use std::env;
use std::fs;
use std::io;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::process::{AsyncWorker, SHELL, TASK, URL};
use crate::{memory, poison, soak, suspension};

/// The start of the worker of a task, on each of the shells.
type Workers = (fn(String) -> AsyncWorker, fn(String));

/// Runs a worker if this process is a child, until its parent ends it. Returns `false` otherwise.
pub(crate) fn run() -> bool {
    let Ok(task) = env::var(TASK) else { return false };
    let (shell, url) = (env::var(SHELL).unwrap(), env::var(URL).unwrap());
    let tasks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tasks);
    thread::spawn(move || answer(&counted));
    let (async_worker, sync_worker): Workers = match task.as_str() {
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

/// Reports the state of this process to its parent, until the parent has closed the pipe or has ended.
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
