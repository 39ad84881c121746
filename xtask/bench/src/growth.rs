//! The rates while one dimension grows: the queue, the messages, the batches, the number of consumers.

use anyhow::{Context, Result};

use crate::bench_db::BenchDb;
use crate::clients::Entry;
use crate::measure::{Budget, Sample};
use crate::rounds::order;
use crate::workload::{Operation, SEND, Workload};

/// The client that is measured. The others differ by their own cost, which does not grow.
pub(crate) const CLIENT: &str = "tokio";

/// A dimension of growth.
pub(crate) struct Dimension {
    pub(crate) name: &'static str,
    /// The description in the report.
    pub(crate) about: &'static str,
    /// The values of the dimension.
    pub(crate) points: &'static [u32],
    /// The values of a quick run.
    quick_up_to: u32,
    /// The workloads at a value.
    workloads: fn(u32) -> Vec<Workload>,
}

/// The results of a dimension.
pub(crate) struct Grown {
    pub(crate) dimension: &'static Dimension,
    /// A line for each workload.
    pub(crate) lines: Vec<Line>,
}

/// The samples of a workload at each point.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// The number of messages of an operation, at each point.
    pub(crate) points: Vec<Point>,
}

/// The samples of a point, one for each round.
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

/// Measures one dimension, each round in another order.
pub(crate) fn run(
    dimension: &'static Dimension,
    is_quick: bool,
    entries: &[Entry],
    db: &mut BenchDb,
    budget: &Budget,
) -> Result<Grown> {
    let entry = entries
        .iter()
        .find(|entry| entry.name == CLIENT)
        .with_context(|| format!("there is no client {CLIENT}"))?;
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
        for round in 0..budget.rounds {
            for index in order(workloads.len(), round) {
                let (Some(workload), Some(point)) =
                    (workloads.get(index), points_of_line.points.get_mut(index))
                else {
                    continue;
                };
                let sample = (entry.measure)(workload, db, budget);
                let sample = sample.with_context(|| format!("{} at {}", dimension.name, point.at))?;
                point.samples.push(sample);
            }
        }
    }
    Ok(Grown { dimension, lines })
}
