//! The pauses between attempts to connect.

use std::time::Duration;

/// The pauses between attempts to connect: exponential up to a limit, with jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(10);
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        use std::hash::{BuildHasher, RandomState};

        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        // A new hasher has a random seed. The jitter of up to a quarter keeps clients from reconnecting all
        // at once.
        let random = u32::try_from(RandomState::new().hash_one(()) % 256).unwrap_or_default();
        Some(wait - wait / 1024 * random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_limit() {
        let waits: Vec<_> = Backoff::default().take(20).collect();
        assert!(waits[0] <= Backoff::FIRST && waits[0] >= Backoff::FIRST / 2);
        assert!(waits[19] <= Backoff::LONGEST && waits[19] >= Backoff::LONGEST / 2);
    }
}
