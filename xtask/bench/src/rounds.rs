//! The order of the measurements: each round has every client, in another order.

use anyhow::Error;

use crate::bench_db::BenchDb;
use crate::clients::{Entry, Kind};
use crate::counts::Counts;
use crate::measure::{Budget, Sample};
use crate::workload::Workload;

/// The number of operations over which allocations and round trips are counted.
const COUNTED: u32 = 20;

/// A workload, and the server's guarantee on commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) workload: Workload,
    pub(crate) synchronous_commit: bool,
}

/// The value of a setting in the spelling of Postgres.
pub(crate) fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// The results of a setting.
pub(crate) struct Outcome {
    pub(crate) setting: Setting,
    /// The results of the clients, in their order.
    pub(crate) results: Vec<Measured>,
}

/// The results of a client.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The name of the client that it is compared with.
    pub(crate) floor: &'static str,
    /// A sample for each round, or fewer if the client failed.
    pub(crate) samples: Vec<Sample>,
    pub(crate) counts: Option<Counts>,
    pub(crate) failure: Option<Error>,
}

impl Measured {
    /// Returns the value, or keeps the first error.
    fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }
}

/// Measures these clients. A client that fails is not measured again, and the others go on.
pub(crate) fn run(
    setting: Setting,
    clients: &[&Entry],
    db: &mut BenchDb,
    budget: &Budget,
) -> anyhow::Result<Outcome> {
    db.set_synchronous_commit(setting.synchronous_commit)?;
    let workload = &setting.workload;
    let mut results: Vec<_> = clients
        .iter()
        .map(|entry| Measured {
            name: entry.name,
            kind: entry.kind,
            floor: entry.floor,
            samples: Vec::new(),
            counts: None,
            failure: None,
        })
        .collect();
    for round in 0..budget.rounds {
        for index in order(clients.len(), round) {
            let (Some(entry), Some(result)) = (clients.get(index), results.get_mut(index)) else {
                continue;
            };
            if result.failure.is_none() {
                let sample = (entry.measure)(workload, db, budget);
                let sample = result.note(sample);
                result.samples.extend(sample);
            }
        }
    }
    // The number of tasks and the way of committing do not change the counts.
    if workload.tasks == 1 && !setting.synchronous_commit {
        for (entry, result) in clients.iter().zip(&mut results) {
            if let Some(count) = entry.count.filter(|_| result.failure.is_none()) {
                let counts = count(workload, db, COUNTED);
                result.counts = result.note(counts);
            }
        }
    }
    Ok(Outcome { setting, results })
}

/// The order of a round.
///
/// Each round starts at another client, and every second round is reversed, so that no client always follows
/// the same one.
pub(crate) fn order(length: usize, round: usize) -> impl Iterator<Item = usize> {
    let is_forwards = round.is_multiple_of(2);
    (0..length).map(move |index| {
        let index = if is_forwards { index } else { length - 1 - index };
        (index + round * 5) % length
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_every_client_in_another_order() {
        let rounds: Vec<Vec<usize>> = (0..4).map(|round| order(7, round).collect()).collect();
        for round in &rounds {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6]);
        }
        assert_eq!(rounds[0], [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(rounds[1], [4, 3, 2, 1, 0, 6, 5]);
        assert_ne!(rounds[2], rounds[0]);
        assert_ne!(rounds[3], rounds[1]);
    }
}
