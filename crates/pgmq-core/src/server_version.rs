//! The server's version of PGMQ, as far as it is known.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::version::Version;

/// The server's version of PGMQ, as far as a look at the catalogue, or the success and failure of calls, have
/// proved it.
///
/// A pool keeps one, and shares it with every queue that is bound to one of its connections. The version only
/// decides between two variants of a call with the same meaning, so a race costs at most one more call.
#[derive(Debug, Default)]
pub struct ServerVersion {
    /// The server has this version or a newer one. Zero if unknown.
    at_least: AtomicU64,
    /// The server has an older version than this one. Zero if unknown.
    below: AtomicU64,
}

impl ServerVersion {
    /// Records that the server has `version`, or a newer one.
    pub fn at_least(&self, version: Version) {
        self.at_least.fetch_max(number(version), Ordering::Relaxed);
    }

    /// Records that the server is older than `version`, also if it was newer before.
    pub fn older_than(&self, version: Version) {
        let below = number(version);
        self.at_least.fetch_min(below - 1, Ordering::Relaxed);
        let lower = |known| Some(if known == 0 { below } else { below.min(known) });
        // The closure always returns a value, so the update cannot fail.
        let _ = self.below.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower);
    }

    /// Returns `Some(true)` if the server has `version`, `Some(false)` if it is older, and `None` if that is
    /// unknown.
    pub fn supports(&self, version: Version) -> Option<bool> {
        let (asked, below) = (number(version), self.below.load(Ordering::Relaxed));
        if self.at_least.load(Ordering::Relaxed) >= asked {
            Some(true)
        } else if below != 0 && asked >= below {
            Some(false)
        } else {
            None
        }
    }
}

fn number(version: Version) -> u64 {
    let Version { major, minor, patch } = version;
    (u64::from(major) << 32) | (u64::from(minor) << 16) | u64::from(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_proves_older_versions_and_a_failure_newer_ones() {
        let server = ServerVersion::default();
        let [old, new] = [Version::new(1, 5, 0), Version::new(1, 13, 0)];
        assert_eq!(server.supports(old), None);
        server.at_least(old);
        assert_eq!((server.supports(old), server.supports(new)), (Some(true), None));
        server.older_than(Version::new(1, 12, 0));
        assert_eq!((server.supports(Version::new(1, 4, 4)), server.supports(new)), (Some(true), Some(false)));
        server.at_least(new);
        server.older_than(old);
        assert_eq!(
            (server.supports(old), server.supports(new)),
            (Some(false), Some(false)),
            "the server was downgraded"
        );
    }
}
