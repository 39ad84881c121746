//! What becomes of the rates when something grows: the queue, the messages, the batches, the number of consumers.

use anyhow::{Context, Result};

use crate::contestants::Entry;
use crate::measure::{Effort, Sample};
use crate::rounds::order;
use crate::stage::Stage;
use crate::workload::{Operation, SEND, Workload};

/// Who does it. The others differ from it by what they cost themselves, which does not grow.
pub(crate) const CONTESTANT: &str = "tokio";

/// Something that grows.
pub(crate) struct Dimension {
    pub(crate) name: &'static str,
    /// What it is, in the report.
    pub(crate) about: &'static str,
    /// How far it grows.
    pub(crate) points: &'static [u32],
    /// How far when there is little time.
    quick_up_to: u32,
    /// What is done, when it has grown so far.
    workloads: fn(u32) -> Vec<Workload>,
}

/// What came out for a dimension.
pub(crate) struct Grown {
    pub(crate) dimension: &'static Dimension,
    /// A line for each thing that is done.
    pub(crate) lines: Vec<Line>,
}

/// The samples of a workload at each point.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// How many messages an operation is about, at each point.
    pub(crate) points: Vec<Point>,
}

/// What was measured at a point, a sample for each round.
pub(crate) struct Point {
    pub(crate) at: u32,
    pub(crate) batch: u32,
    pub(crate) samples: Vec<Sample>,
}

const READ_DELETE: Workload = Workload { name: "read-delete", operation: Operation::ReadDelete, ..SEND };

pub(crate) static DIMENSIONS: [Dimension; 5] = [
    Dimension {
        name: "depth",
        about: "messages that are in the queue and visible",
        points: &[0, 10_000, 1_000_000],
        quick_up_to: 10_000,
        workloads: |depth| vec![Workload { depth, ..SEND }, Workload { depth, ..READ_DELETE }],
    },
    Dimension {
        name: "hidden",
        about: "hidden messages before the first that is visible",
        points: &[0, 100, 1_000, 10_000, 100_000],
        quick_up_to: 1_000,
        workloads: |hidden| {
            let depth = hidden;
            vec![Workload { depth, hidden, ..SEND }, Workload { depth, hidden, ..READ_DELETE }]
        },
    },
    Dimension {
        name: "consumers",
        about: "tasks that read and delete, each on a connection of its own",
        points: &[1, 2, 4, 8, 16, 32, 64],
        quick_up_to: 16,
        workloads: |connections| {
            let tasks = connections as usize;
            let read_delete_batch = Workload {
                name: "read-delete-batch",
                operation: Operation::ReadDeleteBatch,
                batch: 10,
                ..SEND
            };
            [READ_DELETE, read_delete_batch]
                .map(|workload| Workload { tasks, connections, ..workload })
                .into()
        },
    },
    Dimension {
        name: "payload",
        about: "bytes of JSON in a message",
        points: &[100, 1_000, 10_000, 100_000, 1_000_000],
        quick_up_to: 10_000,
        workloads: |bytes| {
            let bytes = bytes as usize;
            vec![Workload { bytes, ..SEND }, Workload { bytes, ..READ_DELETE }]
        },
    },
    Dimension {
        name: "batch",
        about: "messages in one call",
        points: &[1, 10, 100, 1_000, 10_000],
        quick_up_to: 1_000,
        workloads: |batch| {
            let send = Workload { name: "send-batch", operation: Operation::SendBatch, batch, ..SEND };
            let operation = Operation::ReadDeleteBatch;
            vec![send, Workload { name: "read-delete-batch", operation, batch, ..SEND }]
        },
    },
];

/// Has one thing grow, round by round, and each round in another order.
pub(crate) fn run(
    dimension: &'static Dimension,
    is_quick: bool,
    entries: &[Entry],
    stage: &mut Stage,
    effort: &Effort,
) -> Result<Grown> {
    let entry = entries.iter().find(|entry| entry.name == CONTESTANT).context("nobody is called that")?;
    let points = dimension.points.iter().copied();
    let points: Vec<_> = points.filter(|point| !is_quick || *point <= dimension.quick_up_to).collect();
    let mut lines: Vec<Line> = (dimension.workloads)(1)
        .iter()
        .map(|workload| Line { name: workload.name, points: Vec::new() })
        .collect();
    for (line, points_of_line) in lines.iter_mut().enumerate() {
        let workloads: Vec<_> =
            points.iter().filter_map(|point| (dimension.workloads)(*point).get(line).copied()).collect();
        points_of_line.points = points
            .iter()
            .zip(&workloads)
            .map(|(at, workload)| Point { at: *at, batch: workload.batch, samples: Vec::new() })
            .collect();
        for round in 0..effort.rounds {
            for index in order(workloads.len(), round) {
                let (Some(workload), Some(point)) =
                    (workloads.get(index), points_of_line.points.get_mut(index))
                else {
                    continue;
                };
                let sample = (entry.measure)(workload, stage, effort);
                let sample = sample.with_context(|| format!("{} at {}", dimension.name, point.at))?;
                point.samples.push(sample);
            }
        }
    }
    Ok(Grown { dimension, lines })
}
