//! Arithmetic with times that cannot overflow.

use std::time::{Duration, Instant};

/// Longer than any process lives, and short enough to be added to any instant.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The instant after this duration. A setting such as `Duration::MAX` means "never".
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(FOREVER)
}

/// The `n`-th wait of a backoff that doubles from `first` to `longest`; `n` begins at 1.
pub(super) fn backoff(first: Duration, n: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << n.saturating_sub(1).min(16)).min(longest)
}

/// The earlier of two instants, either of which may be missing.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Shortens a wait of more than 100 ms by up to a tenth, so that workers that began together do not stay in
/// step. Shortens, because settings name the longest wait.
pub(super) fn jitter(rng: &mut fastrand::Rng, wait: Duration) -> Duration {
    match wait > Duration::from_millis(100) {
        true => wait.min(FOREVER).mul_f64(1.0 - 0.1 * rng.f64()),
        false => wait,
    }
}
