//! Who is measured when: everybody in each round, and each round in another order.

use anyhow::Error;

use crate::contestants::{Entry, Kind};
use crate::counts::Counts;
use crate::measure::{Effort, Sample};
use crate::stage::Stage;
use crate::workload::Workload;

/// Over how many operations allocations and round trips are counted.
const COUNTED: u32 = 20;

/// A workload, and the server's promise about commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) workload: Workload,
    pub(crate) synchronous_commit: bool,
}

/// What came out of a setting.
pub(crate) struct Outcome {
    pub(crate) setting: Setting,
    /// The contestants in their order.
    pub(crate) results: Vec<Measured>,
}

/// What came out for a contestant.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The name of the contestant that it is compared with.
    pub(crate) floor: &'static str,
    /// One of each round; fewer if it failed.
    pub(crate) samples: Vec<Sample>,
    pub(crate) counts: Option<Counts>,
    pub(crate) failure: Option<Error>,
}

impl Measured {
    /// Keeps what went well, and why the first thing did not.
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

/// Measures these contestants. One that fails is not tried again, and the others go on.
pub(crate) fn run(
    setting: Setting,
    contestants: &[&Entry],
    stage: &mut Stage,
    effort: &Effort,
) -> anyhow::Result<Outcome> {
    stage.set_synchronous_commit(setting.synchronous_commit)?;
    let workload = &setting.workload;
    let mut results: Vec<_> = contestants
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
    for round in 0..effort.rounds {
        for index in order(contestants.len(), round) {
            let (Some(entry), Some(result)) = (contestants.get(index), results.get_mut(index)) else {
                continue;
            };
            if result.failure.is_none() {
                let sample = (entry.measure)(workload, stage, effort);
                let sample = result.note(sample);
                result.samples.extend(sample);
            }
        }
    }
    // What a client does for an operation is the same for several of its tasks, and however the server commits.
    if workload.tasks == 1 && !setting.synchronous_commit {
        for (entry, result) in contestants.iter().zip(&mut results) {
            if let Some(count) = entry.count.filter(|_| result.failure.is_none()) {
                let counts = count(workload, stage, COUNTED);
                result.counts = result.note(counts);
            }
        }
    }
    Ok(Outcome { setting, results })
}

/// The order of a round: begins elsewhere each time, and goes the other way every second time, so that nobody always comes
/// after the same one.
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
    fn everybody_is_in_each_round_in_another_order() {
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
